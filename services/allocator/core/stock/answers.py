"""What the stock side tells the demand side of one reservation: its present result, whole."""

from typing import Literal

from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.shortages import explain
from services.allocator.core.stock.state import Reservation, SkuStock
from shared.schemas.events import Outcome
from shared.schemas.topics import OUTCOMES
from shared.schemas.values import Piece

Note = Literal["complete", "short", "picking_refused", "consumption_refused"]
TOPIC = OUTCOMES.name


def tell(draft: Draft, sku: SkuStock, reservation: Reservation, note: Note | None = None, about: int | None = None) -> None:
    """A new version of the result. Whoever waits or is not covered is told why."""
    reservation.version += 1
    draft.changed_reservation(sku, reservation)
    _send(draft, sku, reservation, note, about)


def tell_again(draft: Draft, sku: SkuStock, reservation: Reservation) -> None:
    """The present result to a command that was answered before."""
    if not reservation.version:
        reservation.version = 1
        draft.changed_reservation(sku, reservation)
    _send(draft, sku, reservation, None, None)


def _send(draft: Draft, sku: SkuStock, reservation: Reservation, note: Note | None, about: int | None) -> None:
    demand, alternative = reservation.key
    outcome = Outcome(
        demand=demand,
        merchant=sku.key[0],
        sku=sku.key[1],
        alternative=alternative,
        attempt=reservation.attempt,
        version=reservation.version,
        reserved_units=reservation.reserved,
        flagged_units=reservation.flagged,
        waiting_units=reservation.waiting,
        consumed_units=reservation.consumed,
        pending=reservation.pending,
        mark=reservation.mark,
        note=note,
        about=about,
        pieces=_pieces(sku, reservation),
        shortage=explain(sku, reservation, draft.today) if reservation.waiting or reservation.flagged else None,
    )
    draft.send(TOPIC, demand, outcome)


def _pieces(sku: SkuStock, reservation: Reservation) -> tuple[Piece, ...]:
    pieces = reservation.pieces
    numbers = sorted(pieces) if len(pieces) > 1 else pieces
    return tuple([_piece(sku, number, pieces[number]) for number in numbers])


def _piece(sku: SkuStock, number: int, units: int) -> Piece:
    record = sku.records[number - 1]
    return Piece(record=number, warehouse=record.warehouse, bin=record.bin, lot=record.lot, label=record.label, units=units)
