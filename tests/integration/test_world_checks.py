"""Kafka and Postgres belong together: where one is not what the other remembers, nothing is read or written, and the remedy is named."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions, NewTopic
from pydantic import SecretStr

from services.console.serve import REFUSED
from services.console.verify import verify
from shared.database import hot_connection
from shared.kafka import WorldChanged, admin, consumer_settings, stop_client
from shared.partitions.ahead import WRITTEN
from shared.partitions.process import PartitionProcess
from shared.schemas.topics import INVENTORY, MOVEMENTS, ORDERS, WORK_ORDERS, Topic
from shared.settings import Settings
from shared.world import check, prepare
from tests.support import databases
from tests.support.allocator import allocator, channel, order, receipt, settings_for
from tests.support.careful_reader import careful_reader
from tests.support.children import children
from tests.support.settling import until_settled
from tests.support.topics import await_leaders

pytestmark = pytest.mark.integration

HALTED_WITHIN_SECONDS = 20
NUMBERS = [f"order-{number}" for number in range(12)]


@pytest.fixture
async def served(fresh_topics: str, database: str) -> AsyncIterator[Settings]:
    """A world in which a dozen orders were served, and nobody runs."""
    settings = settings_for(fresh_topics, database).model_copy(update={"world_check_seconds": 1.0})
    async with allocator(settings), channel(fresh_topics) as shop, careful_reader(fresh_topics) as reader:
        await shop.say(receipt("first", "MUG", 100), *(order(number, {"MUG": 1}) for number in NUMBERS))
        await until_settled(database, reader)
    yield settings
    assert (await verify(database)).ok, "whatever was refused, the books balance"


# ---------------------------------------------------------------- while nobody runs


async def test_other_partition_counts_in_the_settings_are_refused(served: Settings, tmp_path: Path) -> None:
    other = served.model_copy(update={"stock_partitions": 16})
    for refusing in (prepare, check):
        with pytest.raises(WorldChanged, match=r"are 8 for ever, and settings says 16.*#partition-count-changed"):
            await refusing(other)
    with children(served, tmp_path, stock_partitions="16") as started:
        refused = started.start("allocator")
        assert await asyncio.to_thread(refused.ended, 30) == REFUSED
        assert "are 8 for ever, and settings says 16" in refused.said()
        assert "Traceback" not in refused.said()


async def test_another_cluster_is_refused(served: Settings) -> None:
    await _pretend_another_cluster(served)
    for refusing in (prepare, check):
        with pytest.raises(WorldChanged, match=r"belongs to the Kafka cluster elsewhere.*#cluster-changed"):
            await refusing(served)


async def test_a_database_that_was_not_prepared_is_refused(kafka_bootstrap: str, database: str) -> None:
    with pytest.raises(WorldChanged, match="earmark migrate"):
        await check(settings_for(kafka_bootstrap, database))


async def test_a_topic_that_is_gone_is_refused_and_not_made_anew(served: Settings) -> None:
    await _delete(served, WORK_ORDERS)
    for refusing in (prepare, check):
        with pytest.raises(WorldChanged, match=r"partitions of earmark\.work-orders are 8.*topic is gone"):
            await refusing(served)


@pytest.mark.parametrize("records", ["fewer", "as many", "more"])
async def test_a_topic_made_anew_meanwhile_stops_everything_at_takeover(records: str, served: Settings) -> None:
    await _make_anew(served, ORDERS)
    async with channel(served.bootstrap) as shop:
        again = {"fewer": NUMBERS[:1], "as many": NUMBERS, "more": NUMBERS * 2}[records]
        await shop.say(*(order(number, {"MUG": 2}, version=2) for number in again))
    async with allocator(served) as process:
        assert "#topic-recreated" in (halted := await _halted(process)) or "#offset-out-of-range" in halted
        assert process.troubles() == [halted]


async def test_a_database_restored_from_an_older_backup_stops_everything_at_takeover(served: Settings, postgres_dsn: str) -> None:
    backup = await _backup(served, postgres_dsn)
    async with allocator(served), channel(served.bootstrap) as shop, careful_reader(served.bootstrap) as reader:
        await shop.say(order("forgotten", {"MUG": 1}))
        await until_settled(served.dsn, reader)
    restored = served.model_copy(update={"postgres": SecretStr(backup)})
    before = await _outputs(served), await _batches(restored)
    async with allocator(restored) as process:
        assert "#kafka-ahead-of-postgres" in (halted := await _halted(process))
        assert process.troubles() == [halted]
        assert not any(worker.is_serving for worker in process.workers.values())
    assert (await _outputs(served), await _batches(restored)) == before, "nothing was decided or told on it"
    await databases.drop(postgres_dsn, backup)
    async with allocator(served) as process:
        await _until_ready(process)


# ---------------------------------------------------------------- while it runs


async def test_a_topic_made_anew_under_a_running_allocator_stops_it(served: Settings) -> None:
    async with allocator(served) as process, channel(served.bootstrap) as shop:
        await _until_ready(process)
        await _make_anew(served, INVENTORY)
        await shop.say(*(receipt(f"again-{number}", "MUG", 1) for number in range(5)))
        assert "earmark.inventory" in await _halted(process)
        assert not any(worker.is_serving for worker in process.workers.values())


async def test_a_topic_deleted_under_a_running_allocator_stops_it(served: Settings) -> None:
    async with allocator(served) as process:
        await _until_ready(process)
        await _delete(served, WORK_ORDERS)
        assert "topic is gone" in await _halted(process)


async def test_partitions_added_under_a_running_allocator_stop_it(served: Settings) -> None:
    async with allocator(served) as process:
        await _until_ready(process)
        async with admin(served.bootstrap) as client:
            await client.create_partitions({INVENTORY.name: NewPartitions(9)})
        assert "are 8 for ever, and Kafka says 9" in await _halted(process)


async def test_another_cluster_behind_the_same_address_stops_a_running_allocator(served: Settings) -> None:
    async with allocator(served) as process:
        await _until_ready(process)
        await _pretend_another_cluster(served)
        assert "#cluster-changed" in await _halted(process)


async def test_outputs_that_can_not_be_published_are_complained_of_until_they_can(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.partitions.process.STUCK_SECONDS", 2.0)
    async with allocator(served.model_copy(update={"world_check_seconds": 3_600.0})) as process, channel(served.bootstrap) as shop:
        await _until_ready(process)
        await _delete(served, MOVEMENTS)
        await shop.say(receipt("unheard", "MUG", 1))
        assert "could not publish" in "".join(await _complaints(process, some=True))
        await _make(served, MOVEMENTS)
        assert await _complaints(process, some=False) == []


# ---------------------------------------------------------------- what is done to the world


async def _backup(settings: Settings, server: str) -> str:
    """A copy of the database as it is now, which Postgres makes when the last connection to it has ended."""
    name = urlsplit(settings.dsn).path.lstrip("/")
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(asyncpg.ObjectInUseError):
                return await databases.create(server, name)
            await asyncio.sleep(0.05)


async def _batches(settings: Settings) -> int:
    connection: asyncpg.Connection = await hot_connection(settings.dsn, "test")
    try:
        return int(await connection.fetchval("SELECT count(*) FROM allocator.batch"))
    finally:
        await connection.close()


async def _outputs(settings: Settings) -> dict[TopicPartition, int]:
    """Where everything that state partitions write ends."""
    consumer = AIOKafkaConsumer(**consumer_settings(settings.bootstrap))
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets([TopicPartition(t.name, n) for t in WRITTEN for n in range(8)])
        return ends
    finally:
        await stop_client(consumer)


async def _pretend_another_cluster(settings: Settings) -> None:
    connection: asyncpg.Connection = await hot_connection(settings.dsn, "test")
    try:
        await connection.execute("UPDATE platform.world SET value = 'elsewhere' WHERE name = 'cluster id'")
    finally:
        await connection.close()


async def _delete(settings: Settings, topic: Topic) -> None:
    async with admin(settings.bootstrap) as client:
        await client.delete_topics([topic.name])
        async with asyncio.timeout(10):
            while topic.name in await client.list_topics():
                await asyncio.sleep(0.05)


async def _make_anew(settings: Settings, topic: Topic) -> None:
    await _delete(settings, topic)
    await _make(settings, topic)


async def _make(settings: Settings, topic: Topic) -> None:
    async with admin(settings.bootstrap) as client:
        await client.create_topics([NewTopic(topic.name, 8, 1)])
    await await_leaders(settings.bootstrap, {topic.name: 8})


async def _until_ready(process: PartitionProcess) -> None:
    async with asyncio.timeout(20):
        while not process.is_ready():
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)  # at least one look at the world finds it as it was
    assert process.troubles() == []


async def _complaints(process: PartitionProcess, *, some: bool) -> list[str]:
    """Wait until there are some, or none; returns them."""
    async with asyncio.timeout(HALTED_WITHIN_SECONDS):
        while bool(process.troubles()) != some:
            await asyncio.sleep(0.1)
    return process.troubles()


async def _halted(process: PartitionProcess) -> str:
    """Wait until everything stands still; returns why."""
    async with asyncio.timeout(HALTED_WITHIN_SECONDS):
        while process.halted is None:
            await asyncio.sleep(0.05)
    return process.halted
