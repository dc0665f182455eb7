"""One SKU in memory: its stock records by place, and what keeping it costs."""

import tracemalloc
from datetime import UTC, datetime

from services.allocator.core.stock.rows import RecordRow, SkuKey, StoredSku
from services.allocator.core.stock.state import FEW_RECORDS, SkuStock, StockRecord, sku_of

AT = datetime(2026, 11, 21, tzinfo=UTC)
KEPT = 1_000


def sku_with(*places: tuple[str, str]) -> SkuStock:
    sku = SkuStock(("acme", "MUG"))
    for number, (warehouse, bin_) in enumerate(places, start=1):
        sku.add_record(StockRecord(number, warehouse, bin_, None, None, AT))
    return sku


def numbers(sku: SkuStock, warehouse: str) -> list[int]:
    return [record.number for record in sku.records_in(warehouse)]


def found(sku: SkuStock, warehouse: str, bin_: str) -> int | None:
    record = sku.record_at(warehouse, bin_, None, None)
    return record.number if record else None


def test_nothing_is_found_of_a_sku_without_records() -> None:
    sku = sku_with()
    assert (numbers(sku, "main"), dict(sku.records_by_warehouse()), found(sku, "main", "A-1")) == ([], {}, None)


def test_the_records_of_a_warehouse_are_its_own_also_once_there_is_a_second_one() -> None:
    sku = sku_with(("main", "A-1"), ("main", "A-2"))
    assert (numbers(sku, "main"), numbers(sku, "north")) == ([1, 2], [])
    for number, warehouse in enumerate(("north", "main", "north"), start=3):
        sku.add_record(StockRecord(number, warehouse, f"B-{number}", None, None, AT))
    assert (numbers(sku, "main"), numbers(sku, "north"), numbers(sku, "south")) == ([1, 2, 4], [3, 5], [])
    assert {name: len(records) for name, records in sku.records_by_warehouse().items()} == {"main": 3, "north": 2}


def test_a_record_is_found_by_its_place_among_few_and_among_many_and_after_more_came() -> None:
    for count in (1, FEW_RECORDS, FEW_RECORDS + 1, 50):
        sku = sku_with(*[("main", f"A-{number}") for number in range(1, count + 1)])
        assert (found(sku, "main", f"A-{count}"), found(sku, "north", "A-1"), found(sku, "main", "A-0")) == (count, None, None)
        sku.add_record(StockRecord(count + 1, "north", "A-1", None, None, AT))
        assert (found(sku, "north", "A-1"), found(sku, "main", "A-1")) == (count + 1, 1)


def stored(number: int) -> tuple[SkuKey, StoredSku]:
    """As they come from the database: every row has texts of its own."""
    merchant, sku, warehouse = "".join(["ac", "me"]), f"SKU-{number:06d}", "".join(["ma", "in"])
    figures = (100_000 + number, 0, 1_000 + number, 0, 2_000 + number)
    row = RecordRow(merchant, sku, 1, 0, warehouse, f"A-{number}", None, None, None, AT.replace(microsecond=number), *figures, False, AT)
    return (merchant, sku), StoredSku([row], None, [])


def test_a_hundred_thousand_skus_that_lie_in_one_place_fit_into_a_hundred_megabytes() -> None:
    """It took twice as much when each had a dictionary for every question that could be asked of it."""
    tracemalloc.start()
    try:
        kept = [sku_of(key, row) for key, row in map(stored, range(KEPT))]
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / len(kept) < 1_000, f"{used / len(kept):.0f} bytes a SKU"
