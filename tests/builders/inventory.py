"""What the allocator would say about stock commands and levels."""

from datetime import UTC, datetime
from typing import Literal

from shared.schemas.events import StockCommandRefused, StockLevelChanged, StockMoved, WarehouseLevel

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def moved(
    command_id: str,
    *,
    sku: str = "A",
    merchant: str = "acme",
    change: int = 5,
    before: int = 0,
    kind: Literal["receive", "adjust", "consume"] = "receive",
) -> StockMoved:
    """A command that was posted."""
    return StockMoved(
        command_id=command_id,
        merchant=merchant,
        sku=sku,
        record=1,
        warehouse="W1",
        bin="B1",
        kind=kind,
        change=change,
        on_hand_before=before,
        on_hand_after=before + change,
        record_version=1,
        ledger_version=1,
        moved_at=AT,
    )


def refused(command_id: str, *, sku: str = "A", merchant: str = "acme") -> StockCommandRefused:
    """A command that was refused."""
    return StockCommandRefused(
        command_id=command_id, merchant=merchant, sku=sku, reason="below_zero", field="change", remedy="count the bin", refused_at=AT
    )


def level(
    sku: str, version: int, *, on_hand: int = 10, allocated: int = 3, merchant: str = "acme", warehouse: str = "W1"
) -> StockLevelChanged:
    """The levels of a SKU in one warehouse."""
    units = WarehouseLevel(
        warehouse=warehouse, on_hand_units=on_hand, held_units=0, allocated_units=allocated, available_units=on_hand - allocated
    )
    return StockLevelChanged(merchant=merchant, sku=sku, ledger_version=version, warehouses=(units,), changed_at=AT)
