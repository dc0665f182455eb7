"""The private servers for real: from an empty folder, killed, and back with everything that was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiokafka
import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.local.errors import PortTaken, ServerDidNotStart
from shared.local.postgres import StopMode
from shared.local.stack import LocalStack

pytestmark = pytest.mark.integration

TOPIC = "kept"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    """Servers of their own: these tests kill them."""
    servers = LocalStack(tmp_path / "data", tied_to_parent=True)
    yield servers
    await asyncio.to_thread(servers.clean)


async def test_what_was_acknowledged_is_there_after_both_were_killed(stack: LocalStack) -> None:
    await _start(stack, "from an empty folder")
    bootstrap, dsn = stack.kafka_bootstrap, stack.postgres_dsn
    await _write(stack, "acknowledged")

    await asyncio.gather(asyncio.to_thread(stack.kafka.kill), asyncio.to_thread(stack.postgres.kill))
    assert not stack.is_running()

    await _start(stack, "after kill -9")
    assert (stack.kafka_bootstrap, stack.postgres_dsn) == (bootstrap, dsn), "the addresses are kept"
    assert await _read(stack) == ("acknowledged", "acknowledged")

    await asyncio.to_thread(stack.stop)
    await _start(stack, "after a stop")
    assert await _read(stack) == ("acknowledged", "acknowledged")


async def test_a_running_stack_is_found_and_left_running_by_who_did_not_start_it(stack: LocalStack) -> None:
    async with stack:
        before = stack.status()
        async with LocalStack(stack.data_folder) as second:
            assert second.status() == before
        assert stack.status() == before
    assert not stack.is_running()


async def test_only_what_is_needed_is_started(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "data", tied_to_parent=True, needed=("Postgres",))
    async with stack:
        assert stack.is_running()
        assert stack.postgres.running() is not None
        assert stack.kafka.running() is None
    await asyncio.to_thread(stack.clean)


async def test_one_server_that_can_not_start_takes_the_other_along(stack: LocalStack) -> None:
    port = stack.kafka.ports.kafka
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with other:
        with pytest.raises(PortTaken, match=f"Port {port}"):
            await asyncio.to_thread(stack.start)
    assert [server.pid for server in stack.status()] == [None, None]


async def test_a_broker_that_does_not_start_says_how_its_log_ends(stack: LocalStack) -> None:
    with pytest.raises(ServerDidNotStart, match=r"did not serve within 0\.2 seconds.*kafka\.log ends"):
        await asyncio.to_thread(stack.kafka.start, timeout_seconds=0.2)
    assert stack.kafka.running() is None


async def test_a_wrong_password_does_not_open_the_database(stack: LocalStack) -> None:
    await asyncio.to_thread(stack.postgres.start)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.postgres_dsn, password="guessed")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restarted_postgres_keeps_its_rows(stack: LocalStack, mode: StopMode) -> None:
    await asyncio.to_thread(stack.postgres.start)
    await _write_row(stack, "kept")
    await asyncio.to_thread(stack.postgres.restart, mode)
    assert await _read_row(stack) == "kept"


async def _start(stack: LocalStack, occasion: str) -> None:
    begun = time.monotonic()
    await asyncio.to_thread(stack.start)
    print(f"started {occasion} in {time.monotonic() - begun:.1f} s")


async def _write(stack: LocalStack, text: str) -> None:
    await _write_row(stack, text)
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap, acks="all") as producer:
        await producer.send_and_wait(TOPIC, text.encode())


async def _read(stack: LocalStack) -> tuple[str, str]:
    consumer = aiokafka.AIOKafkaConsumer(TOPIC, bootstrap_servers=stack.kafka_bootstrap, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(20):
        record = await consumer.getone()
    return record.value.decode(), await _read_row(stack)


async def _write_row(stack: LocalStack, text: str) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn)
    await connection.execute("CREATE TABLE kept (text text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", text)
    await connection.close()


async def _read_row(stack: LocalStack) -> str:
    connection = await asyncpg.connect(stack.postgres_dsn)
    text: str = await connection.fetchval("SELECT text FROM kept")
    await connection.close()
    return text
