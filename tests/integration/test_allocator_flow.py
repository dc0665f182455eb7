"""One real allocator on a real Kafka and a real Postgres: what is said on its inputs, and what it tells."""

import pytest

from services.console.verify import verify
from shared.schemas.values import AdjustmentReason, Fill, Wish
from tests.support.allocator import adjustment, allocator, channel, order, receipt, settings_for

pytestmark = pytest.mark.integration


async def test_an_order_is_allocated_waits_is_served_by_a_restock_and_frees_its_stock_again(fresh_topics: str, database: str) -> None:
    settings = settings_for(fresh_topics, database)
    async with allocator(settings), channel(fresh_topics) as shop:
        await shop.say(receipt("r-1", "MUG", 5))
        await shop.hear(lambda heard: any(one.type == "stock_moved" and one.command_id == "r-1" for one in heard))
        await shop.say(order("first", {"MUG": 3}))
        allocated = await shop.outcome("first", "allocated")
        assert [(line.sku, line.reserved_units) for line in allocated.lines] == [("MUG", 3)]

        await shop.say(order("second", {"MUG": 4}))
        partial = await shop.outcome("second", "partially_allocated")
        assert partial.lines[0].reserved_units == 2
        assert partial.lines[0].shortage.missing_units == 2

        await shop.say(order("first", {"MUG": 3}, version=2, wish=Wish.CLOSED))
        await shop.outcome("first", "released")
        await shop.outcome("second", "allocated")
        report = await verify(database)
        assert report.ok, report


async def test_all_or_nothing_takes_every_line_or_none_and_is_woken_by_a_restock(fresh_topics: str, database: str) -> None:
    settings = settings_for(fresh_topics, database)
    async with allocator(settings), channel(fresh_topics) as shop:
        await shop.say(receipt("r-1", "LEG", 4), receipt("r-2", "TOP", 1))
        await shop.say(order("table", {"LEG": 4, "TOP": 1, "SCREW": 8}, fill=Fill.ALL_OR_NOTHING))
        short = await shop.outcome("table", "could_not_allocate")
        assert sum(line.reserved_units for line in short.lines) == 0
        await shop.say(receipt("r-3", "SCREW", 8))
        whole = await shop.outcome("table", "allocated")
        assert {line.sku: line.reserved_units for line in whole.lines} == {"LEG": 4, "TOP": 1, "SCREW": 8}
        assert (await verify(database)).ok


async def test_a_fall_below_what_is_allocated_is_told_and_heals_with_a_restock(fresh_topics: str, database: str) -> None:
    settings = settings_for(fresh_topics, database)
    async with allocator(settings), channel(fresh_topics) as shop:
        await shop.say(receipt("r-1", "MUG", 2))
        await shop.say(order("only", {"MUG": 2}))
        await shop.outcome("only", "allocated")
        await shop.say(adjustment("a-1", "MUG", -1, AdjustmentReason.DAMAGED))
        over = await shop.outcome("only", "overallocated")
        assert over.lines[0].flagged_units == 1
        await shop.say(receipt("r-2", "MUG", 1))
        await shop.outcome("only", "allocated")
        await shop.say(order("only", {"MUG": 2}, version=2, wish=Wish.PICKING))
        await shop.hear(lambda _: shop.newest("only").picking == "confirmed")
        await shop.say(order("only", {"MUG": 2}, version=3, wish=Wish.CONSUMPTION))
        await shop.outcome("only", "consumed")
        assert (await verify(database)).ok
