"""A fresh, migrated database for every test, copied from a template: about 50 ms instead of every migration again."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.database import MIGRATIONS
from shared.migrations import migrate

TEMPLATE_LOCK = 0x74656D706C617465
COPY_SECONDS = 300
LARGE_BYTES = 2**28
_IS_LARGE = "SELECT pg_database_size(datname) > $2 FROM pg_database WHERE datname = $1"


def named(dsn: str, database: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def template(dsn: str) -> str:
    """The name of a migrated, empty database; made once for each state of the migrations, however many ask at once."""
    name = f"earmark_template_{_migrations_digest()}"
    async with _connected(dsn) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_unfinished WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name}_unfinished")
            await migrate(named(dsn, f"{name}_unfinished"))
            await connection.execute(f"ALTER DATABASE {name}_unfinished RENAME TO {name}")
    return name


async def create(dsn: str, template_name: str | None = None) -> str:
    """A new database, empty or a copy of the template; returns its DSN. A large template takes its time,
    and is copied file by file instead of through the log of the server."""
    name = f"test_{secrets.token_hex(8)}"
    async with _connected(dsn) as connection:
        strategy = "FILE_COPY" if await connection.fetchval(_IS_LARGE, template_name or "template0", LARGE_BYTES) else "WAL_LOG"
        statement = f"CREATE DATABASE {name} TEMPLATE {template_name or 'template0'} STRATEGY {strategy}"
        await connection.execute(statement, timeout=COPY_SECONDS)
    return named(dsn, name)


async def drop(dsn: str, database_dsn: str) -> None:
    """Remove what `create` made, whoever is still connected to it."""
    async with _connected(dsn) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {urlsplit(database_dsn).path.lstrip('/')} WITH (FORCE)")


def _migrations_digest() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(MIGRATIONS.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close()
