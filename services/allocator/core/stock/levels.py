"""Stock levels: what sales channels read of a SKU, told after it has changed. Where more have changed than are told at once, a sweep goes
over them in the order of the SKUs, slice by slice: a hundred thousand in one batch held up everything for two seconds. And the rounds
in which all are told again, because a topic that was compacted, cut or made anew may lack the last word of a SKU that nobody touches.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nsmallest

from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.rows import LevelsRound, SkuKey, Telling
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import SkuStock, StockRecord
from shared.schemas.events import StockLevelChanged, WarehouseLevel
from shared.schemas.topics import STOCK_LEVELS

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any batch, and no earlier than what a driver takes for a time."""
NOTHING_TOLD = Telling(NEVER, NEVER)


def is_told(telling: Telling, sku: SkuKey, changed_at: datetime) -> bool:
    """Whether the last change of a SKU counts as told. Hangs on what is stored alone, so whoever takes over tells the same as whoever
    goes on."""
    if telling.began_at is not None and telling.after is not None and sku <= telling.after:
        return changed_at <= telling.began_at
    return changed_at <= telling.told_at


def next_slice(telling: Telling, untold: Collection[SkuKey], now: datetime, most: int) -> tuple[list[SkuKey], Telling]:
    """Whose levels are told next, at most so many, and how far they are told then. Without a sweep under way one begins now, and ends at
    once if this is all."""
    began_at = telling.began_at or now
    ahead = nsmallest(most + 1, [sku for sku in untold if telling.after is None or sku > telling.after])
    if len(ahead) <= most:
        return ahead, Telling(began_at, now)
    return ahead[:most], Telling(telling.told_at, now, began_at, ahead[most - 1])


def first_round(now: datetime, settings: StockSettings) -> LevelsRound:
    """What is new has just been told: all of it once more when a round's time has passed."""
    begins = now + timedelta(hours=settings.round_hours)
    return LevelsRound(begins, begins, None)


def round_after(before: LevelsRound, told: Sequence[SkuKey], now: datetime, settings: StockSettings) -> LevelsRound:
    """Where the round stands when a slice has been told: fewer than `round_slice` were the last ones."""
    began_at = now if before.after is None else before.began_at
    onward = now + timedelta(seconds=settings.round_pause_seconds)
    if len(told) >= settings.round_slice:
        return LevelsRound(onward, began_at, told[-1])
    begins = max(onward, began_at + timedelta(hours=settings.round_hours))
    return LevelsRound(begins, begins, None)


def announce(draft: Draft, sku: SkuStock) -> None:
    """The present levels of a SKU, whole."""
    levels = tuple([_level(draft, name, records) for name, records in sorted(sku.records_by_warehouse().items())])
    told = StockLevelChanged(
        merchant=sku.key[0], sku=sku.key[1], ledger_version=sku.ledger_version, warehouses=levels, changed_at=draft.now
    )
    draft.send(STOCK_LEVELS.name, sku.name, told)


def _level(draft: Draft, warehouse: str, records: Sequence[StockRecord]) -> WarehouseLevel:
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
