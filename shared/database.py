"""Postgres: connections that never wait for ever, the revision of the schema, and what an error means. Knows no table but Alembic's own.

A server that is frozen, slow or gone must not hold a request or a batch: without these time-outs `execute` hangs for ever.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import TimeoutError as PoolIsEmpty
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.settings import Settings

MIGRATIONS = Path(__file__).resolve().parents[1] / "deploy" / "migrations"
"""Beside this package, in a checkout as where the wheel was installed. A real path: Alembic runs the files from there."""
VERSION_SCHEMA = "migrations"
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 5.0
DISPOSE_SECONDS = 5.0


class DatabaseError(Exception):
    """Something about the database must be put right by an operator."""


class SchemaNewer(DatabaseError):
    """The database was migrated by a newer version of Earmark. Install that version or a later one, or restore an older backup."""


class SchemaOlder(DatabaseError):
    """The database lacks migrations that this version needs. Run `earmark migrate`, then start again."""


class CodeTooOld(DatabaseError):
    """A newer version has migrated the database so that this one can not live with it. Stop it, install that version or a later one."""


_AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError, PoolIsEmpty)


class Fault(Enum):
    """What an error asks for. RETRY: the server is away, full or another was faster: the same work may succeed later. DATA: this
    very value will never be taken. OTHER: a fault of ours."""

    RETRY = "retry"
    DATA = "data"
    OTHER = "other"


def server_settings(application: str, command_seconds: float = COMMAND_SECONDS) -> dict[str, str]:
    """What the server is told at connect. It gives up before the client does, so that its own message is the one that is seen.

    `tcp_user_timeout` and the keepalives find a client that vanished without a word, and free its locks.
    """
    return {
        "application_name": application,
        "statement_timeout": _ms(command_seconds * 0.9),
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "5000",
        "tcp_user_timeout": "10000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "search_path": "pg_catalog",
        "earmark.revision": str(code_revision()),
        "timezone": "UTC",
        "jit": "off",
    }


ASSIGNED_BY_HAND = 10_000
"""Types of Postgres itself have numbers below, the same in every version and every database."""
_BUILT_IN: dict[frozenset[int], Any] = {}


class HotConnection(asyncpg.Connection):
    """A connection that learns types once in a process, and that says so when it ends under a COPY.

    A COPY awaits between its pieces; uvloop raises a plain RuntimeError for the piece that comes after the end, and a state partition took
    it for a fault of its own and halted. Statements are written in one piece.
    """

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> Any:  # noqa: ASYNC109 - the driver's own signature
        """What a type of Postgres itself is made of is asked once in a process: the driver asks in every connection, 5 to 15 ms for each
        kind of array, and a service opens dozens."""
        asked = frozenset(typeoids)
        if asked in _BUILT_IN:
            return _BUILT_IN[asked]
        found = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]  # the stubs leave it out
        if all(row["oid"] < ASSIGNED_BY_HAND for row in found[0]):
            _BUILT_IN[asked] = found
        return found

    async def copy_to_table(self, *args: Any, **kwargs: Any) -> Any:
        with _closed_is_lost():
            return await super().copy_to_table(*args, **kwargs)

    async def copy_records_to_table(self, *args: Any, **kwargs: Any) -> Any:
        with _closed_is_lost():
            return await super().copy_records_to_table(*args, **kwargs)


@contextmanager
def _closed_is_lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _is_of_closed_transport(error):
            raise
        raise asyncpg.ConnectionDoesNotExistError("the connection was closed while a statement was written") from error


def _is_of_closed_transport(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


async def hot_connection(
    dsn: str, application: str = "earmark", *, command_seconds: float = COMMAND_SECONDS, **more_server_settings: str
) -> asyncpg.Connection:
    """One dedicated connection with every time-out set. The caller closes it, and drops it after any doubt."""
    return await asyncpg.connect(
        dsn,
        connection_class=HotConnection,
        timeout=CONNECT_SECONDS,
        command_timeout=command_seconds,
        server_settings=server_settings(application, command_seconds) | more_server_settings,
    )


def engine(settings: Settings, application: str = "earmark") -> AsyncEngine:
    """A pool of such connections for everything off the hot path. Waits at most 2 s for a free one, then raises."""

    async def connect(*_: Any, **__: Any) -> asyncpg.Connection:
        return await hot_connection(settings.dsn, application)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        pool_timeout=2.0,
        pool_recycle=1800,
        pool_use_lifo=True,
        pool_reset_on_return="rollback",
        hide_parameters=True,
    )


async def dispose(pool: AsyncEngine) -> None:
    """Close the pool; a server that does not answer is left behind after 5 seconds."""
    try:
        async with asyncio.timeout(DISPOSE_SECONDS):
            await pool.dispose()
    except TimeoutError:
        pool.sync_engine.pool = pool.sync_engine.pool.recreate()


# ---------------------------------------------------------------- what an error means


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an error of asyncpg or of SQLAlchemy around it."""
    return next((str(state) for cause in causes(error) if (state := getattr(cause, "sqlstate", None))), None)


def constraint(error: BaseException) -> str | None:
    """The name of the constraint that was violated: names are ours and are translated by whoever wrote them."""
    return next((str(name) for cause in causes(error) if (name := getattr(cause, "constraint_name", None))), None)


def classify(error: BaseException) -> Fault:
    """RETRY: no connection, classes 08, 40, 53, 57, a lock not had in time, an idle transaction ended. DATA: classes 22, 23."""
    state = sqlstate(error)
    if state is not None:
        if state[:2] in {"08", "40", "53", "57"} or state in {"55P03", "25P03", "25P04"}:
            return Fault.RETRY
        return Fault.DATA if state[:2] in {"22", "23"} else Fault.OTHER
    return Fault.RETRY if any(isinstance(cause, _AWAY) or _is_of_closed_transport(cause) for cause in causes(error)) else Fault.OTHER


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what SQLAlchemy or whoever raised it took it from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__


# ---------------------------------------------------------------- the revision of the schema


async def require_schema(pool: AsyncEngine, *, scripts: Path = MIGRATIONS) -> None:
    """Raise SchemaOlder unless every migration of this version has run. A newer schema is served: migrations expand, then contract."""
    async with pool.connect() as connection:
        found = await connection.run_sync(current_revision)
    known = revisions(scripts)
    if found is None or (found in known and found != known[-1]):
        raise SchemaOlder(f"the database is at revision {found or 'none'}, this version needs {known[-1]}: run `earmark migrate`")


def revisions(scripts: Path = MIGRATIONS) -> list[str]:
    """Every revision that this version knows, the newest last: the numbers that the migrations' files begin with."""
    found = sorted(path.name.partition("_")[0] for path in (scripts / "versions").glob("[0-9]*_*.py"))
    if not found:
        raise DatabaseError(f"no migrations at {scripts}: this installation is not whole, install Earmark again")
    return found


_OLDER_CODE = "EA001"
"""The SQLSTATE with which migration 0016 refuses."""


@contextmanager
def older_code_refused() -> Iterator[None]:
    """What the database refuses because this code is too old becomes CodeTooOld, in its words."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != _OLDER_CODE:
            raise
        raise CodeTooOld(str(error)) from error


@cache
def code_revision() -> int:
    """The newest migration that this code knows, which it says of itself at every connection: the database may refuse what is older than
    it can live with."""
    return int(revisions()[-1])


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None before the first migration."""
    table = f"{VERSION_SCHEMA}.alembic_version"
    if connection.scalar(text("SELECT to_regclass(:name) IS NULL"), {"name": table}):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {table}"))
    return found


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))
