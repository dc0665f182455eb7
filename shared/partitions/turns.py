"""Turns at making a batch: the state partitions of one process make few at once, first come, first served.

All at once they would share two processors and one database between them, and each batch would take as long as all together. One after
the other each is short, and what comes meanwhile makes the next ones larger: half the time from an order to its answer where many
partitions have a few messages each.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 2
"""While one waits for the database the other is decided."""
PATIENCE_SECONDS = 1.0


class Turns:
    """Whoever has waited too long goes on without a turn: a batch that is stuck must not hold up what has nothing to do with it."""

    def __init__(self, at_once: int = AT_ONCE, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free, self._patience_seconds = asyncio.Semaphore(at_once), patience_seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """One turn, or none after so long a wait."""
        taken = await self._taken()
        try:
            yield
        finally:
            if taken:
                self._free.release()

    async def _taken(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._free.acquire()
        except TimeoutError:
            return False
