"""The subscriber of orders on a real Kafka: a handler that fails loses nothing, repeats nothing committed and harms no neighbour."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from services.orders.subscriber import Subscriber
from shared.kafka import producer_settings, stop_client
from shared.partitions.model import InputRecord
from tests.support.beside import beside

pytestmark = pytest.mark.integration


@dataclass
class Handler:
    """Collects what it is handed; fails as told."""

    failures: list[Exception] = field(default_factory=list)
    poison: bytes | None = None
    handled: list[bytes] = field(default_factory=list)
    condemned: list[tuple[bytes, str]] = field(default_factory=list)

    async def handle(self, records: Sequence[InputRecord]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        values = [record.value or b"" for record in records]
        if self.poison in values:
            raise asyncpg.NumericValueOutOfRangeError("integer out of range")
        self.handled += values

    async def condemn(self, record: InputRecord, reason: str) -> None:
        self.condemned.append((record.value or b"", reason))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.handled) + len(self.condemned) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _subscribed(kafka: str, topic: str, handler: Handler) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(kafka, f"group-{topic}", [topic], handler.handle, handler.condemn)
    async with beside(subscriber.run()):
        yield subscriber


async def _produce(kafka: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(**producer_settings(kafka))
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value, partition=0)
    await stop_client(producer)


def numbered(first: int, count: int) -> list[bytes]:
    return [str(n).encode() for n in range(first, first + count)]


async def test_records_come_in_order_and_after_a_stop_only_the_new_ones(kafka_bootstrap: str, topic: str) -> None:
    await _produce(kafka_bootstrap, topic, *numbered(0, 20))
    first = Handler()
    async with _subscribed(kafka_bootstrap, topic, first):
        await first.until(20)
    assert first.handled == numbered(0, 20)
    await _produce(kafka_bootstrap, topic, *numbered(20, 5))
    second = Handler()
    async with _subscribed(kafka_bootstrap, topic, second):
        await second.until(5)
    assert second.handled == numbered(20, 5)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        ConnectionRefusedError("away"),
        ValueError("a fault of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_batch_that_fails_is_tried_again_until_it_is_done(
    kafka_bootstrap: str, topic: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(failures=[error, error])
    await _produce(kafka_bootstrap, topic, *numbered(0, 5))
    async with _subscribed(kafka_bootstrap, topic, handler) as subscriber:
        await handler.until(5)
        assert subscriber.condition() == "reads"
    assert handler.handled == numbered(0, 5)
    said = [record.message for record in caplog.records if record.name == "earmark.orders.subscriber"]
    assert len(said) == 1
    assert "nothing is lost" in said[0]


async def test_a_record_that_the_database_never_takes_is_condemned_alone(kafka_bootstrap: str, topic: str) -> None:
    handler = Handler(poison=b"3")
    await _produce(kafka_bootstrap, topic, *numbered(0, 6))
    async with _subscribed(kafka_bootstrap, topic, handler):
        await handler.until(6)
    assert handler.handled == [b"0", b"1", b"2", b"4", b"5"]
    ((value, reason),) = handler.condemned
    assert value == b"3"
    assert "out of range" in reason


async def test_while_it_fails_health_says_why(kafka_bootstrap: str, topic: str) -> None:
    handler = Handler(failures=[ValueError("a fault of ours")] * 50)
    await _produce(kafka_bootstrap, topic, b"0")
    async with _subscribed(kafka_bootstrap, topic, handler) as subscriber, asyncio.timeout(30):
        while "a fault of ours" not in subscriber.condition():
            await asyncio.sleep(0.02)
    assert handler.handled == []
