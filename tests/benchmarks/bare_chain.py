"""The floor under the latency of an order alone: what it passes, with nothing in it. A row committed, a record to Kafka, and three times
more in another process, read, a row committed, a record written, until the last one is read. No HTTP, no decision, one partition a topic.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from shared.kafka import admin, consumer_settings, producer_settings
from tests.benchmarks import yardstick_tables
from tests.benchmarks.measuring import Measurement, Stopwatch

HOPS = 4
"""Orders to demand, demand to stock, stock to demand, demand to whoever listens."""
CHAINS, WARM_CHAINS = 200, 50
STUCK_SECONDS = 30
_COMMIT = "INSERT INTO outbox (key, payload) VALUES ($1, '{}')"


async def measure(dsn: str, bootstrap: str) -> Measurement:
    """One chain after the other, seconds each; CPU is the whole machine's."""
    await yardstick_tables.prepare(dsn)
    async with _topics(bootstrap) as topics, _clients(bootstrap, topics[-1:]) as (consumer, producer):
        carrier = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.benchmarks.bare_chain", dsn, bootstrap, *topics)
        try:
            async with yardstick_tables.connected(dsn) as connection:

                async def chain() -> float:
                    began = time.perf_counter()
                    await _pass_on(connection, producer, topics[0], secrets.token_hex(8))
                    async with asyncio.timeout(STUCK_SECONDS):
                        while not await consumer.getmany(timeout_ms=1_000):
                            assert carrier.returncode is None, "the other process ended"
                    return time.perf_counter() - began

                for _ in range(WARM_CHAINS):
                    await chain()
                watch = Stopwatch()
                return watch.measured(CHAINS, [await chain() for _ in range(CHAINS)])
        finally:
            if carrier.returncode is None:
                carrier.kill()
            await carrier.wait()


async def _carry(dsn: str, bootstrap: str, topics: Sequence[str]) -> None:
    """The other process: from each topic to the next, until it is killed."""
    async with _clients(bootstrap, topics[:-1]) as (consumer, producer), yardstick_tables.connected(dsn) as connection:
        while True:
            for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
                for record in records:
                    await _pass_on(connection, producer, topics[topics.index(place.topic) + 1], record.key.decode())


async def _pass_on(connection: Any, producer: Any, topic: str, key: str) -> None:
    await connection.execute(_COMMIT, key)
    batch = producer.create_batch()
    batch.append(key=key.encode(), value=b"{}", timestamp=None)
    await (await producer.send_batch(batch, topic, partition=0))


@asynccontextmanager
async def _topics(bootstrap: str) -> AsyncIterator[list[str]]:
    stamp = secrets.token_hex(6)
    names = [f"bare-chain-{hop}-{stamp}" for hop in range(HOPS)]
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, 1, 1) for name in names])
        try:
            yield names
        finally:
            await client.delete_topics(names)


@asynccontextmanager
async def _clients(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[tuple[Any, Any]]:
    """A consumer of these topics from their beginning, and a producer."""
    async with AsyncExitStack() as stack:
        consumer, producer = AIOKafkaConsumer(**consumer_settings(bootstrap)), AIOKafkaProducer(**producer_settings(bootstrap))
        for one in (consumer, producer):
            await one.start()
            stack.push_async_callback(one.stop)
        places = [TopicPartition(name, 0) for name in topics]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        yield consumer, producer


if __name__ == "__main__":
    uvloop.run(_carry(sys.argv[1], sys.argv[2], sys.argv[3:]))
