"""The installation that suffers: servers of its own behind proxies, and processes of the product that are started again when they die."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.database import hot_connection
from shared.local.stack import LocalStack
from shared.settings import Settings
from shared.world import prepare
from tests.chaos.proxy import Proxy
from tests.support.allocator import settings_for
from tests.support.children import Child, Children, children

KINDS = ("allocator", "allocator", "orders", "orders", "inventory")
AT_LEAST, AT_MOST = 2, 4
"""Allocators."""
SESSION_MS = 6_000
LOOK_SECONDS = 0.05
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
Say = Callable[[str], None]


@dataclass
class Place:
    """Where one process of the product runs: it is started again when it has died, as an orchestrator would."""

    kind: str
    number: int
    child: Child | None = None
    back_at: float = 0.0
    """Not before; of the monotonic clock."""
    crash: str = ""
    """The crash point that its next process is armed with, `name:n`."""
    seconds_ahead: int = 0
    is_frozen: bool = False
    is_leaving: bool = False
    """Its process, once it has ended, is not started again."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def is_alive(self) -> bool:
        return self.child is not None and self.child.process.poll() is None

    def is_ready(self) -> bool:
        """Whether its process lives and says so. Asks it, and waits for the answer."""
        return self.child is not None and self.is_alive and self.child.is_ready()

    def said(self) -> str:
        """The end of its log."""
        return self.child.said()[-4_000:] if self.child else "it was not started"


@dataclass(frozen=True, slots=True)
class Death:
    """An allocator died, and these were its state partitions, with their epochs."""

    at: datetime
    partitions: dict[tuple[str, int], int]


@dataclass
class Stage:
    """Everything that faults are done to."""

    stack: LocalStack
    settings: Settings
    """What the processes are given: both servers through their proxies."""
    direct_dsn: str
    kafka: Proxy
    postgres: Proxy
    children: Children
    random: Random
    say: Say
    places: list[Place] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    disturbed: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When servers, networks or other processes suffered too: no recovery is measured then."""
    _made: int = 0

    def alive(self, *kinds: str) -> list[Place]:
        """The places of these kinds, or of any, whose process lives and is not frozen."""
        return [place for place in self.places if place.is_alive and not place.is_frozen and (not kinds or place.kind in kinds)]

    def url(self, kind: str) -> str | None:
        """Where a process of this kind answers, if one lives; another one each time."""
        places = self.alive(kind)
        child = self.random.choice(places).child if places else None
        return child.url if child else None

    def add(self, kind: str, crash: str = "") -> Place:
        """One more process of this kind. One that is to die at a crash point is not started again."""
        self._made += 1
        place = Place(kind, self._made, crash=crash, is_leaving=bool(crash))
        self.places.append(place)
        return place

    async def kill(self, place: Place, pause_seconds: float) -> None:
        """kill -9; it comes back after the pause."""
        await self.note_death(place)
        place.back_at = time.monotonic() + pause_seconds
        if place.child is not None:
            await asyncio.to_thread(place.child.kill)

    async def note_death(self, place: Place) -> None:
        """Remember what an allocator owns, just before it dies."""
        if place.kind != "allocator" or place.child is None:
            return
        query = "SELECT side, number, epoch FROM allocator.state_partition WHERE owner = $1"
        with suppress(*AWAY):
            async with self.connected() as connection:
                rows = await connection.fetch(query, place.child.owner)
            self.deaths.append(Death(datetime.now(UTC), {(row["side"], row["number"]): row["epoch"] for row in rows}))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """To Postgres, past the proxy."""
        connection = await hot_connection(self.direct_dsn, "chaos")
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def disturbance(self) -> AsyncIterator[None]:
        """While this lasts, no recovery is measured."""
        began = datetime.now(UTC)
        try:
            yield
        finally:
            self.disturbed.append((began, datetime.now(UTC)))

    # ---------------------------------------------------------------- the orchestrator

    async def keep_running(self) -> None:
        """Start what has died again, for ever."""
        while True:
            for place in list(self.places):
                if not place.is_alive and not place.is_frozen:
                    await self._start_or_drop(place)
            await asyncio.sleep(LOOK_SECONDS)

    async def _start_or_drop(self, place: Place) -> None:
        if place.is_leaving and place.child is not None:
            self.places.remove(place)
        elif time.monotonic() >= place.back_at:
            crash, place.crash = place.crash, ""
            start = self.children.start
            place.child = await asyncio.to_thread(
                lambda: start(place.kind, crash=crash, seconds_ahead=place.seconds_ahead, group_session_ms=SESSION_MS)
            )

    async def until_ready(self, seconds: float = 60) -> None:
        """Every place has a process that says that it is ready. One may still die on its way there, of the crash point it is armed with or
        because it was told to leave. Fails with the log of one that is not ready in time."""
        until = time.monotonic() + seconds
        while waited_for := [place for place in list(self.places) if not await asyncio.to_thread(place.is_ready)]:
            assert time.monotonic() < until, "\n".join(f"{place} is not ready within {seconds} s\n{place.said()}" for place in waited_for)
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def stage(folder: Path, random: Random, say: Say) -> AsyncIterator[Stage]:
    """Servers, proxies, and no process yet. Removed at the end, whatever happens."""
    kafka, postgres = Proxy(random), Proxy(random)
    stack = LocalStack(folder / "servers", tied_to_parent=True, brief=True, kafka_reached_at=await kafka.start())
    kafka.server_port = stack.kafka.ports.kafka
    try:
        await asyncio.to_thread(stack.start)
        direct = stack.postgres_dsn
        postgres.server_port = urlsplit(direct).port or 0
        settings = settings_for(stack.kafka_bootstrap, _through(direct, await postgres.start()))
        await prepare(settings)
        with children(settings, folder / "logs") as processes:
            made = Stage(stack, settings, direct, kafka, postgres, processes, random, say)
            for kind in KINDS:
                made.add(kind)
            yield made
    finally:
        await kafka.stop()
        await postgres.stop()
        await asyncio.to_thread(stack.clean)


def _through(dsn: str, port: int) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))
