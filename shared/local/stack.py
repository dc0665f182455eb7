"""The private Kafka and Postgres of one data folder, as one thing that is started, found again, stopped and removed."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from shared.local import process
from shared.local.artifacts import Progress
from shared.local.deathwatch import Deathwatch
from shared.local.errors import DiskFull
from shared.local.kafka import Broker
from shared.local.ports import Ports, kept_ports
from shared.local.postgres import Server

FREE_MB_NEEDED = 500
BOTH = (Broker.name, Server.name)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now; `pid` is None when it does not run."""

    name: str
    address: str
    pid: int | None
    log: Path


class _GivenUp(Exception):
    """Nobody waits for this server any more. Raised in the thread that starts it, and seen by nobody."""


class LocalStack:
    """Owner of the servers of `data_folder`. Any number of these may name one folder: what runs there is found and re-used.

    `on_progress` hears each step in a few words, from more than one thread. `tied_to_parent`: what this object starts does not
    outlive this process, even when that is killed; otherwise the servers stay until somebody stops them.

    `brief`: for a minute, not for days: what is started is made to start quickly rather than to run fast for long.

    `needed`: which of them are started and shown; somebody else runs the other.

    As an async context manager it stops on leaving what it started on entering, and leaves alone what ran before.
    """

    def __init__(
        self,
        data_folder: Path,
        *,
        on_progress: Progress = lambda step: None,
        tied_to_parent: bool = False,
        brief: bool = False,
        needed: Collection[str] = BOTH,
        kafka_reached_at: int | None = None,
    ) -> None:
        self.data_folder = data_folder.resolve()
        self._on_progress = on_progress
        self._brief = brief
        self._needed = needed
        self._kafka_reached_at = kafka_reached_at
        self._deathwatch = Deathwatch() if tied_to_parent else None
        self._started_here: set[str] = set()

    @property
    def kafka_bootstrap(self) -> str:
        return self.kafka.address

    @property
    def postgres_dsn(self) -> str:
        """postgresql://user:password@127.0.0.1:port/earmark"""
        return self.postgres.dsn

    @cached_property
    def kafka(self) -> Broker:
        return Broker(self.data_folder / "kafka", self._ports, self._ports_file, self._note_start, self._brief, self._kafka_reached_at)

    @cached_property
    def postgres(self) -> Server:
        return Server(self.data_folder / "postgres", self._ports.postgres, self._ports_file, self._note_start)

    @property
    def _ports_file(self) -> Path:
        return self.data_folder / "ports.json"

    @cached_property
    def _ports(self) -> Ports:
        self.data_folder.mkdir(parents=True, exist_ok=True)
        return kept_ports(self._ports_file)

    def start(self) -> None:
        """Start what does not run, all at once, and return when both serve. Idempotent; a second command waits for the first.

        Raises an error of `shared.local.errors`; what this call had started is stopped then.
        """
        self.data_folder.mkdir(parents=True, exist_ok=True)
        with self._exclusively():
            absent = [server for server in self._servers() if server.running() is None]
            if absent:
                require_space(self.data_folder)
                self._start_together([server.start for server in absent])

    def _start_together(self, starts: list[Callable[[Progress], process.Identity]]) -> None:
        given_up = Event()
        with ThreadPoolExecutor(len(starts)) as pool:
            try:
                for server in as_completed([pool.submit(start, self._steps_until(given_up)) for start in starts]):
                    server.result()
            except BaseException:
                given_up.set()
                with process.undisturbed():
                    # A thread can not be stopped. While one of them still starts its server, there is nothing yet that could be stopped:
                    # without this wait, Ctrl-C left behind whatever came up a moment later.
                    pool.shutdown(cancel_futures=True)
                    self.stop_own()
                raise

    def _steps_until(self, given_up: Event) -> Progress:
        """Between two steps a start that was given up ends: before what it would still spawn or fetch."""

        def step(text: str) -> None:
            if given_up.is_set():
                raise _GivenUp
            self._on_progress(text)

        return step

    def stop(self) -> None:
        """Stop both, whoever started them. Not running is fine."""
        if self.data_folder.exists():
            with self._exclusively():
                self._stop(self.kafka, self.postgres)

    def clean(self) -> None:
        """End both, without their leave since their data goes as well, and remove that and their ports; other files of the folder stay."""
        if not self.data_folder.exists():
            return
        with self._exclusively():
            self.kafka.kill()
            self.postgres.stop("immediate")
            self._stop(self.kafka, self.postgres)
            self.postgres.remove()
            shutil.rmtree(self.kafka.folder, ignore_errors=True)
            self._ports_file.unlink(missing_ok=True)
            del self.kafka, self.postgres, self._ports
        self._lock_file.unlink(missing_ok=True)
        with suppress(OSError):
            self.data_folder.rmdir()

    def status(self) -> tuple[ServerStatus, ...]:
        """The servers as they are now; empty where none was ever started."""
        if not self._ports_file.exists():
            return ()
        return tuple(map(_status, self._servers()))

    def _servers(self) -> list[Broker | Server]:
        return [server for server in (self.kafka, self.postgres) if server.name in self._needed]

    def is_running(self) -> bool:
        """Whether all of them run."""
        return bool(states := self.status()) and all(state.pid is not None for state in states)

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread can not be cancelled: without this the servers would come up with nobody to stop them.
            await asyncio.wait([starting])
            await asyncio.to_thread(self.stop_own)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.stop_own)

    def stop_own(self) -> None:
        """Stop what this object started; what ran before goes on."""
        if self._started_here:
            self._stop(*(server for server in (self.kafka, self.postgres) if server.name in self._started_here))

    def _stop(self, *servers: Broker | Server) -> None:
        for server in servers:
            if server.running():
                self._on_progress(f"stopping {server.name}")
                server.stop()
        self._started_here.clear()
        if self._deathwatch is not None:
            self._deathwatch.close()

    def tie(self, name: str, identity: process.Identity) -> None:
        """A further process, one that needs these servers, which ends before them if this process dies, where this stack is tied to it."""
        if self._deathwatch is not None:
            self._deathwatch.watch(name, identity, signal.SIGTERM)

    def _note_start(self, server: str, identity: process.Identity, ending: signal.Signals) -> None:
        self._started_here.add(server)
        if self._deathwatch is not None:
            self._deathwatch.watch(server, identity, ending)

    @property
    def _lock_file(self) -> Path:
        return self.data_folder / "local.lock"

    def _exclusively(self) -> process.Exclusive:
        return process.exclusive(self._lock_file)


def _status(server: Broker | Server) -> ServerStatus:
    identity = server.running()
    return ServerStatus(server.name, server.address, identity.pid if identity else None, server.log)


def require_space(folder: Path) -> None:
    """Raises DiskFull where less than 500 MB are free: a server that fills the disk dies worse than one that was not started."""
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < FREE_MB_NEEDED:
        raise DiskFull(free_mb=free_mb, folder=folder, needed_mb=FREE_MB_NEEDED)
