"""`earmark verify --from-log` proves the rows against the topics, also while orders come in, and finds what is wrong: an allocator that
died after it had published, a ledger with something of everything, then one thing spoiled at a time, in the rows or in what was read."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.console.verify import statements
from services.console.verify_log import CHECKS, LogReport, load, log_connection, proof_of_log, verify_log
from shared.kafka import admin
from shared.schemas import topics
from shared.settings import Settings
from tests.integration.spoiled_logs import AHEAD, ANSWERED, COMPACTED, MARKS, READABLE, SPOILED, TWICE
from tests.integration.spoiled_rows import Spoiled
from tests.support import ledger_story
from tests.support.allocator import Channel, allocator, channel, receipt
from tests.support.careful_reader import careful_reader
from tests.support.children import Children
from tests.support.settling import until_settled
from tests.support.topic_reading import everything_on
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

SESSION_MS = 2_000


@pytest.fixture(scope="module")
def told(world: Settings, processes: Children) -> Settings:
    """A ledger and all that was told of it, some of it twice."""
    doomed = processes.start("allocator", crash="published:6", group_session_ms=SESSION_MS)
    doomed.await_ready_or_dead()
    asyncio.run(_make_ledger(world, processes))
    assert doomed.ended() == -signal.SIGKILL
    return world


async def _make_ledger(world: Settings, processes: Children) -> None:
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await ledger_story.stock_comes_and_orders(shop)
        successor = processes.start("allocator", group_session_ms=SESSION_MS)
        await asyncio.to_thread(successor.await_ready)
        await until_settled(world.dsn, reader)
        await ledger_story.orders_wait_and_one_is_picked(shop)
        await until_settled(world.dsn, reader)
        await ledger_story.goods_leave_and_are_lost(shop)
        await shop.say(receipt("r-1", "MUG", 10), receipt("r-1", "MUG", 11))  # the same again, and with other content
        await until_settled(world.dsn, reader)
        await asyncio.to_thread(successor.stop)


def _wrong(found: LogReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in found.report.checks if check.problems}


# ---------------------------------------------------------------- what holds


async def test_a_sound_log_passes_every_check_and_no_check_goes_over_nothing(told: Settings) -> None:
    seen: dict[str, tuple[int, int]] = {}
    found = await verify_log(told, lambda what, done, total: seen.update({what: (done, total)}))
    assert _wrong(found) == {}
    assert [check.name for check in found.report.checks if not check.counted] == []
    assert [one.topic for one in found.reach if one.since is not None or not one.records] == []
    assert seen["reading the topics"] == (sum(one.records for one in found.reach),) * 2, "everything was read, and said so"
    assert seen["comparing"] == (len(found.report.checks) - 1, len(found.report.checks)), "the last check began, and said so"


async def test_no_snapshot_stands_while_topics_are_read_or_between_two_checks(told: Settings) -> None:
    """It would keep every version of every row that is replaced meanwhile, which slows the work down."""
    connection, stood = await log_connection(told.dsn), set[tuple[str, bool]]()

    def look(what: str, done: int, total: int) -> None:
        stood.add((what, connection.is_in_transaction()))

    try:
        await load(connection, told, look)
        await proof_of_log(connection, look)
    finally:
        await connection.close()
    assert stood == {("copying the ledger", False), ("reading the topics", False), ("comparing", False)}


async def test_it_holds_while_orders_come_in_and_when_they_are_settled(told: Settings) -> None:
    work = Workload("log", count=60)
    async with allocator(told), channel(told.bootstrap) as shop, careful_reader(told.bootstrap) as reader:
        saying = asyncio.create_task(_say(shop, work))
        rounds = 0
        while not saying.done():
            assert _wrong(await verify_log(told)) == {}
            rounds += 1
        await saying
        assert rounds > 1, "nothing came in meanwhile"
        await until_settled(told.dsn, reader)
        assert work.unserved(reader) == []
        assert _wrong(await verify_log(told)) == {}


async def _say(shop: Channel, work: Workload) -> None:
    """One by one, so that something is always on its way."""
    messages: list[Any] = [*work.first_stock(), *work.orders(), *work.changes(), *work.rest_of_stock()]
    for message in messages:
        await shop.say(message)
        await asyncio.sleep(0.02)


# ---------------------------------------------------------------- what is found


@pytest.fixture(scope="module")
def loaded(told: Settings) -> Iterator[tuple[asyncio.Runner, asyncpg.Connection]]:
    """The ledger and what was read of the topics, as it is compared."""
    with asyncio.Runner() as runner:
        connection = runner.run(_loaded(told))
        yield runner, connection
        runner.run(connection.close())


async def _loaded(told: Settings) -> asyncpg.Connection:
    connection = await log_connection(told.dsn)
    await load(connection, told)
    return connection


def test_every_check_has_something_that_it_finds() -> None:
    assert {one.name for one in statements(CHECKS)} == {one.check for one in SPOILED}


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda one: one.what)
def test_what_is_spoiled_is_found_and_named(spoiled: Spoiled, loaded: tuple[asyncio.Runner, asyncpg.Connection]) -> None:
    runner, connection = loaded
    found = runner.run(_found(connection, spoiled.sql))
    assert spoiled.check in found, f"found only {found}"
    assert any(spoiled.named in problem for problem in found[spoiled.check]), found[spoiled.check]


async def _found(connection: asyncpg.Connection, *spoiling: str) -> dict[str, list[str]]:
    async with _taken_back(connection):
        for sql in spoiling:
            changed = await connection.execute(sql.replace("allocator.", "ledger_"))
            assert int(changed.split()[-1]) > 0, "nothing was spoiled"
        report = await proof_of_log(connection)
    return {check.name: check.problems for check in report.checks if check.problems}


@asynccontextmanager
async def _taken_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        yield
    finally:
        await savepoint.rollback()


def test_what_is_forgotten_is_not_missed(loaded: tuple[asyncio.Runner, asyncpg.Connection]) -> None:
    """A demand that ended, with its reservations, and a dead letter that was settled: longer ago than such things are kept."""
    runner, connection = loaded
    gone = (
        "DELETE FROM allocator.reservation WHERE demand = 'sales-order/acme/gone'",
        "DELETE FROM allocator.demand WHERE demand = 'sales-order/acme/gone'",
        "DELETE FROM allocator.dead_letter",
    )
    later = "UPDATE log_snapshot SET forgotten_ms = (SELECT max(said_ms) + 1 FROM log_record)"
    assert runner.run(_found(connection, *gone)).keys() >= {READABLE}
    assert runner.run(_found(connection, *gone, later)) == {}


# ---------------------------------------------------------------- with topics that are otherwise: last, because they stay so


KEPT = [topic.name for topic in topics.TOPICS if not topic.compacted]


@asynccontextmanager
async def _kept_a_second(told: Settings) -> AsyncIterator[None]:
    """Topics keep no record longer, meanwhile: over before the broker looks what it may delete, every few minutes."""
    async with admin(told.bootstrap) as client:

        async def keep(milliseconds: int) -> None:
            retention = {"retention.ms": str(milliseconds)}
            await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, retention) for name in KEPT])

        await keep(1_000)
        yield
        await keep(topics.RETENTION_DAYS * 86_400_000)


async def test_what_the_topics_do_not_keep_any_more_is_not_missing(told: Settings) -> None:
    """Half of every partition is deleted, as retention does it."""
    places = [TopicPartition(name, number) for name in KEPT for number in range(8)]
    async with careful_reader(told.bootstrap) as reader:
        ends = await reader.consumer.end_offsets(places)
    async with _kept_a_second(told):
        async with admin(told.bootstrap) as client:
            await client.delete_records({one: RecordsToDelete(before_offset=(ends[one] + 1) // 2) for one in places if ends[one]})
        found = await verify_log(told)
    assert _wrong(found) == {}
    assert [one.topic for one in found.reach if one.since is None] == [topics.STOCK_LEVELS.name]


async def test_forged_records_in_the_topics_are_found(told: Settings) -> None:
    movements = [one for one in await everything_on(told.bootstrap, topics.MOVEMENTS.name) if re.search(rb'"change":[1-9]', one.value)]
    first, last = movements[0], movements[-1]
    async with channel(told.bootstrap) as shop:
        await _forge(shop, first, first.value.replace(b'"change":', b'"change":1'), dict(first.headers))
        await _forge(shop, last, last.value, dict(last.headers) | {"earmark_sequence": b"999999"})
        await _forge(shop, last, last.value, {"ce_type": b"earmark.stock_moved.v1"})
    async with _kept_a_second(told):
        found = _wrong(await verify_log(told))
    assert {TWICE, READABLE, AHEAD} <= found.keys(), found
    assert any("nobody but the allocator" in one for one in found[READABLE]), found[READABLE]
    assert not found.keys() & {COMPACTED, ANSWERED, MARKS}


async def _forge(shop: Channel, like: Any, value: bytes, headers: dict[str, bytes]) -> None:
    await shop.say_bytes(like.topic, like.partition, value, like.key, headers.items())
