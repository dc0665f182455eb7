"""No record and no sleeping client stops a reader for ever: the group member of orders, the reader of state partitions, projections."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faststream.kafka import KafkaBroker
from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.store.tables import DEAD_LETTER
from services.orders.subscriber import Subscriber
from shared.consumer import Consumer, behind
from shared.database import dispose, engine
from shared.kafka import consumer_settings, group_settings, producer_settings, stop_client
from shared.partitions.model import InputRecord
from shared.partitions.reader import READ_AT_ONCE, Attachment, LogReader
from shared.projection import Projection, Projector
from shared.relay import Outbox
from shared.schemas.wire import Envelope, Record, encode
from tests.builders.inventory import AT, level
from tests.support.beside import beside
from tests.support.http_service import settings_for
from tests.support.strange_headers import READ_AS, say_strangely
from tests.support.topics import unique

pytestmark = pytest.mark.integration


async def _say(kafka: str, topic: str, *values: bytes, **more: Any) -> None:
    producer = AIOKafkaProducer(**producer_settings(kafka) | more)
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value, partition=0)
    await stop_client(producer)


async def _until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not met():
            await asyncio.sleep(0.02)


async def test_aiokafka_itself_never_gets_past_a_header_name_that_is_not_utf8(kafka_bootstrap: str, topic: str) -> None:
    """When this fails, aiokafka can read them, and `shared.consumer` may go."""
    await say_strangely(kafka_bootstrap, topic, b"k", b"v")
    consumer = AIOKafkaConsumer(**consumer_settings(kafka_bootstrap))
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    for _ in range(2):
        consumer.seek(TopicPartition(topic, 0), 0)
        with pytest.raises(UnicodeDecodeError):
            await consumer.getmany(timeout_ms=10_000)
    await stop_client(consumer)


async def test_what_the_failed_poll_had_taken_from_other_partitions_is_not_lost(kafka_bootstrap: str, topic: str) -> None:
    other = await unique(kafka_bootstrap)
    consumer: Any = Consumer(topic, other, **group_settings(kafka_bootstrap, f"group-{topic}"))
    await consumer.start()
    values: list[bytes] = []
    try:
        for first in (0, 10):
            await _say(kafka_bootstrap, other, *[b"%d" % n for n in range(first, first + 5)])
            await _say(kafka_bootstrap, topic, b"before")
            await say_strangely(kafka_bootstrap, topic, b"k", b"strange")
            await _say(kafka_bootstrap, topic, b"after")
            while len(values) < first + 8 - first // 5:
                found = await consumer.getmany(timeout_ms=500, max_records=3)
                values += [record.value for records in found.values() for record in records]
    finally:
        await stop_client(consumer)
    assert [value for value in values if value.isdigit()] == [b"%d" % n for n in (*range(5), *range(10, 15))]
    assert [value for value in values if not value.isdigit()] == [b"before", b"strange", b"after"] * 2


async def test_orders_take_a_record_with_a_strange_header_and_what_comes_behind_it(kafka_bootstrap: str, topic: str) -> None:
    taken: list[InputRecord] = []

    async def handle(records: Sequence[InputRecord]) -> None:
        taken.extend(records)

    async def condemn(record: InputRecord, reason: str) -> None:
        raise AssertionError(f"{record.offset}: {reason}")

    await say_strangely(kafka_bootstrap, topic, b"k", b"strange", (("ce_type", b"t"),))
    async with beside(Subscriber(kafka_bootstrap, f"group-{topic}", [topic], handle, condemn).run()):
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            await _say(kafka_bootstrap, topic, codec.encode(), compression_type=codec)
        await _until(lambda: len(taken) == 5)
    assert [record.value for record in taken] == [b"strange", b"gzip", b"snappy", b"lz4", b"zstd"]
    assert taken[0].headers == ((READ_AS, b"x"), ("ce_type", b"t"))


async def test_a_state_partition_reads_on_behind_a_strange_header(kafka_bootstrap: str, topic: str) -> None:
    offered: list[InputRecord] = []
    reader = LogReader(kafka_bootstrap)
    reader.attach(Attachment((topic,), 0, lambda _: offered[-1].offset + 1 if offered else 0, lambda: True, offered.extend))
    async with beside(reader.run()):
        await _say(kafka_bootstrap, topic, b"before")
        await say_strangely(kafka_bootstrap, topic, b"k", b"strange")
        await _say(kafka_bootstrap, topic, b"after")
        await _until(lambda: len(offered) == 3)
    assert [record.value for record in offered] == [b"before", b"strange", b"after"]


async def test_a_state_partition_without_room_has_not_much_more_than_it_has_room_for(kafka_bootstrap: str, topic: str) -> None:
    offered: list[InputRecord] = []
    room, reader = 50, LogReader(kafka_bootstrap)
    await _say(kafka_bootstrap, topic, *[b"%d" % number for number in range(3 * READ_AT_ONCE)])
    attachment = Attachment((topic,), 0, lambda _: len(offered), lambda: len(offered) < room, offered.extend)
    reader.attach(attachment)
    async with beside(reader.run()):
        await _until(lambda: len(offered) >= room)
        await asyncio.sleep(0.2)
        taken, room = len(offered), 10 * READ_AT_ONCE
        await _until(lambda: len(offered) == 3 * READ_AT_ONCE)
    assert taken <= READ_AT_ONCE, "what else the fetch has brought waits undecoded"
    assert [record.offset for record in offered] == list(range(3 * READ_AT_ONCE))


# ---------------------------------------------------------------- projections


class Watched(Projector):
    """Keeps its brokers, so that a test can put one to sleep."""

    def broker(self) -> KafkaBroker:
        made = super().broker()
        self.__dict__.setdefault("brokers", []).append(made)
        return made


@asynccontextmanager
async def _projected(dsn: str, kafka: str, topic: str, folded: list[str]) -> AsyncIterator[Watched]:
    async def apply(_: AsyncConnection, messages: Sequence[Any]) -> None:
        folded.extend(message.sku for message in messages)

    pool = engine(settings_for(dsn, kafka))
    projection = Projection(topic, (topic,), frozenset({"stock_level_changed"}), apply)
    projector = Watched("inventory", kafka, pool, Outbox("inventory", 4), DEAD_LETTER, [projection])
    async with projector.running():
        yield projector
    await dispose(pool)


def _level(sku: str, sequence: int) -> Record:
    return encode(level(sku, 1), key=f"acme/{sku}", envelope=Envelope("stock/0/1", sequence), time=AT)


async def _tell(kafka: str, topic: str, sku: str, sequence: int) -> None:
    producer = AIOKafkaProducer(**producer_settings(kafka))
    await producer.start()
    record = _level(sku, sequence)
    await producer.send_and_wait(topic, record.value, key=record.key, partition=0, headers=list(record.headers))
    await stop_client(producer)


async def test_a_projection_folds_a_record_with_a_strange_header_and_what_comes_behind_it(
    database: str, kafka_bootstrap: str, topic: str
) -> None:
    folded: list[str] = []
    async with _projected(database, kafka_bootstrap, topic, folded) as projector:
        strange = _level("STRANGE", 1)
        await say_strangely(kafka_bootstrap, topic, strange.key, strange.value, strange.headers)
        await _tell(kafka_bootstrap, topic, "BEHIND", 2)
        await _until(lambda: len(folded) == 2)
        assert projector.condition() == "running"
    assert folded == ["STRANGE", "BEHIND"]


def _noted(seen: list[str], condition: str) -> bool:
    seen.append(condition)
    return True


def _sleep(consumer: Any, topic: str) -> None:
    consumer.pause(TopicPartition(topic, 0))


def _forget(consumer: Any, topic: str) -> None:
    """As where the answer of the group's coordinator never comes."""
    _sleep(consumer, topic)
    consumer.position = lambda _: asyncio.Event().wait()


@pytest.mark.parametrize(("spoil", "said"), [(_sleep, "stood still at 1"), (_forget, "does not say where it stands")])
async def test_a_projection_whose_consumer_sits_still_says_so_and_gets_a_new_one(
    database: str, kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any, str], None], said: str
) -> None:
    monkeypatch.setattr("shared.projection.STUCK_SECONDS", 1.0)
    folded: list[str] = []
    seen: list[str] = []
    async with _projected(database, kafka_bootstrap, topic, folded) as projector:
        await _tell(kafka_bootstrap, topic, "FIRST", 1)
        await _until(lambda: len(folded) == 1)
        (spoiled,) = projector.__dict__["brokers"]
        spoil(spoiled.subscribers[0].consumer, topic)
        await _tell(kafka_bootstrap, topic, "SECOND", 2)
        await _until(lambda: _noted(seen, projector.condition()) and len(folded) == 2)
        await _until(lambda: projector.condition() == "running")
    assert folded == ["FIRST", "SECOND"]
    assert any(said in one for one in seen)
    assert len(projector.__dict__["brokers"]) == 2


async def _joined(kafka: str, topic: str, group: str) -> Any:
    member: Any = Consumer(topic, **group_settings(kafka, group))
    await member.start()
    return member


async def test_a_member_that_was_given_no_partition_sees_whether_its_group_stands_still(kafka_bootstrap: str, topic: str) -> None:
    await _say(kafka_bootstrap, topic, b"1", b"2")
    members = [await _joined(kafka_bootstrap, topic, f"group-{topic}") for _ in range(2)]
    await _until(lambda: sorted(len(member.assignment()) for member in members) == [0, 1])
    idle, busy = sorted(members, key=lambda member: len(member.assignment()))
    place = TopicPartition(topic, 0)
    assert await behind(idle) == {place: 0}
    await busy.commit({place: 1})
    assert await behind(idle) == {place: 1}
    await busy.commit({place: 2})
    assert await behind(idle) == {}
    for member in members:
        await stop_client(member)
