"""Services as child processes: started, armed to die at a crash point, killed, frozen, stopped, as faults and operators do it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx

from services.console.forked import ForkedService, ForkServer
from shared.local.deathwatch import Deathwatch
from shared.local.ports import free_ports
from shared.local.process import identity_of
from shared.settings import Settings

START_SECONDS = 60
STOP_SECONDS = 25
OURS = "services.console.fork_server"


@dataclass
class Child:
    """One service in a process of its own. `url` is where it answers; `log` collects what it says."""

    name: str
    process: ForkedService | subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def owner(self) -> str:
        """How an allocator calls itself in the rows of its state partitions."""
        return f"{os.uname().nodename}/{self.process.pid}"

    def await_ready(self, seconds: float = START_SECONDS) -> "Child":
        """Return when it says that it is ready. Fails with its log."""
        if self.await_ready_or_dead(seconds).process.poll() is None:
            return self
        raise AssertionError(f"{self.name} is not ready (exit status {self.process.poll()}):\n{self.said()[-4_000:]}")

    def await_ready_or_dead(self, seconds: float = START_SECONDS) -> "Child":
        """Return when it says that it is ready, or has met the crash point it is armed with on its way there. Fails with its log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None or self.is_ready():
                return self
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not ready:\n{self.said()[-4_000:]}")

    def health(self, kind: str = "live") -> tuple[int, str]:
        """Status and text of /health/live or /health/ready."""
        answer = httpx.get(f"{self.url}/health/{kind}", timeout=2)
        return answer.status_code, answer.text

    def troubles(self) -> list[str]:
        """What /health/live complains of, sorted; nothing while it does not answer."""
        try:
            status, text = self.health()
        except httpx.HTTPError:
            return []
        return sorted(text.splitlines()) if status == httpx.codes.SERVICE_UNAVAILABLE else []

    def is_ready(self) -> bool:
        """Whether it answers, and says that it is ready."""
        try:
            return self.health("ready")[0] == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """It stands still, and does not know it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        self.process.send_signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM, as an operator would."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Stop in order; returns the exit status. Fails when that takes longer than it may."""
        self.ask_to_stop()
        return self.ended()

    def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; returns the exit status, negative for a signal."""
        return self.process.wait(seconds)


@cache
def _fork_server(code: str, seconds_ahead: int) -> ForkServer:
    """One for all tests of this process: most of what a service takes to start is its imports. One more for every wrong clock, and for
    other code."""
    if not seconds_ahead:
        return ForkServer(os.environ, code)
    return ForkServer(os.environ | {"SECONDS_AHEAD": str(seconds_ahead)}, "tests.support.skewed_fork_server")


@dataclass
class Children:
    """Starts services and ends all of them. None outlives this process, even when that is killed."""

    settings: Settings
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _deathwatch: Deathwatch = field(default_factory=Deathwatch)
    _started: list[Child] = field(default_factory=list)

    def start(self, kind: str, *, crash: str = "", seconds_ahead: int = 0, code: str = OURS, **settings: object) -> Child:
        """Start one `orders`, `inventory` or `allocator`, on a port of its own. `crash`: `name:n` of a crash point. `seconds_ahead`: how
        wrong its wall clock is. `code`: the fork server whose code it runs. Does not wait."""
        (port,) = free_ports(1)
        name = f"{kind}-{len(self._started)}"
        log = self.folder / f"{name}.log"
        process = _fork_server(code, seconds_ahead).start(
            kind, str(log), self._environment({f"{kind}_port": port, "crash": crash, **settings})
        )
        child = Child(name, process, f"http://127.0.0.1:{port}", log)
        self._deathwatch.watch(name, identity_of(process.pid), signal.SIGKILL)
        self._started.append(child)
        return child

    def _environment(self, given: dict[str, object]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EARMARK_")}
        servers = {"kafka": self.settings.bootstrap, "postgres": self.settings.dsn, "api_key_pepper": self.settings.pepper.decode()}
        found: dict[str, object] = {**servers, **self.environment, **given}
        return inherited | {f"EARMARK_{name.upper()}": str(value) for name, value in found.items() if value != ""}

    def end(self) -> None:
        """Kill what still runs."""
        for child in self._started:
            if child.process.poll() is None:
                child.kill()
        self._deathwatch.close()


@contextmanager
def children(settings: Settings, folder: Path, **environment: str) -> Iterator[Children]:
    """Services on these servers; `environment`: further settings of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    started = Children(settings, folder, environment)
    try:
        yield started
    finally:
        started.end()
