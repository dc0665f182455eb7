"""What lies behind a reservation: taking units from stock records, giving them back, and settling after a rise or a fall."""

from collections.abc import Iterable, Sequence

from services.allocator.core.stock.answers import tell
from services.allocator.core.stock.choosing import Picks, choose, free_by_warehouse, preference
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.movements import note_release
from services.allocator.core.stock.state import Reservation, SkuStock, StockRecord


def back(draft: Draft, sku: SkuStock, reservation: Reservation, picks: Picks) -> None:
    """Reserve these units, all of them free."""
    pieces = reservation.pieces
    for record, units in picks:
        pieces[record.number] = pieces.get(record.number, 0) + units
        record.backed += units
        reservation.reserved += units
        draft.changed_record(sku, record)
    draft.changed_reservation(sku, reservation)


def shrink(draft: Draft, sku: SkuStock, reservation: Reservation, units: int) -> None:
    """Give `units` back: flagged ones first, then those on the record that the strategy likes least."""
    order = preference(sku, reservation.warehouses, reservation.strategy)[::-1]
    reservation.reserved -= units
    for give_back in (_unflag, _take_off):
        for record in order:
            part = give_back(draft, sku, reservation, record, units)
            units -= part
            note_release(draft, sku, record, reservation, part)
    assert units == 0, "more given back than reserved"


def drop(draft: Draft, sku: SkuStock, reservation: Reservation, *, consumed: bool = False) -> None:
    """Give everything back; `consumed`: it has left the shelf, which its movements say."""
    _give_back(draft, sku, reservation, [*reservation.pieces.keys() | reservation.flags.keys()], silent=consumed)
    assert not reservation.reserved, "the pieces of a reservation are all that it has"
    reservation.pending, reservation.mark = False, None


def keep_within(draft: Draft, sku: SkuStock, reservation: Reservation, warehouses: tuple[str, ...]) -> None:
    """Give back what lies in warehouses that the reservation may not draw on any more."""
    numbers = reservation.pieces.keys() | reservation.flags.keys()
    _give_back(draft, sku, reservation, [number for number in numbers if sku.records[number - 1].warehouse not in warehouses])


def settle(draft: Draft, sku: SkuStock, fallen: Sequence[StockRecord] = (), silent: Reservation | None = None) -> None:
    """After a change of stock or of reservations: being picked first, then in queue order, reservations get their backing, the rest is
    flagged. Pieces stay on their record where they can. `fallen`: the records that can carry less than before. Needs the whole SKU in
    memory unless nothing is flagged and nothing fell below what is backed.

    Tells of every reservation whose pieces or flags changed, but for `silent`, of which the caller tells.
    """
    fallen = [record for record in fallen if record.backed > record.capacity(draft.today)]
    if not fallen and not sku.flagged:
        return
    assert sku.complete, "settling needs every reservation of the SKU"
    before: dict[Reservation, tuple[dict[int, int], int]] = {}
    for record in fallen:
        _flag_overflow(draft, sku, record, before)
    ranked = sorted((one for one in sku.reservations.values() if one.reserved), key=lambda one: one.backing_rank)
    movable: Movable | None = None
    unsearched: dict[tuple[str, ...], int] = {}
    for place, reservation in enumerate(ranked):
        if not reservation.flagged:
            continue
        _note(before, reservation)
        _heal_from_free(draft, sku, reservation)
        if reservation.flagged and fallen:
            movable = _movable(draft, sku, ranked, fallen) if movable is None else movable
            _heal_by_moving(draft, sku, reservation, movable, before)
        if reservation.flagged:
            start = unsearched.get(reservation.warehouses, len(ranked) - 1)
            unsearched[reservation.warehouses] = _heal_from_worse(draft, sku, ranked, place, start, before)
    for reservation in sorted(before, key=lambda one: one.backing_rank):
        if reservation is not silent and before[reservation] != (reservation.pieces, reservation.flagged):
            tell(draft, sku, reservation)


Before = dict[Reservation, tuple[dict[int, int], int]]
Movable = list[tuple[StockRecord, list[Reservation]]]


def _note(before: Before, reservation: Reservation) -> None:
    if reservation not in before:
        before[reservation] = (dict(reservation.pieces), reservation.flagged)


def _flag_overflow(draft: Draft, sku: SkuStock, record: StockRecord, before: Before) -> None:
    """Fewer units than are backed here: the worst placed lose theirs."""
    over = record.backed - record.capacity(draft.today)
    holders = [one for one in sku.reservations.values() if record.number in one.pieces]
    for reservation in sorted(holders, key=lambda one: one.backing_rank, reverse=True):
        if over <= 0:
            break
        _note(before, reservation)
        over -= _flag(draft, sku, reservation, record, over)
    assert over <= 0, "the pieces on a record are its backed units"


def _heal_from_free(draft: Draft, sku: SkuStock, reservation: Reservation) -> None:
    for record, units in choose(sku, reservation.warehouses, reservation.strategy, reservation.flagged, draft.today):
        _move_flags(draft, sku, reservation, record, units)


def _movable(draft: Draft, sku: SkuStock, ranked: Sequence[Reservation], fallen: Sequence[StockRecord]) -> Movable:
    """Per record that fell, who lies on it and might lie elsewhere, the worst placed last. Nobody whom a picker has in hand."""
    free = free_by_warehouse(sku, draft.today)
    if not free:
        return []
    might = [one for one in ranked if one.mark is None and any(warehouse in free for warehouse in one.warehouses)]
    return [(record, [one for one in might if record.number in one.pieces]) for record in fallen if record.capacity(draft.today)]


def _heal_by_moving(draft: Draft, sku: SkuStock, reservation: Reservation, movable: Movable, before: Before) -> None:
    """A fall first moves reservations to other records: who may lie elsewhere makes room for one that may not. Who can not move now can
    not move later, because what is free only becomes less: so all falls of a settling walk those on a record once."""
    for record, movers in movable:
        if record.warehouse in reservation.warehouses:
            while reservation.flagged and movers:
                _note(before, movers[-1])
                if moved := _move(draft, sku, movers[-1], record, reservation.flagged):
                    _move_flags(draft, sku, reservation, record, moved)
                if reservation.flagged:
                    movers.pop()


def _move(draft: Draft, sku: SkuStock, reservation: Reservation, record: StockRecord, units: int) -> int:
    """Move up to `units` of the reservation's from this record to free ones that it may draw on. Returns how many there were."""
    there = min(units, reservation.pieces.get(record.number, 0))
    picks = choose(sku, reservation.warehouses, reservation.strategy, there, draft.today) if there else []
    if not picks:
        return 0
    moved = _take_off(draft, sku, reservation, record, sum([part for _, part in picks]))
    back(draft, sku, reservation, picks)
    reservation.reserved -= moved
    return moved


def _heal_from_worse(draft: Draft, sku: SkuStock, ranked: list[Reservation], place: int, start: int, before: Before) -> int:
    """Back the reservation at `place` with what worse placed ones have, the worst first, searching from `start` upwards.

    Returns where the next one with the same warehouses starts: nobody behind has anything that it could use, and nobody behind gets
    anything before it, because reservations are healed in order. So a settling walks the reservations once per set of warehouses.
    """
    reservation = ranked[place]
    usable = [
        record for record in preference(sku, reservation.warehouses, reservation.strategy) if record.backed and record.capacity(draft.today)
    ]
    for at in range(start, place, -1) if usable else ():
        for record in usable:
            if record.number in ranked[at].pieces:
                _note(before, ranked[at])
                units = _flag(draft, sku, ranked[at], record, reservation.flagged)
                _move_flags(draft, sku, reservation, record, units)
                if not reservation.flagged:
                    return at
    return place


def _take_off(draft: Draft, sku: SkuStock, reservation: Reservation, record: StockRecord, units: int) -> int:
    """Free up to `units` of the reservation's on this record. Returns how many there were."""
    there = reservation.pieces.get(record.number, 0)
    part = min(there, units)
    if part:
        _lower(reservation.pieces, record.number, part)
        record.backed -= part
        draft.changed_record(sku, record)
        draft.changed_reservation(sku, reservation)
    return part


def _flag(draft: Draft, sku: SkuStock, reservation: Reservation, record: StockRecord, units: int) -> int:
    """Up to `units` of the reservation's on this record lose their backing and stay attributed to it."""
    part = _take_off(draft, sku, reservation, record, units)
    assert part > 0, "only units that are backed here lose their backing"
    reservation.flags[record.number] = reservation.flags.get(record.number, 0) + part
    reservation.flagged += part
    record.flagged += part
    sku.flagged += part
    return part


def _unflag(draft: Draft, sku: SkuStock, reservation: Reservation, record: StockRecord, units: int) -> int:
    part = min(reservation.flags.get(record.number, 0), units)
    if part:
        _lower(reservation.flags, record.number, part)
        reservation.flagged -= part
        record.flagged -= part
        sku.flagged -= part
        draft.changed_record(sku, record)
        draft.changed_reservation(sku, reservation)
    return part


def _move_flags(draft: Draft, sku: SkuStock, reservation: Reservation, record: StockRecord, units: int) -> None:
    """Back `units` flagged ones on this record, the flags of this very record first."""
    back(draft, sku, reservation, [(record, units)])
    reservation.reserved -= units
    left = units - _unflag(draft, sku, reservation, record, units)
    for number in sorted(reservation.flags):
        left -= _unflag(draft, sku, reservation, sku.records[number - 1], left)
    assert left == 0, "only flagged units are healed"


def _give_back(draft: Draft, sku: SkuStock, reservation: Reservation, numbers: Iterable[int], *, silent: bool = False) -> None:
    for number in sorted(numbers):
        record = sku.records[number - 1]
        units = _unflag(draft, sku, reservation, record, reservation.flags.get(number, 0))
        units += _take_off(draft, sku, reservation, record, reservation.pieces.get(number, 0))
        reservation.reserved -= units
        if not silent:
            note_release(draft, sku, record, reservation, units)


def _lower(units_by_record: dict[int, int], number: int, units: int) -> None:
    left = units_by_record[number] - units
    if left:
        units_by_record[number] = left
    else:
        del units_by_record[number]
