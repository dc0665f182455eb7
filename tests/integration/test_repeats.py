"""Every command once more, under the same id or version: one effect, and the same answer as the first time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from shared.database import hot_connection
from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.events import OrderChanged
from shared.schemas.values import AdjustmentReason, Fill, Wish
from tests.support.allocator import Channel, adjustment, allocator, channel, order, receipt, settings_for
from tests.support.careful_reader import INTERNAL, CarefulReader, careful_reader
from tests.support.orders_service import lines, orders_service
from tests.support.settling import prove, until_settled

pytestmark = pytest.mark.integration

STATE = {
    "records": "SELECT merchant, sku, record, on_hand, backed, flagged, version FROM allocator.stock_record ORDER BY 1, 2, 3",
    "reservations": "SELECT * FROM allocator.reservation ORDER BY demand, sku, alternative",
    "demands": "SELECT demand, status, wish, version, attempt, state::text FROM allocator.demand ORDER BY 1",
    "movements": "SELECT * FROM allocator.movement ORDER BY merchant, sku, origin, command_id, part",
    "queues": "SELECT merchant, sku, waiting_count, baton_seq FROM allocator.sku_queue ORDER BY 1, 2",
}
"""Everything that the allocator has decided."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A real allocator, a line to it, and a reader of all that it says."""

    dsn: str
    shop: Channel
    reader: CarefulReader

    async def say(self, *messages: Any) -> None:
        """Say it and wait until nothing is under way."""
        await self.shop.say(*messages)
        await until_settled(self.dsn, self.reader)

    async def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the allocator has decided, row by row."""
        connection: asyncpg.Connection = await hot_connection(self.dsn, "test")
        try:
            return {name: [tuple(row) for row in await connection.fetch(sql)] for name, sql in STATE.items()}
        finally:
            await connection.close()


@pytest.fixture
async def floor(fresh_topics: str, database: str) -> AsyncIterator[Floor]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(allocator(settings_for(fresh_topics, database)))
        shop = await stack.enter_async_context(channel(fresh_topics))
        reader = await stack.enter_async_context(careful_reader(fresh_topics))
        yield Floor(database, shop, reader)
        await prove(database, reader)


async def test_a_stock_command_said_again_gets_its_first_answer_and_changes_nothing(floor: Floor) -> None:
    commands: list[ReceiveStock | AdjustStock] = [
        receipt("receive", "MUG", 5, lot="L1"),
        adjustment("more", "MUG", 3, AdjustmentReason.FOUND, lot="L1"),
        adjustment("fewer", "MUG", -2, AdjustmentReason.DAMAGED, lot="L1"),
        adjustment("too-many", "MUG", -99, AdjustmentReason.LOST, lot="L1"),
        adjustment("nowhere", "MUG", 1, AdjustmentReason.FOUND, bin="Z-9"),
        adjustment("nothing", "MUG", 0, AdjustmentReason.CORRECTION, lot="L1"),
    ]
    await floor.say(*commands)
    before = await floor.state()
    await floor.say(*reversed(commands), *commands)
    assert await floor.state() == before
    for command in commands:
        first, *others = floor.reader.answers(command.command_id)
        assert others == [first, first], command.command_id
    refused = {one.reason for one in floor.reader.told if one.type == "stock_command_refused"}
    assert refused == {"below_zero", "no_such_record", "zero_change"}


async def test_a_command_id_with_other_content_is_refused_and_the_first_answer_stands(floor: Floor) -> None:
    await floor.say(receipt("once", "MUG", 5))
    before = await floor.state()
    await floor.say(receipt("once", "MUG", 6), receipt("once", "MUG", 5))
    assert await floor.state() == before
    first, refused, again = floor.reader.answers("once")
    assert (refused.reason, refused.field) == ("other_content", "command_id")
    assert again == first


LIFE = {
    "partial": [(Wish.STOCK, 4), (Wish.STOCK, 3), (Wish.NOTHING, 3), (Wish.STOCK, 3), (Wish.PICKING, 3), (Wish.CONSUMPTION, 3)],
    "short": [(Wish.STOCK, 9), (Wish.STOCK, 8), (Wish.CLOSED, 8)],
}


@pytest.mark.parametrize("fill", [Fill.PARTIAL, Fill.ALL_OR_NOTHING])
@pytest.mark.parametrize("life", LIFE)
async def test_every_version_of_an_order_said_again_changes_nothing(life: str, fill: Fill, floor: Floor) -> None:
    await floor.say(receipt("mugs", "MUG", 5), receipt("cups", "CUP", 5))
    said: list[OrderChanged] = []
    for version, (wish, units) in enumerate(LIFE[life], start=1):
        said.append(order("again", {"MUG": units, "CUP": 1}, version=version, wish=wish, fill=fill))
        await floor.say(said[-1])
        before, told = await floor.state(), floor.reader.newest("again")
        assert told.demand_version == version
        await floor.say(*reversed(said), *said)
        assert await floor.state() == before, f"version {version}, {wish}"
        assert floor.reader.newest("again") == told


async def test_an_internal_record_that_is_there_twice_is_applied_once(floor: Floor) -> None:
    await floor.say(receipt("mugs", "MUG", 5), receipt("cups", "CUP", 1))
    await floor.say(order("one", {"MUG": 3}), order("all", {"MUG": 2, "CUP": 1}, fill=Fill.ALL_OR_NOTHING), order("wait", {"MUG": 4}))
    await floor.say(order("one", {"MUG": 3}, version=2, wish=Wish.CLOSED))
    before = await floor.state()
    assert await _say_again_what_was_said(floor) > 0
    await until_settled(floor.dsn, floor.reader)
    assert await floor.state() == before


async def _say_again_what_was_said(floor: Floor) -> int:
    """Every record of the allocator's own topics once more, byte by byte, in its partition."""
    consumer = floor.reader.consumer
    places = [one for one in consumer.assignment() if one.topic in {topic.name for topic in INTERNAL}]
    found: list[tuple[TopicPartition, Any]] = []
    ends = await consumer.end_offsets(places)
    for one in places:
        consumer.seek(one, 0)
    while len(found) < sum(ends.values()):
        for one, records in (await consumer.getmany(*places, timeout_ms=200)).items():
            found.extend((one, record) for record in records)
    for one, record in found:
        await floor.shop.say_bytes(one.topic, one.partition, record.value, record.key, record.headers)
    return len(found)


# ---------------------------------------------------------------- over HTTP

COMMANDS: list[tuple[str, str, Any]] = [
    ("POST", "/orders", {"number": "A", "lines": lines({"MUG": 2})}),
    ("PATCH", "/orders/A", {"lines": lines({"MUG": 3})}),
    ("POST", "/orders/A/deallocate", None),
    ("POST", "/orders/A/allocate", None),
    ("POST", "/orders/A/start-processing", None),
    ("POST", "/orders/A/stop-processing", None),
    ("POST", "/orders/A/start-processing", None),
    ("POST", "/orders/A/ship", None),
    ("POST", "/orders:bulk", {"orders": [{"number": "A", "lines": lines({"MUG": 2})}, {"number": "B", "lines": lines({"MUG": 1})}]}),
    ("POST", "/orders/B/dropship", None),
    ("POST", "/orders", {"number": "C", "lines": lines({"MUG": 1})}),
    ("POST", "/orders/C/cancel", {"reason": "changed their mind"}),
]


async def test_every_http_command_repeated_with_its_key_gets_its_first_answer(fresh_topics: str, database: str) -> None:
    async with (
        allocator(settings_for(fresh_topics, database)),
        orders_service(database, fresh_topics) as orders,
        channel(fresh_topics) as stock,
        careful_reader(fresh_topics) as reader,
    ):
        await stock.say(receipt("mugs", "MUG", 20))
        for index, (method, path, body) in enumerate(COMMANDS):
            first = await orders.command(method, path, body, key=f"command-{index}")
            assert first.status_code in {200, 202}, (path, first.text)
            before = await _decided_orders(database)
            again = [await orders.command(method, path, body, key=f"command-{index}") for _ in range(2)]
            assert {(answer.status_code, answer.text) for answer in again} == {(first.status_code, first.text)}, path
            assert {answer.headers.get("Idempotent-Replayed") for answer in again} == {"true"}, path
            assert await _decided_orders(database) == before, path
        assert [(number, status) for number, _, status, *_ in before if status] == [
            ("A", "shipped"),
            ("B", "dropshipped"),
            ("C", "canceled"),
        ]
        await until_settled(database, reader)
        await prove(database, reader)


async def _decided_orders(dsn: str) -> list[tuple[Any, ...]]:
    """Orders and their history, once nothing is pending."""
    async with asyncio.timeout(20):
        while True:
            found = await _orders_state(dsn)
            if not any(pending for *_, pending in found):
                return found
            await asyncio.sleep(0.02)


async def _orders_state(dsn: str) -> list[tuple[Any, ...]]:
    connection: asyncpg.Connection = await hot_connection(dsn, "test")
    try:
        sql = """
            SELECT number, o.version, o.status, coalesce(a.status, 'unallocated'),
                   CASE WHEN a.demand_version >= asked_version
                             AND (asked_step = 'allocation' OR asked_step = 'release' AND a.status = 'unallocated')
                        THEN NULL ELSE asked_step END
              FROM orders.sales_order o LEFT JOIN orders.allocation a USING (merchant, number) ORDER BY 1"""
        history = """
            SELECT number, version, NULL, happening, NULL
              FROM (SELECT number, id, version, happening FROM orders.history
                    UNION ALL SELECT number, 0, 1, first_entry::jsonb ->> 'happening' FROM orders.sales_order
                    UNION ALL SELECT number, first_entry_id, (first_entry::jsonb -> 'version')::bigint, first_entry::jsonb ->> 'happening'
                                FROM orders.allocation WHERE first_entry IS NOT NULL) AS entry ORDER BY 1, id"""
        return [tuple(row) for query in (sql, history) for row in await connection.fetch(query)]
    finally:
        await connection.close()
