"""Commands of one kind that wait at the same moment share a transaction: with many clients its round trips are paid once for all.

A lone command waits for nobody. What one of them does wrong harms no other: a transaction that fails is done again one by one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database import Fault, classify, constraint, sqlstate
from shared.http.problems import Problem, unavailable
from shared.http.replies import Asked, Reply, keep, look
from shared.http.turns import WAIT_SECONDS, Turns, overloaded
from shared.partitions.crash import crash_point
from shared.relay import Outbox

MOST_TOGETHER = 64
LANES = 2
"""While one transaction waits for its commit the next is decided. More would only make the shared ones smaller."""
ATTEMPTS = 5
_LOCK_NOT_HAD = "55P03"
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shared:
    """What commands do their work with. `now` is the database's time, the same for everything in the transaction."""

    connection: AsyncConnection
    outbox: Outbox
    now: datetime


Place = Callable[[Shared, Sequence[Item]], Awaitable[Sequence[Reply | Exception]]]
"""Do what the items ask, in one transaction; per item its reply, or the exception that its request ends with. Of an item with an
exception nothing may be written. May run again, also with fewer items: keep nothing outside the transaction."""


@dataclass(frozen=True, slots=True)
class _Asking(Generic[Item]):
    asked: Asked
    item: Item
    since: float
    answer: "asyncio.Future[Reply]"

    def tell(self, answer: Reply | Exception) -> None:
        if self.answer.done():  # whoever asked has hung up
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Gathering(Generic[Item]):
    """The commands of one kind in one process."""

    def __init__(self, service: str, engine: AsyncEngine, outbox: Outbox, turns: Turns, place: Place[Item]) -> None:
        self._service, self._engine, self._outbox, self._turns, self._place = service, engine, outbox, turns, place
        self._waiting: deque[_Asking[Item]] = deque()
        self._lanes: set[asyncio.Task[None] | None] = set()

    async def ask(self, asked: Asked, item: Item) -> Reply:
        """The reply to one command, done or replayed. Raises what `place` gives for it, and Problem."""
        if len(self._waiting) >= self._turns.most_waiting:
            raise overloaded(f"{len(self._waiting)} commands wait already")
        loop = asyncio.get_running_loop()
        asking = _Asking(asked, item, loop.time(), loop.create_future())
        self._waiting.append(asking)
        if len(self._lanes) < LANES:
            self._lanes.add(loop.create_task(self._serve(), name=f"{self._service} commands"))
        return await asking.answer

    async def _serve(self) -> None:
        """One lane: it ends when nobody waits. From then on it counts no more: whoever was just told that a number is taken asks again
        before this task is over, and would wait for a lane that looks no more."""
        try:
            while self._waiting:
                try:
                    async with self._turns.one():
                        await self._answer(self._next())
                except Problem as no_turn:
                    for one in self._next():
                        one.tell(no_turn)
        finally:
            self._lanes.discard(asyncio.current_task())

    def _next(self) -> list[_Asking[Item]]:
        """Those who waited longest. Who waited too long is told so, who has hung up is left out."""
        late = asyncio.get_running_loop().time() - WAIT_SECONDS
        found: list[_Asking[Item]] = []
        while self._waiting and len(found) < MOST_TOGETHER:
            one = self._waiting.popleft()
            if one.since < late:
                one.tell(overloaded(f"it waited {WAIT_SECONDS:g} seconds for its turn"))
            if not one.answer.done():
                found.append(one)
        return found

    async def _answer(self, together: Sequence[_Asking[Item]]) -> None:
        """Do what they ask and tell each; never raises. Where the database is away nobody is tried again."""
        try:
            answers = await retried(lambda: self._once(together)) if together else []
        except Exception as error:
            away = classify(error) is Fault.RETRY and sqlstate(error) != _LOCK_NOT_HAD
            if len(together) > 1 and not away:
                for one in together:
                    await self._answer([one])
                return
            answers = [error] * len(together)
        for one, answer in zip(together, answers, strict=True):
            one.tell(answer)

    async def _once(self, together: Sequence[_Asking[Item]]) -> list[Reply | Exception]:
        async with self._engine.begin() as connection:
            now, found = await look(connection, self._service, [one.asked for one in together])
            new = [one for one, verdict in zip(together, found, strict=True) if verdict is None]
            shared = Shared(connection, self._outbox, now)
            placed = await self._place(shared, [one.item for one in new]) if new else []
            replies = [(one.asked, answer) for one, answer in zip(new, placed, strict=True) if isinstance(answer, Reply)]
            await keep(connection, self._service, replies)
            crash_point("command_written")
        crash_point("command_committed")
        rest = iter(placed)
        return [next(rest) if verdict is None else verdict for verdict in found]


Done = TypeVar("Done")


async def retried(once: Callable[[], Awaitable[Done]]) -> Done:
    """Run a transaction again where Postgres ended it for another's sake, or another stored a reply under the same key meanwhile."""
    for _ in range(ATTEMPTS):
        try:
            return await once()
        except Exception as error:
            if (sqlstate(error) or "")[:2] != "40" and constraint(error) != "idempotency_key_pkey":
                raise
    raise unavailable("others keep changing the same thing")


Gatherings = dict[Any, Gathering[Any]]
"""By what they do: one for each kind of command."""
