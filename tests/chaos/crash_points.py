"""Every named crash point and every way to lose a COMMIT, so many times each, under load: one point at a time."""

import asyncio
import signal
import time
from collections.abc import Callable
from random import Random

from shared.partitions import crash
from tests.chaos.stage import LOOK_SECONDS, Stage
from tests.support.beside import beside
from tests.support.crashing import IN_THE_ALLOCATOR, STOPPING

COMMIT_LOST = "commit lost"
ALL = (*crash.POINTS, COMMIT_LOST)
"""The points by name, and COMMITs that the network loses before or after they take effect."""
RELAYED = "relay_published"
PASSED_AT_MOST = {STOPPING: 1, "claimed": 3, RELAYED: 3}
PASSED_UNDER_LOAD = 10
"""A process dies at the first to so-manieth time that it passes its point."""
AT_ONCE = 5
"""Processes that join together to die: the group waits for its dead, however many, before it deals partitions out again."""
DIES_WITHIN_SECONDS = 90.0
HOLDS_SECONDS = 5.0
"""How long whoever relays is left alone, before its shards are to go to those that are armed."""


class Deaths:
    """So many deaths at one point."""

    def __init__(self, stage: Stage, random: Random, point: str, times: int) -> None:
        self._stage, self._random, self._point, self._times = stage, random, point, times
        self.counts = {point: 0}
        self.broken: list[str] = []

    async def run(self) -> None:
        """See `Drive`."""
        while (left := self._times - self.counts[self._point]) > 0 and not self.broken:
            if self._point == COMMIT_LOST:
                await self._lose_a_commit()
            else:
                async with self._stage.disturbance():  # several at once: how soon one is replaced is measured by chaos
                    await asyncio.gather(*[self._die() for _ in range(min(AT_ONCE, left))])

    async def _die(self) -> None:
        """One more process joins, armed, and dies there under load."""
        passed = self._random.randint(1, PASSED_AT_MOST.get(self._point, PASSED_UNDER_LOAD))
        place = self._stage.add(self._random.choice(self._kinds()), f"{self._point}:{passed}")
        await self._until(lambda: place.child is not None, f"{place} to start")
        if self._point == STOPPING and place.child is not None:
            await asyncio.to_thread(place.child.await_ready_or_dead)
            place.child.ask_to_stop()
        async with beside(*([self._kill_holders(place.kind)] if self._point == RELAYED else [])):
            await self._until(lambda: place not in self._stage.places, f"{place} to die at {self._point}")
        if place.child is not None and place.child.process.poll() == -signal.SIGKILL:
            await self._stage.note_death(place)
            self.counts[self._point] += 1
        else:
            self.broken.append(f"{place} did not die at {self._point}")

    async def _kill_holders(self, kind: str) -> None:
        """A relay keeps its shards for as long as it lives: where one is to die relaying, those who hold them die first."""
        while True:
            await asyncio.sleep(HOLDS_SECONDS)
            for holder in [place for place in self._stage.alive(kind) if not place.is_leaving]:
                await self._stage.kill(holder, HOLDS_SECONDS)

    async def _lose_a_commit(self) -> None:
        self._stage.postgres.commits_to_lose = 1
        await self._until(lambda: self._stage.postgres.commits_to_lose == 0, "a COMMIT to be sent")
        self.counts[self._point] += 1
        await asyncio.sleep(self._random.uniform(0, 0.5))

    def _kinds(self) -> tuple[str, ...]:
        return ("allocator",) if self._point in IN_THE_ALLOCATOR else ("orders", "inventory")

    async def _until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for it; what does not happen in time is told, and ends the run."""
        until = time.monotonic() + DIES_WITHIN_SECONDS
        while not happened():
            if time.monotonic() > until:
                self.broken.append(f"waited {DIES_WITHIN_SECONDS:.0f} s for {what}")
                return
            await asyncio.sleep(LOOK_SECONDS)
