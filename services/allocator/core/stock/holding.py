"""What happens to a reservation after it was made: activated, marked as being picked, consumed, released; and batons coming back.

Every function gets the SKU with the named reservation in memory, and the whole SKU where anybody waits or is flagged.
"""

from services.allocator.core.stock.answers import tell, tell_again
from services.allocator.core.stock.backing import drop, settle
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.ledger import post_consumption
from services.allocator.core.stock.state import Reservation, SkuStock
from shared.schemas.commands import Activate, Consume, Forget, MarkPicking, Release, ReturnBaton, UnmarkPicking
from shared.schemas.events import Forgotten
from shared.schemas.topics import OUTCOMES


def release(draft: Draft, sku: SkuStock, command: Release) -> None:
    """Always writes the row, also where there was none: a chain of this attempt that comes late finds it."""
    key = (command.demand, command.alternative)
    reservation = sku.reservations.get(key)
    if reservation is None:
        reservation = sku.reservations[key] = Reservation(key, draft.now)
    if reservation.attempt > command.attempt:
        return
    reservation.attempt = command.attempt
    draft.dequeue(sku, reservation)
    if reservation.reserved:
        drop(draft, sku, reservation)
        settle(draft, sku)
        draft.serve_later(sku)
    reservation.pending, reservation.mark = False, None
    tell(draft, sku, reservation)


def return_baton(draft: Draft, sku: SkuStock, command: ReturnBaton) -> None:
    """The next may be woken. Success widens the window, failure narrows it to one. A waiter that a newer attempt left behind goes."""
    key = (command.demand, command.alternative)
    baton = sku.batons.get(key)
    if baton is None or baton.number != command.baton:
        return
    del sku.batons[key]
    draft.changed_baton(sku, key)
    if baton.expired:
        sku.walked = None  # it has a claim again
    if command.served is not None:
        sku.wake_window = min(draft.settings.window_limit, sku.wake_window * 2) if command.served else 1
    draft.changed_queue(sku)
    reservation = sku.reservations.get(key)
    if reservation is not None and reservation.waiting and reservation.attempt < command.attempt:
        draft.dequeue(sku, reservation)
        tell(draft, sku, reservation)
    draft.serve_later(sku)


def forget(draft: Draft, sku: SkuStock, command: Forget) -> None:
    """The tombstone goes. What the demand sent before has come before, because it comes the same way; a chain, which other SKUs pass on,
    may still come later, and is known by its age: see `reserve_stop`."""
    reservation = sku.reservations.get((command.demand, command.alternative))
    if reservation is not None:
        assert reservation.attempt <= command.attempt, f"{command.demand}: only the demand side makes attempts"
        assert not reservation.reserved, f"{command.demand} has ended and holds something of {sku.name}"
        assert not reservation.waiting, f"{command.demand} has ended and waits for {sku.name}"
        draft.forget_reservation(sku, reservation)
    told = Forgotten(
        demand=command.demand, merchant=command.merchant, sku=command.sku, alternative=command.alternative, attempt=command.attempt
    )
    draft.send(OUTCOMES.name, command.demand, told)


def activate(draft: Draft, sku: SkuStock, command: Activate) -> None:
    """The whole chain succeeded."""
    reservation = _present(sku, command)
    if reservation is not None and reservation.reserved:
        reservation.pending = False
        tell(draft, sku, reservation)


def mark_picking(draft: Draft, sku: SkuStock, command: MarkPicking) -> None:
    """Always answered where the attempt is the present one: confirmed, or refused when flagged, waiting or empty."""
    reservation = _present(sku, command)
    if reservation is None:
        return
    if not reservation.reserved or reservation.flagged or reservation.waiting:
        tell(draft, sku, reservation, "picking_refused", command.mark)
    else:
        reservation.mark = command.mark
        sku.largest = None
        tell(draft, sku, reservation)


def unmark_picking(draft: Draft, sku: SkuStock, command: UnmarkPicking) -> None:
    """Its backing may go to a better placed one that is flagged."""
    reservation = _present(sku, command)
    if reservation is not None and reservation.reserved and reservation.mark == command.mark:
        reservation.mark = None
        sku.largest = None
        settle(draft, sku, silent=reservation)
        tell(draft, sku, reservation)


def consume(draft: Draft, sku: SkuStock, command: Consume) -> None:
    """The units leave. Never more than is on hand: refused where unmarked or flagged."""
    reservation = _present(sku, command)
    if reservation is None:
        return
    if not reservation.reserved and reservation.consumed:
        tell_again(draft, sku, reservation)
    elif reservation.mark is None or reservation.flagged or not reservation.reserved:
        tell(draft, sku, reservation, "consumption_refused", command.command)
    else:
        units = reservation.reserved
        post_consumption(draft, sku, reservation, command.command)
        drop(draft, sku, reservation, consumed=True)
        reservation.consumed += units
        tell(draft, sku, reservation)


def _present(sku: SkuStock, command: Activate | MarkPicking | UnmarkPicking | Consume) -> Reservation | None:
    """The reservation that the command means, unless a newer attempt has replaced it."""
    reservation = sku.reservations.get((command.demand, command.alternative))
    return reservation if reservation is not None and reservation.attempt == command.attempt else None
