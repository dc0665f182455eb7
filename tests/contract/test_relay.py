"""The outbox of an HTTP service and its relay, on the real Postgres and the real Kafka: nothing lost, the rows of one entity in order."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import dispose, engine
from shared.migrations import migrate
from shared.partitions.model import OutboxRow
from shared.relay import MessageTooLarge, Outbox, Outgoing, Relay
from shared.relay import relay as relay_module
from shared.relay.outbox import NUMBERS, ROW_RECORDS, records_of
from shared.relay.relay import LOCKS
from shared.schemas.commands import ReceiveStock
from shared.schemas.events import StockLevelChanged, WarehouseLevel
from shared.schemas.topics import INVENTORY, STOCK_LEVELS
from shared.schemas.wire import Envelope, Record, decode, encode, header_map, partition_of
from tests.support.http_service import KAFKA_AWAY, settings_for
from tests.support.migrations import migrations_until
from tests.support.relay_process import PARTITIONS, SCHEMA, SHARDS, relay
from tests.support.topic_reading import everything_on

pytestmark = pytest.mark.integration
OUTBOX = Outbox(SCHEMA, SHARDS)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[AsyncEngine]:
    made = engine(settings_for(database, KAFKA_AWAY))
    async with made.begin() as connection:
        await connection.execute(text("CREATE TABLE inventory.entity (name text PRIMARY KEY, version int NOT NULL DEFAULT 0)"))
    yield made
    await dispose(made)


async def write(pool: AsyncEngine, entity: str, *, pause: float = 0.0, outbox: Outbox = OUTBOX) -> None:
    """One command: lock the entity, raise its version, tell it."""
    lock = text("UPDATE inventory.entity SET version = version + 1 WHERE name = :name RETURNING version")
    async with pool.begin() as connection:
        version = await connection.scalar(lock, {"name": entity})
        await outbox.append(connection, NOW, _message(entity, version))
        await asyncio.sleep(pause)


async def write_many(pool: AsyncEngine, entities: Sequence[str], times: int, seed: int = 1) -> None:
    """Eight writers at once, entities in random order, some holding their transaction open for a while."""
    async with pool.begin() as connection:
        await connection.execute(text("INSERT INTO inventory.entity (name) VALUES (:name)"), [{"name": name} for name in entities])
    chance = random.Random(seed)
    waiting = [entity for entity in entities for _ in range(times)]
    chance.shuffle(waiting)

    async def writer() -> None:
        while waiting:
            await write(pool, waiting.pop(), pause=chance.choice([0.0, 0.0, 0.0, 0.01]))

    await asyncio.gather(*(writer() for _ in range(8)))


def _message(entity: str, version: int) -> Outgoing:
    stock = ReceiveStock(
        command_id=f"{entity}-{version}", merchant="acme", sku=entity, warehouse="W1", bin="B1", units=version, issued_at=NOW
    )
    return Outgoing(entity, INVENTORY.name, f"acme/{entity}", stock)


async def drained(pool: AsyncEngine, seconds: float = 30.0) -> None:
    """Wait until the outbox is empty."""
    async with asyncio.timeout(seconds):
        while await rows(pool):
            await asyncio.sleep(0.05)


async def rows(pool: AsyncEngine) -> int:
    async with pool.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM inventory.outbox")) or 0)


async def told(kafka: str) -> dict[str, list[int]]:
    """Every version of each entity that is on the topic, in the order of its partition."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for record in await everything_on(kafka, INVENTORY.name, partitions=PARTITIONS):
        (stock,) = decode(record.value, header_map(record.headers), {"receive_stock"})
        assert record.partition == partition_of(record.key, PARTITIONS)
        found[stock.sku].append(stock.units)
    return dict(found)


def firsts(versions: Sequence[int]) -> list[int]:
    """What a reader sees that keeps the highest version and ignores the rest."""
    seen: list[int] = []
    for version in versions:
        if not seen or version > seen[-1]:
            seen.append(version)
    return seen


@contextlib.asynccontextmanager
async def running(one: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait({task})
        await one.writer.close()  # type: ignore[attr-defined]  # the Kafka writer of these tests


@contextlib.asynccontextmanager
async def process(database: str, kafka: str, frozen_seconds: float = 15.0) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tests.support.relay_process", database, kafka, str(frozen_seconds)]
    one = await asyncio.create_subprocess_exec(*command)
    try:
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            one.kill()
        await one.wait()


async def holders(database: str) -> dict[int, int]:
    """Which backend holds how many shards."""
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetch(
            "SELECT pid, count(*) AS shards FROM pg_locks JOIN pg_database ON oid = database"
            " WHERE locktype = 'advisory' AND granted AND datname = current_database() GROUP BY pid"
        )
        return {row["pid"]: row["shards"] for row in found}
    finally:
        await connection.close()


async def until_held(database: str, shards: int = SHARDS, seconds: float = 20.0) -> dict[int, int]:
    async with asyncio.timeout(seconds):
        while sum((found := await holders(database)).values()) < shards:
            await asyncio.sleep(0.05)
    return found


ENTITIES = [f"E{number}" for number in range(40)]


async def test_every_version_of_every_entity_is_published_once_and_in_order(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with running(relay(database, fresh_topics)):
        await write_many(pool, ENTITIES, 15)
        await drained(pool)
    assert await told(fresh_topics) == {entity: list(range(1, 16)) for entity in ENTITIES}


async def test_what_was_rolled_back_is_never_told(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with running(relay(database, fresh_topics)):
        async with pool.connect() as connection, connection.begin() as transaction:
            await OUTBOX.append(connection, NOW, _message("E1", 1))
            await transaction.rollback()
        async with pool.begin() as connection:
            await OUTBOX.append(connection, NOW, _message("E2", 1))
        await drained(pool)
    assert await told(fresh_topics) == {"E2": [1]}


async def test_of_two_relays_each_shard_has_one_and_a_killed_ones_shards_move_without_loss(
    pool: AsyncEngine, database: str, fresh_topics: str
) -> None:
    async with process(database, fresh_topics) as first, process(database, fresh_topics):
        held = await until_held(database)
        assert sum(held.values()) == SHARDS
        writing = asyncio.create_task(write_many(pool, ENTITIES, 30))
        await asyncio.sleep(0.4)
        first.kill()
        await writing
        await drained(pool)
    found = await told(fresh_topics)
    assert {entity: firsts(found[entity]) for entity in ENTITIES} == {entity: list(range(1, 31)) for entity in ENTITIES}


async def test_relays_that_are_killed_again_and_again_lose_nothing(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    writing = asyncio.create_task(write_many(pool, ENTITIES, 25, seed=2))
    for pause in (0.5, 0.6, 0.7):
        async with process(database, fresh_topics) as one:
            await until_held(database)
            await asyncio.sleep(pause - 0.45)
            one.kill()
    await writing
    async with running(relay(database, fresh_topics)):
        await drained(pool)
    found = await told(fresh_topics)
    assert {entity: firsts(found[entity]) for entity in ENTITIES} == {entity: list(range(1, 26)) for entity in ENTITIES}


async def test_a_relay_whose_connection_is_cut_comes_back_by_itself(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with running(relay(database, fresh_topics)):
        (pid,) = await until_held(database)
        writing = asyncio.create_task(write_many(pool, ENTITIES, 10))
        connection = await asyncpg.connect(database)
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
        await connection.close()
        await writing
        await drained(pool)
    found = await told(fresh_topics)
    assert {entity: firsts(found[entity]) for entity in ENTITIES} == {entity: list(range(1, 11)) for entity in ENTITIES}


async def test_a_frozen_relay_loses_its_shards_and_does_no_harm_when_it_thaws(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with process(database, fresh_topics, frozen_seconds=2.0) as frozen:
        (pid,) = await until_held(database)
        os.kill(frozen.pid, signal.SIGSTOP)
        await write_many(pool, ENTITIES, 5)
        async with running(relay(database, fresh_topics)):
            await drained(pool)
            assert pid not in await holders(database)
            os.kill(frozen.pid, signal.SIGCONT)
            await write(pool, ENTITIES[0])
            await asyncio.sleep(1.0)
            await drained(pool)
    found = await told(fresh_topics)
    assert firsts(found[ENTITIES[0]]) == list(range(1, 7))
    assert {entity: firsts(found[entity]) for entity in ENTITIES[1:]} == {entity: list(range(1, 6)) for entity in ENTITIES[1:]}


async def test_a_relay_that_froze_in_the_middle_of_a_statement_loses_its_shards_too(
    pool: AsyncEngine, database: str, fresh_topics: str
) -> None:
    """Postgres takes it for active and waits for it for ever, so here a statement that goes on and on holds every shard."""
    frozen = await asyncpg.connect(database, server_settings={"application_name": f"{SCHEMA} relay"})
    for shard in range(SHARDS):
        await frozen.execute("SELECT pg_advisory_lock($1, hashtext($2))", LOCKS, f"{SCHEMA}/{shard}")
    silent = asyncio.create_task(frozen.execute("SELECT pg_sleep(60)"))
    await write_many(pool, ENTITIES[:4], 2)
    async with running(relay(database, fresh_topics, frozen_seconds=1.0)):
        await drained(pool)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await silent
    await frozen.close()


async def test_while_kafka_is_away_rows_wait_and_the_relay_says_so(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with running(relay(database, KAFKA_AWAY)) as waiting:
        waiting.max_rows = 5
        await write_many(pool, ENTITIES[:6], 2)
        async with asyncio.timeout(20):
            while waiting.healthy or not waiting.full:
                await asyncio.sleep(0.05)
        assert await rows(pool) == 12
    async with running(relay(database, fresh_topics)) as back:
        await drained(pool)
        async with asyncio.timeout(10):
            while not back.healthy or back.full:
                await asyncio.sleep(0.05)
    assert await told(fresh_topics) == {entity: [1, 2] for entity in ENTITIES[:6]}


async def test_rows_of_more_shards_than_there_are_now_are_published_too(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    async with pool.begin() as connection:
        for entity in ENTITIES:
            await Outbox(SCHEMA, 16).append(connection, NOW, _message(entity, 1))
    async with running(relay(database, fresh_topics, shards=2)):
        await drained(pool)
    assert await told(fresh_topics) == {entity: [1] for entity in ENTITIES}


async def test_a_commit_is_published_at_once_by_whoever_holds_its_shard(pool: AsyncEngine, database: str, fresh_topics: str) -> None:
    """Woken from the pool in the same process, by NOTIFY from another: neither waits for the poll."""
    loop = asyncio.get_running_loop()
    async with process(database, fresh_topics), running(relay(database, fresh_topics)) as here:
        here.follow(pool)
        await until_held(database)
        await write_many(pool, ENTITIES, 1)
        await drained(pool)
        took = []
        for entity in ENTITIES[:20]:
            started = loop.time()
            await write(pool, entity)
            while await rows(pool):
                await asyncio.sleep(0.002)
            took.append(loop.time() - started)
    assert sorted(took)[len(took) // 2] < 0.3


async def test_what_waits_in_several_shards_goes_out_together_and_none_waits_for_another(
    pool: AsyncEngine, database: str, fresh_topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard where much waits takes its share of every batch and no more."""
    monkeypatch.setattr(relay_module, "BATCH_ROWS", 4 * SHARDS)
    names = [f"E{number}" for number in range(200)]
    busy, *others = [[name for name in names if partition_of(name, SHARDS) == shard] for shard in range(SHARDS)]
    await write_many(pool, [*busy[:20], *[name for few in others for name in few[:3]]], 1)
    one, published = relay(database, fresh_topics), list[int]()
    publish = one.writer.publish

    async def counted(rows: Sequence[OutboxRow]) -> None:
        published.append(sum(len(row.records) for row in rows))
        await publish(rows)

    monkeypatch.setattr(one.writer, "publish", counted)
    async with running(one):
        await drained(pool)
    assert published == [4 + 3 * (SHARDS - 1), 16]


async def stored(pool: AsyncEngine) -> list[tuple[int, list[Record]]]:
    """The rows that wait: their ids and records."""
    sql = text("SELECT id, headers::text, record_count, records FROM inventory.outbox ORDER BY id")
    async with pool.connect() as connection:
        return [(row.id, records_of(SCHEMA, *row)) for row in (await connection.execute(sql)).all()]


async def test_a_record_is_numbered_by_its_row_and_names_its_service_and_its_trace(pool: AsyncEngine) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    outgoing = [_message("E1", 1), _message("E1", 2).but(traceparent=trace), _message("E1", 3).but(traceparent=trace)]
    async with pool.begin() as connection:
        await OUTBOX.append(connection, NOW, *outgoing[:2])
        await OUTBOX.append(connection, NOW, *outgoing[2:])
    (first, two), (second, one) = await stored(pool)
    assert first < second
    numbers = [first * NUMBERS, first * NUMBERS + 1, second * NUMBERS]
    for number, told, record in zip(numbers, outgoing, two + one, strict=True):
        whole = encode(told.message, key=told.key, envelope=Envelope(SCHEMA, number), time=NOW, traceparent=told.traceparent)
        assert (record.key, record.value, sorted(record.headers)) == (whole.key, whole.value, sorted(whole.headers))


async def test_what_one_transaction_says_in_one_shard_is_one_row_up_to_a_limit_and_stays_in_order(pool: AsyncEngine) -> None:
    outgoing = [_message(f"E{number % 7}", number + 1) for number in range(4 * ROW_RECORDS + 40)]
    async with pool.begin() as connection:
        await Outbox(SCHEMA, 1).append(connection, NOW, *outgoing)
    rows = await stored(pool)
    assert [len(records) for _, records in rows] == [ROW_RECORDS] * 4 + [40]
    assert [record.key.decode() for _, records in rows for record in records] == [one.key for one in outgoing]


async def test_what_waits_in_an_outbox_of_the_old_form_keeps_its_content(empty_database: str, tmp_path: Path) -> None:
    await migrate(empty_database, scripts=migrations_until("0008", tmp_path))
    told = _message("E1", 1)
    whole = encode(told.message, key=told.key, envelope=Envelope(SCHEMA, 7 * NUMBERS), time=NOW)
    headers = [[name, value.decode()] for name, value in whole.headers if name not in {"ce_id", "earmark_sequence"}]
    connection = await asyncpg.connect(empty_database)
    insert = "INSERT INTO inventory.outbox (id, shard, topic, key, value, headers) VALUES (7, 0, $1, $2, $3, $4)"
    await connection.execute(insert, INVENTORY.name, whole.key, whole.value, json.dumps(headers))
    await migrate(empty_database)
    row = await connection.fetchrow("SELECT id, headers::text, record_count, records FROM inventory.outbox")
    await connection.close()
    assert row is not None
    (record,) = records_of(SCHEMA, *row)
    assert (record.key, record.value, sorted(record.headers)) == (whole.key, whole.value, sorted(whole.headers))


async def test_an_event_that_kafka_would_refuse_is_refused_before_it_is_stored(pool: AsyncEngine) -> None:
    warehouse = WarehouseLevel(warehouse="W" * 64, on_hand_units=10**15, held_units=0, allocated_units=0, available_units=0)
    huge = StockLevelChanged(merchant="acme", sku="A", ledger_version=1, warehouses=(warehouse,) * 6_000, changed_at=NOW)
    async with pool.begin() as connection:
        with pytest.raises(MessageTooLarge, match="send fewer lines"):
            await OUTBOX.append(connection, NOW, Outgoing("acme/A", STOCK_LEVELS.name, "acme/A", huge))
    assert await rows(pool) == 0
