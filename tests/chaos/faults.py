"""The faults that may be drawn. Each is done to the stage and undone again by itself; how long it lasts is drawn as well."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from shared.local.postgres import STOP_SIGNALS
from tests.chaos.proxy import Proxy
from tests.chaos.stage import AT_LEAST, AT_MOST, Place, Stage
from tests.support.crashing import IN_THE_ALLOCATOR, IN_THE_API, STOPPING

UNDER_LOAD = tuple(point for point in IN_THE_ALLOCATOR if point != STOPPING)
POINTS = {"allocator": UNDER_LOAD, "orders": IN_THE_API, "inventory": IN_THE_API}
"""The crash points that a process of each kind passes under load."""
HOUR_SECONDS = 3_600
BACK_WITHIN_SECONDS = 2.0


@dataclass
class Chance:
    """What a fault needs: the stage, its own dice, how long one may last, and a lock of those that would exclude each other."""

    stage: Stage
    random: Random
    longest_seconds: float
    servers: asyncio.Lock

    def seconds(self, shortest: float, longest: float) -> float:
        """A duration from the range, not longer than the rest of the run allows."""
        return min(self.random.uniform(shortest, longest), max(0.5, self.longest_seconds))


Fault = Callable[[Chance], Awaitable[None]]


def _one_of(chance: Chance) -> Place | None:
    places = chance.stage.alive()
    return chance.random.choice(places) if places else None


async def kill(chance: Chance) -> None:
    """kill -9 of any process."""
    stage = chance.stage
    if place := _one_of(chance):
        stage.say(f"kill -9: {place}")
        await stage.kill(place, chance.random.uniform(0, BACK_WITHIN_SECONDS))


async def crash(chance: Chance) -> None:
    """A process is started anew, armed to kill itself at a crash point."""
    stage = chance.stage
    if place := _one_of(chance):
        point = f"{chance.random.choice(POINTS[place.kind])}:{chance.random.randint(1, 30)}"
        stage.say(f"crash point: {place} will die at {point}")
        place.crash = point
        await stage.kill(place, 0)


async def freeze(chance: Chance) -> None:
    """SIGSTOP, and SIGCONT when everybody has forgotten it."""
    stage = chance.stage
    place = _one_of(chance)
    if place is None or place.child is None:
        return
    seconds = chance.seconds(2, 60) if chance.random.random() < 0.3 else chance.seconds(2, 12)
    stage.say(f"freeze: {place} for {seconds:.1f} s")
    async with stage.disturbance():
        place.is_frozen = True
        place.child.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            place.child.thaw()
            place.is_frozen = False


async def skew(chance: Chance) -> None:
    """A process comes back with a wall clock that is an hour wrong, or right again."""
    stage = chance.stage
    if place := _one_of(chance):
        place.seconds_ahead = chance.random.choice([one for one in (-HOUR_SECONDS, 0, HOUR_SECONDS) if one != place.seconds_ahead])
        stage.say(f"clock: {place} comes back {place.seconds_ahead:+} s")
        await stage.kill(place, 0)


async def add_or_remove_allocator(chance: Chance) -> None:
    """One more, or one leaves in order."""
    stage = chance.stage
    places = [place for place in stage.places if place.kind == "allocator" and not place.is_leaving]
    more = len(places) <= AT_LEAST or (len(places) < AT_MOST and chance.random.random() < 0.5)
    leaving = [place for place in places if place.is_alive and not place.is_frozen]
    if more:
        stage.say(f"one more: {stage.add('allocator')}")
    elif leaving:
        _leave(stage, chance.random.choice(leaving))


def _leave(stage: Stage, place: Place) -> None:
    stage.say(f"leaves: {place}")
    place.is_leaving = True
    if place.child is not None:
        place.child.ask_to_stop()


async def restart_kafka(chance: Chance) -> None:
    """Clean, or kill -9."""
    async with chance.servers, chance.stage.disturbance():
        broker, clean = chance.stage.stack.kafka, chance.random.random() < 0.5
        chance.stage.say("Kafka: restart" if clean else "Kafka: kill -9")
        await asyncio.to_thread(broker.stop if clean else broker.kill)
        await asyncio.to_thread(broker.start)


async def restart_postgres(chance: Chance) -> None:
    """Fast, or immediate, which is as a crash."""
    async with chance.servers, chance.stage.disturbance():
        mode = chance.random.choice(list(STOP_SIGNALS))
        chance.stage.say(f"Postgres: {mode} restart")
        await asyncio.to_thread(chance.stage.stack.postgres.restart, mode)


def _one_server(chance: Chance) -> tuple[str, Proxy]:
    """Its name, and the way to it."""
    return chance.random.choice((("Kafka", chance.stage.kafka), ("Postgres", chance.stage.postgres)))


async def cut_connections(chance: Chance) -> None:
    """A share of the connections to one server is reset."""
    stage = chance.stage
    name, proxy = _one_server(chance)
    async with stage.disturbance():
        stage.say(f"network: {proxy.cut(chance.random.choice((0.2, 0.5, 1.0)))} connections to {name} reset")
        await asyncio.sleep(0)


async def delay(chance: Chance) -> None:
    """Everything to and from one server is late."""
    stage = chance.stage
    name, proxy = _one_server(chance)
    longest, seconds = chance.random.choice((0.02, 0.1, 0.5)), chance.seconds(1, 8)
    stage.say(f"network: {name} is up to {longest * 1_000:.0f} ms late for {seconds:.1f} s")
    async with stage.disturbance():
        proxy.delay_seconds = (0.0, longest)
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.delay_seconds = (0.0, 0.0)


async def half_open(chance: Chance) -> None:
    """A share of the connections to one server swallows everything, and says nothing."""
    stage = chance.stage
    name, proxy = _one_server(chance)
    seconds = chance.seconds(2, 15)
    async with stage.disturbance():
        silence = proxy.silence(chance.random.choice((0.2, 0.5)))
        stage.say(f"network: {silence.count} connections to {name} are half open for {seconds:.1f} s")
        try:
            await asyncio.sleep(seconds)
        finally:
            silence.end()


async def lose_commits(chance: Chance) -> None:
    """The next COMMITs, or the answers to them, are lost."""
    stage = chance.stage
    number = chance.random.randint(1, 5)
    stage.say(f"network: the next {number} commits or their answers are lost")
    async with stage.disturbance():
        stage.postgres.commits_to_lose = number
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while stage.postgres.commits_to_lose:
                    await asyncio.sleep(0.05)
        stage.postgres.commits_to_lose = 0


FAULTS: dict[Fault, int] = {
    kill: 6,
    crash: 6,
    freeze: 3,
    skew: 2,
    add_or_remove_allocator: 3,
    restart_kafka: 1,
    restart_postgres: 1,
    cut_connections: 2,
    delay: 2,
    half_open: 2,
    lose_commits: 3,
}
"""Each with its weight: what is done by its own name is drawn so often in proportion."""
