"""Poison of every kind. On the topics of others: a dead letter in the same transaction, neighbours unharmed. On the allocator's own: that
partition stands still with a clear word, the others go on."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from shared.database import hot_connection
from shared.kafka import MAX_MESSAGE_BYTES
from shared.schemas import topics
from shared.schemas.topics import Topic
from shared.schemas.values import DemandKind, demand_id, sku_key
from shared.schemas.wire import partition_of
from shared.settings import Settings
from tests.support.allocator import MERCHANT, Channel, channel, order, receipt
from tests.support.careful_reader import CarefulReader, careful_reader
from tests.support.children import Child, Children
from tests.support.poison import Poison, on_internal_topics, on_inventory, on_orders
from tests.support.settling import prove, until_settled

pytestmark = pytest.mark.integration

PARTITIONS = 8
POISONED = 5
"""The partition of others' topics that is poisoned."""
LARGEST = MAX_MESSAGE_BYTES - 200


def skus_of(partition: int, name: str) -> list[str]:
    """Names of SKUs that lie in this stock partition."""
    names = (f"{name}-{number}" for number in range(400))
    return [sku for sku in names if partition_of(sku_key(MERCHANT, sku), PARTITIONS) == partition]


def orders_of(partition: int, name: str) -> list[str]:
    """Numbers of orders that lie in this demand partition."""
    numbers = (f"{name}-{number}" for number in range(400))
    return [one for one in numbers if partition_of(demand_id(DemandKind.SALES_ORDER, MERCHANT, one), PARTITIONS) == partition]


@pytest.fixture(scope="module")
def allocator(processes: Children) -> Child:
    """The one allocator of this module."""
    return processes.start("allocator").await_ready()


# ---------------------------------------------------------------- topics of others


async def test_a_bad_stock_command_becomes_a_dead_letter_beside_good_ones(world: Settings, allocator: Child) -> None:
    first, last = skus_of(POISONED, "good")[:2]
    poison = on_inventory(first)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(receipt("before", first, 3))
        offsets = await _poison(shop, topics.INVENTORY, POISONED, poison)
        await shop.say(receipt("after", last, 4))
        await until_settled(world.dsn, reader)
        assert [len(reader.answers(command)) for command in ("before", "after", "never")] == [1, 1, 0]
        await _expect_dead_letters(world, reader, topics.INVENTORY, "stock", poison, offsets)
        await prove(world.dsn, reader)


async def test_a_bad_order_becomes_a_dead_letter_beside_good_ones(world: Settings, allocator: Child) -> None:
    (sku,) = skus_of(POISONED, "wanted")[:1]
    first, last, never = orders_of(POISONED, "order")[:3]
    poison = on_orders(sku, never, LARGEST)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(receipt("wanted", sku, 2), order(first, {sku: 1}))
        offsets = await _poison(shop, topics.ORDERS, POISONED, poison)
        await shop.say(order(last, {sku: 1}))
        await until_settled(world.dsn, reader)
        assert [reader.newest(number).outcome for number in (first, last)] == ["allocated", "allocated"]
        assert reader.newest(never) is None
        await _expect_dead_letters(world, reader, topics.ORDERS, "demand", poison, offsets)
        await prove(world.dsn, reader)


async def test_a_message_in_another_partition_than_its_key_is_put_aside(world: Settings, allocator: Child) -> None:
    (sku,) = skus_of(POISONED, "astray")[:1]
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        offset = await shop.say_astray(receipt("astray", sku, 1), partition=POISONED + 1)
        await until_settled(world.dsn, reader)
        assert reader.answers("astray") == []
        async with _Rows(world) as rows:
            (letter,) = await rows.letters(topics.INVENTORY.name, POISONED + 1)
        assert (letter["record_offset"], letter["field"]) == (offset, "key")


async def _poison(shop: Channel, topic: Topic, partition: int, poison: Sequence[Poison]) -> list[int]:
    return [await shop.say_bytes(topic.name, partition, one.value, b"bad", one.headers) for one in poison]


class _Rows:
    """Dead letters as they are stored."""

    def __init__(self, world: Settings) -> None:
        self._world = world

    async def __aenter__(self) -> "_Rows":
        self._connection: asyncpg.Connection = await hot_connection(self._world.dsn, "test")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def letters(self, topic: str, partition: int) -> list[asyncpg.Record]:
        """In order of their offsets."""
        sql = "SELECT * FROM allocator.dead_letter WHERE topic = $1 AND partition = $2 ORDER BY record_offset"
        return list(await self._connection.fetch(sql, topic, partition))

    async def offsets_of_another_transaction(self, topic: str, partition: int, side: str) -> list[int]:
        """Of those that were not stored by the very transaction that moved the offset over them."""
        sql = """
            SELECT d.record_offset FROM allocator.dead_letter d
              LEFT JOIN allocator.batch b ON b.side = $3 AND b.number = d.partition AND b.xmin = d.xmin
                   AND d.record_offset >= (b.offsets -> d.topic ->> 0)::bigint AND d.record_offset < (b.offsets -> d.topic ->> 1)::bigint
             WHERE d.topic = $1 AND d.partition = $2 AND b.batch_no IS NULL"""
        return [row["record_offset"] for row in await self._connection.fetch(sql, topic, partition, side)]


async def _expect_dead_letters(
    world: Settings, reader: CarefulReader, topic: Topic, side: str, poison: Sequence[Poison], offsets: Sequence[int]
) -> None:
    async with _Rows(world) as rows:
        letters = {row["record_offset"]: row for row in await rows.letters(topic.name, POISONED)}
        assert sorted(letters) == list(offsets)
        assert await rows.offsets_of_another_transaction(topic.name, POISONED, side) == []
    told = {
        int(headers["earmark_dead_offset"]): (record, headers)
        for record in reader.dead
        if (headers := {name: value.decode() for name, value in record.headers})["earmark_dead_topic"] == topic.name
    }
    for one, offset in zip(poison, offsets, strict=True):
        letter, (record, headers) = letters[offset], told[offset]
        assert (letter["value"], letter["key"], letter["status"]) == (one.value, b"bad", "waiting"), one.name
        assert json.loads(letter["headers"]) == [[name, (value or b"").hex()] for name, value in one.headers], one.name
        assert one.field in letter["field"], one.name
        assert one.reason in letter["reason"], one.name
        assert (record.value, record.key) == (one.value or b"", b"bad"), one.name
        assert (headers["earmark_dead_field"], headers["earmark_dead_reason"]) == (letter["field"], letter["reason"]), one.name
        assert headers["earmark_dead_partition"] == str(POISONED)


# ---------------------------------------------------------------- the allocator's own topics

LINE = {
    "type": "release",
    "demand": demand_id(DemandKind.SALES_ORDER, MERCHANT, "x"),
    "merchant": MERCHANT,
    "sku": "X",
    "attempt": 1,
}
ANSWER: dict[str, Any] = {**LINE, "type": "outcome", "version": 1}


async def test_an_unreadable_internal_record_stops_its_partition_alone(world: Settings, processes: Children, allocator: Child) -> None:
    poison = {
        topics.RESERVATIONS: on_internal_topics("reservations", LINE),
        topics.OUTCOMES: [*on_internal_topics("outcomes", ANSWER), _forgotten()],
    }
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        expected = []
        for topic, records in poison.items():
            for partition, one in enumerate(records):
                offset = await shop.say_bytes(topic.name, partition, one.value, b"", one.headers)
                expected.append((f"{topic.side}/{partition}", topic.name, offset, one))
        troubles = await _until_halted(allocator, len(expected))
        for stopped, topic_name, offset, one in expected:
            (line,) = (line for line in troubles if line.startswith((f"{stopped} ", f"{stopped}:")))
            assert f"docs/runbooks.md#{one.reason}" in line, one.name
            assert one.reason == "forgotten-demand" or f"{topic_name} partition {stopped[-1]} offset {offset}" in line, one.name
        (sku,), (number,) = skus_of(7, "sound")[:1], orders_of(7, "sound")[:1]
        await shop.say(receipt("sound", sku, 2), order(number, {sku: 2}))
        async with asyncio.timeout(20):
            while reader.newest(number) is None or reader.newest(number).outcome != "allocated":
                await reader.read()
        assert not [record for record in reader.dead if b"reservations" in dict(record.headers)["earmark_dead_topic"]]
        allocator.stop()
        assert await _until_halted(processes.start("allocator"), len(expected)) == troubles, "a restart skips nothing"


async def _until_halted(allocator: Child, count: int) -> list[str]:
    """Wait until so many partitions stand still, and return why."""
    async with asyncio.timeout(30):
        while len(troubles := await asyncio.to_thread(allocator.troubles)) < count:
            await asyncio.sleep(0.1)
    return troubles


def _forgotten() -> Poison:
    headers = (("ce_type", b"earmark.outcome.v1"), ("earmark_source", b"stock/0/0"), ("earmark_sequence", b"1"))
    return Poison("an answer to a demand that nobody knows", json.dumps(ANSWER).encode(), headers, "", "forgotten-demand")
