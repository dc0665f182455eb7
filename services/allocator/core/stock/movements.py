"""The history of stock records: every change of what is on hand, and every release of what was reserved there (000-39).

That units were reserved is told by the reservation itself, as long as it holds them; what it gives back would leave no trace.
"""

from typing import Literal

from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.rows import MovementRow
from services.allocator.core.stock.state import Reservation, SkuStock, StockRecord

Kind = Literal["receive", "adjust", "consume", "release"]


def move(
    draft: Draft,
    sku: SkuStock,
    record: StockRecord,
    change: int,
    kind: Kind,
    origin: str,
    command_id: str,
    part: int,
    digest: str,
    reason: str,
    cause: str,
) -> MovementRow:
    """Change what is on hand."""
    before = record.on_hand
    record.on_hand += change
    sku.on_hand += change
    assert record.on_hand >= 0, "nothing goes below zero on hand"
    draft.changed_record(sku, record)
    movement = MovementRow(
        *sku.key, origin, command_id, part, digest, kind, record.number, None, "", "", reason, cause, change, before, record.on_hand,
        record.version, sku.ledger_version, draft.now,
    )  # fmt: skip
    draft.movements.append(movement)
    return movement


def note_release(draft: Draft, sku: SkuStock, record: StockRecord, reservation: Reservation, units: int) -> None:
    """The reservation has just given back `units` on this record: nothing for none. The change has raised the ledger's version, which
    makes the id new for ever."""
    if not units:
        return
    demand, command_id = reservation.key[0], f"{reservation.key[0]}:{sku.ledger_version}"
    movement = MovementRow(
        *sku.key, "reservations", command_id, record.number, "", "release", record.number, None, "", "", "", demand, 0, record.on_hand,
        record.on_hand, record.version, sku.ledger_version, draft.now, units,
    )  # fmt: skip
    draft.movements.append(movement)
