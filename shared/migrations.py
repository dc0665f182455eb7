"""Migrations, by Alembic: `earmark migrate` and the tests need them. A service only looks at the revision (`shared.database`), and is
spared the quarter of a second that Alembic takes to be imported."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from shared.database import (
    MIGRATIONS,
    VERSION_SCHEMA,
    SchemaNewer,
    current_revision,
    dispose,
    hot_connection,
    revisions,
)

MIGRATION_SECONDS = 600.0
_MIGRATION_LOCK = 0x6561726D61726B  # "earmark": two installations in one database would not want two of these


async def migrate(dsn: str, *, scripts: Path = MIGRATIONS) -> str:
    """Bring the database to the newest revision of this version and return it. Everything in one transaction, under an advisory lock:
    two at once do it once, a crash leaves it as it was. Raises SchemaNewer."""
    async with _migrating(dsn) as pool, pool.begin() as connection:
        return await connection.run_sync(_upgrade, scripts)


def run_script(connection: Connection, sql: str) -> None:
    """Run SQL of many statements, which a prepared statement can not, inside the connection's transaction. For migrations."""
    connection.exec_driver_sql("SELECT 1")  # the driver begins its transaction with the first statement
    driver: Any = connection.connection.driver_connection
    await_only(driver.execute(sql))


@asynccontextmanager
async def _migrating(dsn: str) -> AsyncIterator[AsyncEngine]:
    async def connect(*_: Any, **__: Any) -> asyncpg.Connection:
        return await hot_connection(
            dsn, "earmark migrate", command_seconds=MIGRATION_SECONDS, lock_timeout="60000", idle_in_transaction_session_timeout="60000"
        )

    pool = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        yield pool
    finally:
        await dispose(pool)


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _upgrade(connection: Connection, scripts: Path) -> str:
    known, config = revisions(scripts), _config(scripts)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}"))
    head, found = known[-1], current_revision(connection)
    if found is not None and found not in known:
        raise SchemaNewer(
            f"the database is at revision {found}, this version ends at {head}: install the version that migrated it, or a later one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return head
