"""One transaction for the batches of several state partitions of a process.

A batch of a few messages costs as much as one of a hundred: a dozen answers to wait for, a commit, a write of the log. Where many
partitions have a few messages each, all of them go together: every partition decides as if it were alone, and what all of them ask at the
same place of their batches is sent as one statement. All are committed or none is: what each is promised is what it was promised alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from shared.partitions.link import BEGIN, COMMIT, LOAD, Alone, Answer, Copy, Rows, Statement


class JointBatchLost(Exception):
    """Another state partition's part of the transaction failed, or its end is in doubt. Claim again and serve alone for a while: whoever
    was at fault is found."""


@dataclass(frozen=True, slots=True)
class _Bracket:
    """The beginning or the end of the transaction."""

    place: int


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A question of one partition alone."""

    run: Callable[[asyncpg.Connection], Awaitable[Any]]
    place: int = LOAD


_BEGIN, _COMMIT = _Bracket(BEGIN), _Bracket(COMMIT)


@dataclass(slots=True)
class _Asked:
    what: Statement | Copy | _Bracket | _Call
    rows: Rows
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class JointTransaction:
    """`members` take part, each through a `Member` of its own. Whatever comes first in a batch is done when all of them wait."""

    def __init__(self, connection: asyncpg.Connection, members: int) -> None:
        self._alone, self._members = Alone(connection), members
        self._asked: list[_Asked] = []
        self._running: asyncio.Task[None] | None = None
        self._lost: JointBatchLost | None = None

    async def ask(self, what: Statement | Copy | _Bracket | _Call, rows: Rows = ()) -> Any:
        """The answer, once everybody waits. Raises JointBatchLost as soon as anything of anybody failed."""
        if self._lost is not None:
            raise self._lost
        asked = _Asked(what, rows)
        self._asked.append(asked)
        self._go_on()
        return await asked.answer

    def leave(self) -> None:
        """A member has finished its batch."""
        self._members -= 1
        self._go_on()

    def lose(self, reason: Exception | None = None) -> None:
        """Nothing is written, and everybody is told. No reason: a member failed by itself, and says why."""
        if self._lost is None:
            told = f" ({type(reason).__name__}: {reason})" if reason is not None else ""
            self._lost = JointBatchLost(f"{JointBatchLost.__doc__}{told}")
            self._lost.__cause__ = reason
        for asked in self._asked:
            asked.answer.set_exception(self._lost)
        self._asked = []

    async def end(self) -> bool:
        """After everybody: whether it was committed. Else it is rolled back."""
        if self._lost is not None:
            await self._alone.rollback()
        return self._lost is None

    def _go_on(self) -> None:
        if self._running is None and self._asked and len(self._asked) == self._members:
            what = min(self._asked, key=lambda asked: asked.what.place).what
            together = [asked for asked in self._asked if asked.what is what]
            self._asked = [asked for asked in self._asked if asked.what is not what]
            self._running = asyncio.create_task(self._run(what, together))

    async def _run(self, what: Statement | Copy | _Bracket | _Call, together: list[_Asked]) -> None:
        try:
            answers = await self._answers(what, [asked.rows for asked in together])
        except Exception as error:
            self._running, self._asked = None, [*together, *self._asked]
            self.lose(error)
            return
        self._running = None
        for asked, answer in zip(together, answers, strict=True):
            asked.answer.set_result(answer)

    async def _answers(self, what: Statement | Copy | _Bracket | _Call, parts: Sequence[Rows]) -> Sequence[Any]:
        """One for each part."""
        through, rows = self._alone, [row for part in parts for row in part]
        if isinstance(what, _Call):
            return [await through.serially(what.run)]
        if isinstance(what, _Bracket):
            await (through.begin() if what is _BEGIN else through.commit())
        elif isinstance(what, Copy):
            await through.copy(what, rows)
        elif not what.width:
            await through.write(what, rows)
        else:
            return _dealt_out(await through.fetch(what, rows), what.width, parts)
        return [None] * len(parts)


def _dealt_out(found: Sequence[Any], width: int, parts: Sequence[Rows]) -> list[list[Any]]:
    """Every row of the answer to whoever asked for it. No two state partitions ask for the same."""
    dealt: list[list[Any]] = [[] for _ in parts]
    whose: dict[tuple[Any, ...], list[Any]] = {}
    for part, answer in zip(parts, dealt, strict=True):
        for asked in part:
            assert whose.setdefault(asked[:width], answer) is answer, "nobody asks for what another asks for"
    for row in found:
        whose[tuple(row[:width])].append(row)
    return dealt


class Member:
    """See `Through`. One state partition's part of a joint transaction."""

    def __init__(self, transaction: JointTransaction) -> None:
        self._transaction, self._committed = transaction, False

    async def fetch(self, statement: Statement, rows: Rows) -> list[Any]:
        """See `Through`."""
        found: list[Any] = await self._transaction.ask(statement, rows)
        return found

    async def write(self, statement: Statement, rows: Rows) -> None:
        """See `Through`."""
        await self._transaction.ask(statement, rows)

    async def copy(self, copy: Copy, rows: Rows) -> None:
        """See `Through`."""
        await self._transaction.ask(copy, rows)

    async def serially(self, call: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """See `Through`."""
        answer: Answer = await self._transaction.ask(_Call(call))
        return answer

    async def begin(self) -> None:
        """See `Through`."""
        await self._transaction.ask(_BEGIN)

    async def commit(self) -> None:
        """See `Through`."""
        await self._transaction.ask(_COMMIT)
        self._committed = True
        self._transaction.leave()

    async def rollback(self) -> None:
        """See `Through`."""
        self._transaction.lose()

    def end(self) -> None:
        """It asks no more. The others would wait for ever for one that went without a word."""
        if not self._committed:
            self._transaction.lose()
