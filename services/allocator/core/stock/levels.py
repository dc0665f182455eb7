"""Stock levels: what sales channels read of a SKU."""

from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.state import SkuStock, StockRecord
from shared.schemas.events import StockLevelChanged, WarehouseLevel
from shared.schemas.topics import STOCK_LEVELS


def announce(draft: Draft, sku: SkuStock) -> None:
    """The present levels of a SKU, whole."""
    levels = tuple([_level(draft, name, records) for name, records in sorted(sku.by_warehouse.items())])
    told = StockLevelChanged(
        merchant=sku.key[0], sku=sku.key[1], ledger_version=sku.ledger_version, warehouses=levels, changed_at=draft.now
    )
    draft.send(STOCK_LEVELS.name, sku.name, told)


def _level(draft: Draft, warehouse: str, records: list[StockRecord]) -> WarehouseLevel:
    return WarehouseLevel(
        warehouse=warehouse,
        on_hand_units=sum([record.on_hand for record in records]),
        held_units=sum([record.held for record in records]),
        allocated_units=sum([record.backed + record.flagged for record in records]),
        available_units=sum([available_units(record, draft) for record in records]),
    )


def available_units(record: StockRecord, draft: Draft) -> int:
    """What may be sold of one record: nothing of an expired one, never less than nothing (R18: not netted against other records)."""
    return max(0, record.room(draft.today) - record.flagged)
