"""What the statements of one state partition go through: its own connection, or, for one batch, the one that it shares with others.

Every statement of a batch takes rows and is said as a value, so that those of several partitions can be sent as one: see `joint`.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol, TypeVar

import asyncpg

Answer = TypeVar("Answer")
Rows = Sequence[Any]

BEGIN, FENCE, LOAD, SAVE, FINISH, COMMIT = range(0, 600, 100)
"""The places in a batch, in order; between two there is room for many statements. A statement that others also have waits until
everybody is there, so a wrong place makes a batch slower, and never wrong."""


class Statement(NamedTuple):
    """One statement for any number of rows. `place`: where in a batch it stands. `arguments`: makes those of the statement from all
    rows. `width`: where it reads, so many values at the beginning of a row of the answer are those of the row that asked for it.
    `missing`: where it writes, what to raise if not every row was found."""

    place: int
    sql: str
    arguments: Callable[[Rows], Sequence[Any]]
    width: int = 0
    missing: type[Exception] | None = None


class Copy(NamedTuple):
    """New rows of a table of schema `allocator`. `text`: writes them all in COPY's text format; None: the driver writes them."""

    place: int
    table: str
    columns: tuple[str, ...]
    text: Callable[[Rows], str] | None = None


class Through(Protocol):
    """What statements go through."""

    async def fetch(self, statement: Statement, rows: Rows) -> list[Any]:
        """The rows of the answer."""

    async def write(self, statement: Statement, rows: Rows) -> None:
        """Raises `statement.missing` where not every row was found."""

    async def copy(self, copy: Copy, rows: Rows) -> None: ...

    async def serially(self, call: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """Whatever else there is to ask, in the midst of a batch."""

    async def begin(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None:
        """Never raises."""


def columns(*written: Callable[[Sequence[Any]], Any]) -> Callable[[Rows], list[Any]]:
    """Arguments for a statement that takes one array a column, each written so."""
    return lambda rows: [
        write(column) for write, column in zip(written, zip(*rows, strict=True) if rows else repeat(()), strict=bool(rows))
    ]


class Alone:
    """A connection that nobody shares."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._transaction: Any = None  # asyncpg's own class is not exported with types

    async def fetch(self, statement: Statement, rows: Rows) -> list[Any]:
        """See `Through`."""
        found: list[Any] = await self.connection.fetch(statement.sql, *statement.arguments(rows))
        return found

    async def write(self, statement: Statement, rows: Rows) -> None:
        """See `Through`."""
        done = await self.connection.execute(statement.sql, *statement.arguments(rows))
        found = int(done.rpartition(" ")[2])
        if statement.missing is not None and found != len(rows):
            raise statement.missing(f"{done} of {len(rows)}. {statement.missing.__doc__}")

    async def copy(self, copy: Copy, rows: Rows) -> None:
        """See `Through`."""
        given: Any = {"schema_name": "allocator", "columns": copy.columns}
        if copy.text is None:
            await self.connection.copy_records_to_table(copy.table, records=rows, **given)
        else:
            text: Any = memoryview(copy.text(rows).encode())  # a file would be read by a thread, bytes are taken for a path
            await self.connection.copy_to_table(copy.table, source=text, format="text", **given)

    async def serially(self, call: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """See `Through`."""
        return await call(self.connection)

    async def begin(self) -> None:
        """See `Through`."""
        self._transaction = self.connection.transaction()
        await self._transaction.start()

    async def commit(self) -> None:
        """See `Through`. An error leaves it open whether it took effect."""
        transaction, self._transaction = self._transaction, None
        await transaction.commit()

    async def rollback(self) -> None:
        """See `Through`."""
        transaction, self._transaction = self._transaction, None
        if transaction is None or self.connection.is_closed():
            return
        try:
            await transaction.rollback()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self.connection.terminate()


class Link:
    """Of one state partition. `connection` is its own, for everything outside a batch."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._alone = Alone(connection)
        self.through: Through = self._alone

    def alone(self) -> None:
        """The next statements go through its own connection again."""
        self.through = self._alone
