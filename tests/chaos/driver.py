"""Draws faults from the seed and does them, until the time is up; then undoes everything and lets the clients finish."""

import asyncio
import time
from random import Random
from typing import Protocol

from tests.chaos.faults import FAULTS, Chance, Fault
from tests.chaos.stage import Stage

PAUSE_SECONDS = (0.5, 4.0)
CALM_SHARE = 0.25
"""After so many of the faults nothing else happens for a while: recoveries are measured in such times."""
CALM_SECONDS = 8.0
AT_ONCE = 3


class Drive(Protocol):
    """What is done to an installation while clients use it. `counts`: how many of each; `broken`: what could not be done or undone."""

    counts: dict[str, int]
    broken: list[str]

    async def run(self) -> None:
        """Returns when everything is over that was done."""


class Driver:
    """Random faults for so many seconds."""

    def __init__(self, stage: Stage, random: Random, seconds: float) -> None:
        self._stage, self._random, self._seconds = stage, random, seconds
        self.counts: dict[str, int] = {fault.__name__: 0 for fault in FAULTS}
        self.broken: list[str] = []

    async def run(self) -> None:
        """See `Drive`."""
        until = time.monotonic() + self._seconds
        servers, under_way = asyncio.Lock(), set[asyncio.Task[None]]()
        while (left := until - time.monotonic()) > 0:
            if len(under_way) < AT_ONCE:
                fault = self._draw()
                self.counts[fault.__name__] += 1
                under_way.add(
                    task := asyncio.create_task(self._do(fault, Chance(self._stage, Random(self._random.random()), left, servers)))
                )
                task.add_done_callback(under_way.discard)
            calm = CALM_SECONDS if self._random.random() < CALM_SHARE else 0.0
            await asyncio.sleep(min(left, calm + self._random.uniform(*PAUSE_SECONDS)))
        await asyncio.gather(*under_way)
        self._heal()

    def _draw(self) -> Fault:
        return self._random.choices(list(FAULTS), list(FAULTS.values()))[0]

    async def _do(self, fault: Fault, chance: Chance) -> None:
        try:
            await fault(chance)
        except Exception as error:  # a fault that fails must not end the others; it fails the run
            self.broken.append(f"{fault.__name__}: {type(error).__name__}: {error}")

    def _heal(self) -> None:
        for place in self._stage.places:
            place.crash, place.back_at, place.seconds_ahead = "", 0.0, 0
