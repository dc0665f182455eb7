"""Turns at the database: requests wait in one line, in the order in which they came, and are sent away only when it is really long.

Without it whoever finds the pool empty is refused after two seconds, while others that came later are served; and requests could take
the connections that feeds, relay and health need.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.http.problems import Problem

WAIT_SECONDS = 10.0
RETRY_SECONDS = 5


class Turns:
    """`at_once` requests work, at most `most_waiting` wait, each for ten seconds at most."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)  # first come, first served
        self.most_waiting = most_waiting
        self.waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """One turn. Raises Problem 503 where too many wait, or the turn does not come in time."""
        await self._take()
        try:
            yield
        finally:
            self._free.release()

    async def _take(self) -> None:
        if self.waiting >= self.most_waiting:
            raise overloaded(f"{self.waiting} requests wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise overloaded(f"it waited {WAIT_SECONDS:g} seconds for its turn") from None
        finally:
            self.waiting -= 1


def overloaded(detail: str) -> Problem:
    """503 with Retry-After: the request was not begun."""
    remedy = "try again after the time in Retry-After, with the same Idempotency-Key; send less at once, or run another process"
    return Problem(503, "overloaded", f"more requests come than are served: {detail}", remedy=remedy, retry_after=RETRY_SECONDS)
