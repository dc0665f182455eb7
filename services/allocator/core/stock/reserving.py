"""Reserving: one line on its own, or one stop of an all-or-nothing chain. An attempt adopts what older ones left."""

from typing import NamedTuple

from services.allocator.core.stock.answers import tell, tell_again
from services.allocator.core.stock.backing import back, drop, keep_within, settle, shrink
from services.allocator.core.stock.choosing import Picks, allot, choose, choose_allotted, free_units
from services.allocator.core.stock.claims import free_for, has_room_for_everybody, left_for, remember_left
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.rows import ReservationKey
from services.allocator.core.stock.state import Reservation, SkuStock
from services.allocator.core.stock.waiting import Rank
from shared.schemas.commands import ReserveChain, ReserveLine
from shared.schemas.topics import RESERVATIONS
from shared.schemas.values import Fill, Strategy, sku_key


class Want(NamedTuple):
    """What an attempt asks of one SKU. `reduce`: less of what it has, which cannot fail."""

    units: int
    fill: Fill
    warehouses: tuple[str, ...]
    strategy: Strategy
    rank: Rank
    reduce: bool


def reserve_line(draft: Draft, sku: SkuStock, command: ReserveLine) -> bool:
    """False: nothing was changed; the whole SKU must be in memory first."""
    assert command.reduce or command.fill is not Fill.ALL_OR_NOTHING, "all or nothing goes by the chain"
    key = (command.demand, command.alternative)
    reservation = sku.reservations.get(key)
    if reservation is not None and command.attempt <= reservation.attempt:
        return _answer_again(draft, sku, reservation, command.attempt)
    if reservation is None and not sku.waiting_count:
        picks = choose(sku, command.warehouses, command.strategy, command.units, draft.today)
        if sum([units for _, units in picks]) == command.units and not command.reduce:
            return _reserve_at_once(draft, sku, command, key, picks)
    want = Want(
        command.units, command.fill, command.warehouses, command.strategy, (command.priority, command.demanded_at, *key), command.reduce
    )
    if not sku.complete and _is_short(draft, sku, reservation, want):
        return False
    reservation = reservation or _new(draft, sku, key)
    reservation.attempt = command.attempt
    reserve(draft, sku, reservation, want)
    tell(draft, sku, reservation)
    return True


def _reserve_at_once(draft: Draft, sku: SkuStock, command: ReserveLine, key: ReservationKey, picks: Picks) -> bool:
    """The common case, and the hot path: the demand is new here, nobody waits, there is enough."""
    reservation = sku.reservations[key] = Reservation(key, draft.now)
    reservation.attempt, reservation.fill, reservation.strategy = command.attempt, command.fill, command.strategy
    reservation.warehouses = command.warehouses
    reservation.rank = (command.priority, command.demanded_at, command.demand, command.alternative)
    back(draft, sku, reservation, picks)
    tell(draft, sku, reservation)
    return True


def reserve_stop(draft: Draft, sku: SkuStock, command: ReserveChain) -> bool:
    """False: nothing was changed; the whole SKU must be in memory first. A stop that succeeds passes the chain on."""
    key = (command.demand, command.alternative)
    rank = (command.priority, command.demanded_at, *key)
    stop = command.stops[command.stop]
    want = Want(stop.units, Fill.ALL_OR_NOTHING, (command.alternative,), command.strategy, rank, reduce=False)
    reservation = sku.reservations.get(key)
    if reservation is not None and command.attempt <= reservation.attempt:
        return _answer_again(draft, sku, reservation, command.attempt)
    if reservation is None and _is_ancient(draft, command):
        return True
    if not sku.complete and _is_short(draft, sku, reservation, want):
        return False
    reservation = reservation or _new(draft, sku, key)
    reservation.attempt = command.attempt
    draft.changed_reservation(sku, reservation)
    if not reserve(draft, sku, reservation, want):
        tell(draft, sku, reservation, "short")
    elif command.stop + 1 < len(command.stops):
        _pass_on(draft, command)
    else:
        tell(draft, sku, reservation, "complete")
    return True


def reserve(draft: Draft, sku: SkuStock, reservation: Reservation, want: Want) -> bool:
    """Make this the demand's reservation at this SKU. True: the whole need is reserved."""
    draft.dequeue(sku, reservation)
    if reservation.reserved:
        _adopt(draft, sku, reservation, want)
    else:
        _ask(reservation, want)
    missing = want.units - reservation.reserved
    if missing <= 0 or want.reduce:
        return True
    if not sku.waiting_count:
        picks = choose(sku, want.warehouses, want.strategy, missing, draft.today)
        if sum([units for _, units in picks]) == missing:
            back(draft, sku, reservation, picks)
            return True
    elif want.warehouses and has_room_for_everybody(sku, want.warehouses[0], missing, draft.today):
        back(draft, sku, reservation, choose(sku, want.warehouses[:1], want.strategy, missing, draft.today))
        return True
    return _take_what_is_left(draft, sku, reservation, want, missing)


def _take_what_is_left(draft: Draft, sku: SkuStock, reservation: Reservation, want: Want, missing: int) -> bool:
    free = free_for(sku, want.rank, draft.today)
    enough = left_for(free, want.warehouses) >= missing
    if enough or want.fill is Fill.PARTIAL:
        allotment = allot(free, want.warehouses, missing)
        back(draft, sku, reservation, choose_allotted(sku, allotment, want.strategy, draft.today))
        if enough:
            remember_left(sku, want.rank, free)
    elif want.fill is Fill.ALL_OR_NOTHING and reservation.reserved:
        drop(draft, sku, reservation)  # it was adopted, so the waiters are served at the end of the batch in any case
        settle(draft, sku, silent=reservation)
    if not enough:
        reservation.pending = False
        draft.enqueue(sku, reservation, want.units - reservation.reserved)
    return enough


def _adopt(draft: Draft, sku: SkuStock, reservation: Reservation, want: Want) -> None:
    """Keep what an older attempt reserved as far as it is still wanted. Picking marks go; the new place may cost or bring backing."""
    keep_within(draft, sku, reservation, want.warehouses)
    _ask(reservation, want)  # first: what is given back is what the new terms like least, not what the old ones did
    if want.units < reservation.reserved:
        shrink(draft, sku, reservation, reservation.reserved - want.units)
    sku.largest = None
    settle(draft, sku, silent=reservation)
    draft.serve_later(sku)


def _ask(reservation: Reservation, want: Want) -> None:
    reservation.rank, reservation.warehouses, reservation.strategy = want.rank, want.warehouses, want.strategy
    reservation.fill, reservation.mark = want.fill, None
    reservation.pending = want.fill is Fill.ALL_OR_NOTHING and not want.reduce


def _is_short(draft: Draft, sku: SkuStock, reservation: Reservation | None, want: Want) -> bool:
    """In a SKU where nobody waits and nobody is flagged: whether less is free than is wanted on top of what it has."""
    kept = 0
    if reservation is not None and reservation.reserved:
        kept = sum(units for number, units in reservation.pieces.items() if sku.records[number - 1].warehouse in want.warehouses)
    missing = 0 if want.reduce else want.units - kept
    return missing > 0 and free_units(sku, want.warehouses, missing, draft.today) < missing


def _is_ancient(draft: Draft, command: ReserveChain) -> bool:
    """Whether its tombstone may be gone: another SKU's partition held the chain back while its demand ended and was forgotten. Half of
    the time that tombstones are kept, because clocks jump; an attempt that is still wanted has long passed its deadline by then, and is
    made anew."""
    return command.started_at is not None and draft.now - command.started_at > draft.settings.keep / 2


def _new(draft: Draft, sku: SkuStock, key: ReservationKey) -> Reservation:
    reservation = sku.reservations[key] = Reservation(key, draft.now)
    return reservation


def _answer_again(draft: Draft, sku: SkuStock, reservation: Reservation, attempt: int) -> bool:
    """A lower attempt is refused: what superseded it was answered. An equal one is answered with the present result."""
    if attempt == reservation.attempt:
        tell_again(draft, sku, reservation)
    return True


def _pass_on(draft: Draft, command: ReserveChain) -> None:
    onward = ReserveChain(
        demand=command.demand,
        merchant=command.merchant,
        alternative=command.alternative,
        attempt=command.attempt,
        stop=command.stop + 1,
        stops=command.stops,
        strategy=command.strategy,
        priority=command.priority,
        demanded_at=command.demanded_at,
        started_at=command.started_at,
        sticky=command.sticky,
        overtaken=command.overtaken,
    )
    draft.send(RESERVATIONS.name, sku_key(onward.merchant, onward.sku), onward)
