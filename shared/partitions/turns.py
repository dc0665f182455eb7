"""Turns at making batches: the state partitions of one process make few at once, first come, first served, and those that have little
to do go together, in one transaction.

All at once they would share two processors and one database between them, and each batch would take as long as all together. What comes
meanwhile makes the next ones larger, and of those that wait the small ones take the same turn: sixteen partitions with a message each cost
little more than one with sixteen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import asyncpg

from shared.partitions.joint import JointTransaction, Member
from shared.partitions.link import Link
from shared.partitions.model import OutboxRow
from shared.partitions.partition import StatePartition

LANES = 2
"""The first takes whoever comes; the others only batches that are large, so that while one waits for the database another is decided. Small
ones gain nothing from that: two at once make two transactions of what could be one."""
PATIENCE_SECONDS = 1.0
JOINT_MESSAGES = 200
"""So many messages together at most: with more a batch is cheap enough alone, and may not hold up others."""


class Served(NamedTuple):
    """What is to be published of a batch, and how long it took, the waiting left out."""

    rows: list[OutboxRow]
    seconds: float


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch that waits for its turn. `records`: at most so many of them; `alone`: in a transaction of its own."""

    state: StatePartition
    link: Link
    records: int | None
    alone: bool
    served: "asyncio.Future[Served]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Turns:
    """Whoever has waited too long goes on without a turn: a batch that is stuck must not hold up what has nothing to do with it."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        lanes: int = LANES,
        patience_seconds: float = PATIENCE_SECONDS,
        joint_messages: int = JOINT_MESSAGES,
    ) -> None:
        """`connect`: makes a connection for joint transactions, as many as turns at most."""
        self._connect, self._patience_seconds, self._most = connect, patience_seconds, joint_messages
        self._idle = list(range(lanes))
        self._line: list[_Waiting] = []
        self._connections: list[asyncpg.Connection] = []
        self._at_it: set[asyncio.Task[None]] = set()

    async def batch(self, state: StatePartition, link: Link, *, records: int | None = None, alone: bool = False) -> Served:
        """`StatePartition.serve`, when it is its turn. Raises JointBatchLost too, where another partition's part failed. A batch that has
        begun is finished, also where nobody waits for it any more."""
        waiting = _Waiting(state, link, records, alone or records is not None)
        self._line.append(waiting)
        self._begin()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_seconds):
                    return await asyncio.shield(waiting.served)
        finally:
            if impatient := waiting in self._line:
                self._line.remove(waiting)
        if impatient:
            self._start(_served(waiting))
        return await asyncio.shield(waiting.served)

    async def close(self) -> None:
        """Give up the connections, when nobody takes turns any more."""
        while self._connections:
            await self._connections.pop().close(timeout=2)

    def _begin(self) -> None:
        """Not at once: who comes in the same moment goes along."""
        if self._idle:
            self._start(self._turn(self._idle.pop(0)))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._at_it.add(task)
        task.add_done_callback(self._at_it.discard)

    async def _turn(self, lane: int) -> None:
        try:
            while taken := self._take(only_large=lane > 0):
                await self._serve(taken)
        finally:
            self._idle = sorted([*self._idle, lane])

    def _take(self, *, only_large: bool) -> list[_Waiting]:
        """The first in the line, and whoever can go along."""
        taken: list[_Waiting] = []
        messages = 0
        candidates = [one for one in self._line if not only_large or one.state.waiting_messages > self._most]
        for waiting in candidates:
            messages += waiting.state.waiting_messages
            if taken and (waiting.alone or messages > self._most):
                break
            taken.append(waiting)
            self._line.remove(waiting)
            if waiting.alone:
                break
        return taken

    async def _serve(self, taken: Sequence[_Waiting]) -> None:
        if len(taken) == 1:
            await _served(taken[0])
            return
        try:
            connection = self._connections.pop() if self._connections else await self._connect()
        except Exception as error:  # whatever it is, those who wait for it know what it means
            for waiting in taken:
                _tell(waiting, error)
            return
        if await _served_together(connection, taken):
            self._connections.append(connection)
        else:
            connection.terminate()  # its state is in doubt, and this is rare


async def _served_together(connection: asyncpg.Connection, taken: Sequence[_Waiting]) -> bool:
    """Whether all were committed."""
    transaction = JointTransaction(connection, len(taken))
    await asyncio.gather(*[_part(waiting, Member(transaction)) for waiting in taken])
    return await transaction.end()


async def _part(waiting: _Waiting, member: Member) -> None:
    waiting.link.through = member
    try:
        await _served(waiting)
    finally:
        waiting.link.alone()
        member.end()


async def _served(waiting: _Waiting) -> None:
    began = monotonic()
    try:
        rows = await waiting.state.serve(waiting.records)
    except Exception as error:
        _tell(waiting, error)
    else:
        _tell(waiting, Served(rows, monotonic() - began))


def _tell(waiting: _Waiting, what: "Served | Exception") -> None:
    if waiting.served.done():
        return
    if isinstance(what, Exception):
        waiting.served.set_exception(what)
        waiting.served.exception()  # its worker may be gone: then nobody is told, and that is no error
    else:
        waiting.served.set_result(what)
