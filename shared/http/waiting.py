"""Waiting for a decision: the transaction that projects it NOTIFYs, every process listens, whoever waits for it wakes up."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import hot_connection

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
"""A notification may be lost with its connection: waiters look for themselves now and then."""
PAYLOAD_BYTES = 7_999
"""What one notification carries at most."""
_NOTIFY = text("SELECT pg_notify(:channel, subjects) FROM unnest(:packed) AS subjects").bindparams(bindparam("packed", type_=ARRAY(Text)))
Found = TypeVar("Found")


async def notify(connection: AsyncConnection, channel: str, *subjects: str) -> None:
    """Wake whoever waits for these subjects, in every process, when the transaction commits. Subjects are ASCII on one line.

    As many of them in one notification as it takes: each is a row of a queue of the whole server, and wakes every process.
    """
    if subjects:
        await connection.execute(_NOTIFY, {"channel": channel, "packed": _packed(subjects)})


def _packed(subjects: Sequence[str]) -> list[str]:
    """Lines of subjects, each within what Postgres takes."""
    packed = "\n".join(subjects)
    if len(packed) <= PAYLOAD_BYTES or len(subjects) == 1:
        return [packed]
    half = len(subjects) // 2
    return _packed(subjects[:half]) + _packed(subjects[half:])


class Waiting:
    """Those who wait in this process, by subject."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn, self.channel = dsn, channel
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again, meanwhile waiters look for themselves."""
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                log.info("listening on %s again: %s", self.channel, error)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def until(self, subjects: Collection[str], seconds: float, probe: Callable[[], Awaitable[Found | None]]) -> Found | None:
        """What `probe` finds: asked at once, after a notification of any subject and once a second, for at most `seconds`; then None."""
        wake = asyncio.Event()
        for subject in subjects:
            self._waiters[subject].add(wake)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            while (found := await probe()) is None:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_AGAIN_SECONDS)):
                        await wake.wait()
                wake.clear()
            return found
        finally:
            self._forget(subjects, wake)

    def _forget(self, subjects: Collection[str], wake: asyncio.Event) -> None:
        for subject in subjects:
            self._waiters[subject].discard(wake)
            if not self._waiters[subject]:
                del self._waiters[subject]

    async def _listen(self) -> None:
        connection = await hot_connection(self._dsn, f"{self.channel} listener")
        try:
            await connection.add_listener(self.channel, self._woken)
            while True:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=2.0)

    def _woken(self, _connection: Any, _pid: int, _channel: str, subjects: Any) -> None:
        for subject in subjects.split("\n") if self._waiters else ():
            for wake in self._waiters.get(subject, ()):
                wake.set()
