"""A batch row says under which policy and limits it was decided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.allocator.core.policy import DemandSettings, PolicySettings, Timing
from services.allocator.core.rules_hash import rules_hash
from services.allocator.core.stock.settings import StockSettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.schemas.values import Fill, Strategy
from tests.unit.allocator.demand_script import NOON

STORE = MemoryPartitionStore(MemoryDatabase(lambda: NOON))


def of_demand(settings: DemandSettings) -> str:
    """What the demand side's batches say."""
    return DemandSide(MemoryDemandStorage(STORE.current), settings).rules_hash


def of_stock(settings: StockSettings) -> str:
    """What the stock side's batches say."""
    return StockSide(MemoryStockStorage(STORE.current), settings).rules_hash


DEMAND, STOCK = DemandSettings(), StockSettings()


@pytest.mark.parametrize(
    "other",
    [
        replace(DEMAND, policy=PolicySettings(strategy=Strategy.LIFO)),
        replace(DEMAND, policy=PolicySettings(fill={})),
        replace(DEMAND, policy=PolicySettings(merchant_warehouses={"acme": ("north",)})),
        replace(DEMAND, timing=Timing(attempt=timedelta(seconds=29))),
    ],
)
def test_another_policy_has_another_hash(other: DemandSettings) -> None:
    assert of_demand(other) != of_demand(DEMAND)


def test_another_limit_of_the_stock_side_has_another_hash() -> None:
    assert of_stock(replace(STOCK, serve_limit=99)) != of_stock(STOCK)


def test_what_is_cached_or_looked_up_decides_nothing() -> None:
    assert of_stock(replace(STOCK, cache_rows=1)) == of_stock(replace(STOCK, doubted_commands=1)) == of_stock(STOCK)
    assert of_demand(replace(DEMAND, cached_lines=1)) == of_demand(DEMAND)


def test_the_order_in_which_a_mapping_was_written_does_not_matter() -> None:
    one = PolicySettings(fill={"sales-order": Fill.PARTIAL, "work-order": Fill.ALL_OR_NOTHING})
    assert rules_hash(one) == rules_hash(replace(one, fill=dict(reversed(list(one.fill.items())))))


def test_the_hash_of_given_settings_is_the_same_in_every_process_and_version() -> None:
    assert rules_hash(PolicySettings(), Timing()) == "f15b1c4346c962db"
