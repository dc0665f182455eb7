"""Migrations and time-outs on the real Postgres."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import uvloop
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from services.inventory.store.tables import METADATA
from shared.database import (
    MIGRATIONS,
    DatabaseError,
    Fault,
    SchemaNewer,
    SchemaOlder,
    classify,
    current_revision,
    dispose,
    engine,
    hot_connection,
    require_schema,
    revisions,
)
from shared.migrations import migrate
from tests.support.http_service import KAFKA_AWAY, settings_for
from tests.support.migrations import migrations_and_one_more

pytestmark = pytest.mark.integration

HALF_DONE = "CREATE TABLE public.half_done (n int)"


async def revision_of(dsn: str) -> str | None:
    pool = engine(settings_for(dsn, KAFKA_AWAY))
    async with pool.connect() as connection:
        found = await connection.run_sync(current_revision)
    await dispose(pool)
    return found


async def half_done(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    found: bool = await connection.fetchval("SELECT to_regclass('public.half_done') IS NOT NULL")
    await connection.close()
    return found


async def test_two_migrations_at_once_on_an_empty_database_do_it_once(empty_database: str) -> None:
    heads = await asyncio.gather(*(migrate(empty_database) for _ in range(3)))
    assert len(set(heads)) == 1
    assert await revision_of(empty_database) == heads[0]


def test_the_files_of_the_migrations_are_named_in_the_order_in_which_they_run(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert revisions() == [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    with pytest.raises(DatabaseError, match="this installation is not whole"):
        revisions(tmp_path)


async def test_a_schema_that_is_newer_than_the_code_is_refused_by_migrate_and_served(database: str, tmp_path: Path) -> None:
    head = await migrate(database)
    await migrate(database, scripts=migrations_and_one_more(tmp_path, HALF_DONE))
    with pytest.raises(SchemaNewer, match=f"is at revision 9999, this version ends at {head}: install"):
        await migrate(database)
    pool = engine(settings_for(database, KAFKA_AWAY))
    await require_schema(pool)
    await dispose(pool)


async def test_a_schema_that_is_older_than_the_code_is_refused_with_the_command_that_helps(empty_database: str, tmp_path: Path) -> None:
    pool = engine(settings_for(empty_database, KAFKA_AWAY))
    with pytest.raises(SchemaOlder, match=r"at revision none.*run `earmark migrate`"):
        await require_schema(pool)
    head = await migrate(empty_database)
    with pytest.raises(SchemaOlder, match=f"at revision {head}, this version needs 9999"):
        await require_schema(pool, scripts=migrations_and_one_more(tmp_path, HALF_DONE))
    await dispose(pool)


async def test_a_migration_that_fails_in_the_middle_leaves_the_database_as_it_was(database: str, tmp_path: Path) -> None:
    head = await migrate(database)
    with pytest.raises(Exception, match="division by zero"):
        await migrate(database, scripts=migrations_and_one_more(tmp_path, f"{HALF_DONE}; SELECT 1 / 0"))
    assert (await revision_of(database), await half_done(database)) == (head, False)


async def test_the_tables_that_queries_name_are_those_that_the_migrations_made(database: str) -> None:
    pool = engine(settings_for(database, KAFKA_AWAY))

    def columns(connection: Any) -> dict[str, set[str]]:
        look = inspect(connection)
        return {
            table.name: {column["name"] for column in look.get_columns(table.name, schema="inventory")} for table in METADATA.sorted_tables
        }

    async with pool.connect() as connection:
        made = await connection.run_sync(columns)
    await dispose(pool)
    assert made == {table.name: set(table.columns.keys()) for table in METADATA.sorted_tables}


async def test_every_session_gives_up_on_the_server_before_the_client_does(database: str) -> None:
    connection = await hot_connection(database, "test", command_seconds=1.0)
    started = time.monotonic()
    with pytest.raises(asyncpg.QueryCanceledError) as slow:
        await connection.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - started < 1.5
    assert classify(slow.value) is Fault.RETRY
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_a_connection_that_ends_under_a_copy_says_that_it_is_lost(database: str) -> None:
    """On uvloop, which raises a plain RuntimeError until asyncpg has heard of the end: a partition took that for a fault of its own."""

    async def copy() -> None:
        connection: Any = await hot_connection(database, "test")  # its transport is not public
        await connection.execute("CREATE TABLE public.thing (name text)")

        async def names() -> AsyncIterator[bytes]:
            yield b"the first\n"
            connection._transport.abort()
            await asyncio.sleep(0.01)
            yield b"the second\n"

        await connection.copy_to_table("thing", schema_name="public", source=names())

    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="while a statement was written"):
        await asyncio.to_thread(uvloop.run, copy())


async def test_what_an_array_is_made_of_is_asked_once_in_a_process(database: str) -> None:
    """The driver's question takes 5 to 15 ms, and a service opens dozens of connections. A type of somebody's own is asked every time:
    its number means another in the next database."""
    asked: list[str] = []
    for number in range(3):
        connection = await hot_connection(database, "test")
        await connection.execute(f"CREATE TYPE public.own_{number} AS (name text)")
        connection.add_query_logger(lambda query: asked.append(query.query))
        assert await connection.fetchval("SELECT $1::real[]", [1.5]) == [1.5]
        of_arrays = _introspections(asked)
        assert await connection.fetchval(f"SELECT ROW('x')::public.own_{number}") == ("x",)
        assert (of_arrays, _introspections(asked)) == (1 + number, 2 + number)
        await connection.close()


def _introspections(asked: list[str]) -> int:
    return sum("typeinfo_tree" in query for query in asked)


async def test_a_lock_that_is_not_had_in_two_seconds_is_given_up(database: str) -> None:
    holder = await hot_connection(database)
    pool = engine(settings_for(database, KAFKA_AWAY))
    await holder.execute("SELECT pg_advisory_lock(1)")
    started = time.monotonic()
    with pytest.raises(Exception, match="lock timeout") as waited:
        async with pool.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
    assert 1.5 < time.monotonic() - started < 3.0
    assert classify(waited.value) is Fault.RETRY
    await holder.close()
    await dispose(pool)


async def test_a_pool_that_is_used_up_is_a_reason_to_try_again_and_not_to_hang(database: str) -> None:
    pool = engine(settings_for(database, KAFKA_AWAY, pool_size=1))
    async with pool.connect(), pool.connect():
        started = time.monotonic()
        with pytest.raises(Exception, match="QueuePool") as empty:
            async with pool.connect():
                pass
        assert time.monotonic() - started < 3.0
    assert classify(empty.value) is Fault.RETRY
    await dispose(pool)


async def test_thirty_cancelled_queries_leave_a_pool_that_works(database: str) -> None:
    pool = engine(settings_for(database, KAFKA_AWAY, pool_size=2))

    async def query(seconds: float) -> None:
        async with pool.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    for number in range(30):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001 * number):
                await query(5)
    async with asyncio.timeout(10):
        await asyncio.gather(*(query(0.01) for _ in range(8)))
    await dispose(pool)
