"""Earmark's own services as child processes of one data folder: started, awaited, found again, stopped. The servers they need are
`shared.local`'s, each unless EARMARK_KAFKA or EARMARK_POSTGRES names another."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from services.console import forked
from services.console.errors import ConsoleError
from shared.local import process
from shared.local.ports import free_ports, is_free
from shared.local.stack import LocalStack
from shared.settings import Settings, settings
from shared.world import prepare

READY_SECONDS = 60
STOP_SECONDS = 20
SERVICES = ("orders", "inventory", "allocator")


class ServiceDidNotStart(ConsoleError):
    """A service did not become ready. Its log says why."""


class ServicePortTaken(ConsoleError):
    """Another program listens where a service of this folder does. End it, or write another port into the folder's `services.json`."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything of a running stack answers."""

    kafka: str
    postgres: str
    orders: str
    inventory: str
    allocator: str


class Stack:
    """Servers and services of one data folder. `up` starts what does not run; `down` stops all of it.

    `ephemeral`: nothing of it outlives this process, not even when that is killed. `private`: its own servers, whatever
    EARMARK_KAFKA and EARMARK_POSTGRES name. `brief`: for a minute, not for days.
    """

    def __init__(
        self,
        folder: Path,
        on_progress: Callable[[str], None] = lambda step: None,
        *,
        ephemeral: bool = False,
        private: bool = False,
        brief: bool = False,
    ) -> None:
        self.folder = folder.resolve()
        self._on_progress = on_progress
        self._named_kafka = None if private else os.environ.get("EARMARK_KAFKA")
        self._named_postgres = None if private else os.environ.get("EARMARK_POSTGRES")
        named = {"Kafka": self._named_kafka, "Postgres": self._named_postgres}
        self.private = tuple(server for server, address in named.items() if not address)
        self.servers = LocalStack(self.folder, on_progress=on_progress, tied_to_parent=ephemeral, brief=brief, needed=self.private)
        self._started_here: dict[str, process.Identity] = {}
        self._fork_server: forked.ForkServer | None = None

    # ---------------------------------------------------------------- what it is made of

    def settings(self) -> Settings:
        """The settings under which the services of this folder run."""
        given = self._kept()
        ports = {f"{name}_port": int(given[f"{name}_port"]) for name in SERVICES}
        one_copy = {} if self._named_kafka else {"kafka_replication": 1, "kafka_min_insync": 1}  # the private broker is one
        return settings(
            kafka=self._named_kafka or self.servers.kafka_bootstrap,
            postgres=self._named_postgres or self.servers.postgres_dsn,
            api_key_pepper=os.environ.get("EARMARK_API_KEY_PEPPER") or given["api_key_pepper"],
            allocator_url=f"http://127.0.0.1:{ports['allocator_port']}",
            data=self.folder,
            **ports,
            **one_copy,
        )

    def lacks_postgres(self) -> bool:
        """Whether its Postgres is a private one that does not run."""
        return "Postgres" in self.private and not any(one.pid for one in self.servers.status() if one.name == "Postgres")

    def addresses(self) -> Addresses:
        """Where to go."""
        found = self.settings()
        urls = {name: f"http://127.0.0.1:{getattr(found, f'{name}_port')}" for name in SERVICES}
        return Addresses(kafka=found.bootstrap, postgres=found.dsn, **urls)

    def _kept(self) -> dict[str, str]:
        """Ports and the pepper of this folder: drawn once, kept with the data, readable by its owner only."""
        path = self.folder / "services.json"
        if path.exists():
            kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        self.folder.mkdir(parents=True, exist_ok=True)
        made = {f"{name}_port": str(port) for name, port in zip(SERVICES, _service_ports(), strict=True)}
        made["api_key_pepper"] = secrets.token_hex(32)
        path.touch(mode=0o600)
        path.write_text(json.dumps(made), encoding="utf-8")
        return made

    # ---------------------------------------------------------------- up and down

    def up(self) -> Addresses:
        """Start everything that does not run, in order, and return when all of it is ready; on an error or Ctrl-C nothing of it stays."""
        with self.whole_or_nothing():
            absent = [name for name in SERVICES if self.running(name) is None]
            for name in absent:
                self._require_port(name)
            if absent:
                self.load()
            if self.private:
                self.servers.start()
            found = self.settings()
            self._on_progress("preparing tables and topics")
            process.run(prepare(found))
            for name in absent:
                self.start(name)
            self._unload()
            for name in SERVICES:
                self.await_ready(name)
            return self.addresses()

    def load(self) -> None:
        """Begin to import what the services are made of, so that `up` starts them at once. It ends with `up`, or with this process."""
        if forked.AVAILABLE and self._fork_server is None:
            with process.undisturbed():
                self._fork_server = forked.ForkServer(os.environ | {"EARMARK_DATA": str(self.folder)})

    def _unload(self) -> None:
        if self._fork_server is not None:
            self._fork_server.close()
            self._fork_server = None

    @contextmanager
    def whole_or_nothing(self) -> Iterator[None]:
        """Where the block is left by an error or by Ctrl-C, what this object started is stopped; what ran before goes on."""
        try:
            yield
        except BaseException:
            with process.undisturbed():
                self._unload()
                self._end(list(self._started_here.items()))
                self._started_here.clear()
                self.servers.stop_own()
            raise

    def start(self, name: str) -> process.Identity:
        """Start one service; `allocator-2` is one more allocator. Does not wait. Raises ServicePortTaken."""
        self._require_port(name)
        self._on_progress(f"starting {name}")
        (self.folder / "logs").mkdir(exist_ok=True)
        with process.undisturbed():
            with _environment(self.settings()), process.open_log(self._log(name)) as log:
                identity = self._started_here[name] = process.identity_of(self._launch(name, log))
            self.servers.tie(name, identity)
            process.remember(self._pid_file(name), identity)
        return identity

    def _launch(self, name: str, log: IO[bytes]) -> int:
        """Process id of a new service with the environment of this moment."""
        if self._fork_server is not None:
            return self._fork_server.start(name, log.name, os.environ).pid
        return process.spawn([sys.executable, "-m", "services.console.serve", name], log=log, folder=Path.cwd()).pid

    def _require_port(self, name: str) -> None:
        """Before anything is started: the service itself would say it in its log only, among other lines."""
        setting = f"{name}_port"
        port = int(self._kept().get(setting, 0))  # 0: one more allocator takes any
        if port and not is_free(port):
            path = self.folder / "services.json"
            raise ServicePortTaken(
                f"port {port}, where {name} of this folder listens, is taken by another program: end that program, or write another free "
                f"port as {setting} into {path}"
            )

    def running(self, name: str) -> process.Identity | None:
        """The process of a service, if it lives."""
        return process.recall(self._pid_file(name))

    def await_ready(self, name: str) -> None:
        """Return when the service says that it is ready. Raises ServiceDidNotStart with the end of its log."""
        url = f"{getattr(self.addresses(), name)}/health/ready"
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.running(name) is None:
                break
            try:
                if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise ServiceDidNotStart(f"{name} did not become ready; the end of {self._log(name)}:{process.tail(self._log(name))}")

    def down(self) -> None:
        """Stop the services, then the private servers. Not running is fine."""
        self._end_services()
        self.servers.stop()

    def _end_services(self) -> None:
        self._end([(path.stem, identity) for path in sorted(self.folder.glob("*.pid")) if (identity := process.recall(path))])

    def _end(self, alive: list[tuple[str, process.Identity]]) -> None:
        """All are asked before the first is waited for."""
        for name, identity in alive:
            self._on_progress(f"stopping {name}")
            if found := identity.process():
                found.terminate()
        for name, identity in alive:
            process.end(name, identity, STOP_SECONDS)
            self._pid_file(name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Stop everything and remove the data of the private servers, ports and logs."""
        self._end_services()
        for path in [*self.folder.glob("logs/*.log"), self.folder / "services.json", *self.folder.glob("*.pid")]:
            path.unlink(missing_ok=True)
        if (self.folder / "logs").exists():
            (self.folder / "logs").rmdir()
        self.servers.clean()

    def has_logs(self) -> bool:
        """Whether anything of it came so far as to say something."""
        return any(self.folder.glob("logs/*.log")) or any(server.log.exists() for server in self.servers.status())

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _pid_file(self, name: str) -> Path:
        return self.folder / f"{name}.pid"


def _service_ports() -> list[int]:
    """The documented ports where they are free, others where not."""
    documented = [8001, 8002, 8003]
    return documented if all(map(is_free, documented)) else free_ports(len(SERVICES))


@contextmanager
def _environment(found: Settings) -> Iterator[None]:
    """The settings as the environment of a child, for the moment of its start: secrets never stand on a command line."""
    assert found.api_key_pepper is not None, "drawn with the folder"
    given = {
        "EARMARK_KAFKA": found.bootstrap,
        "EARMARK_POSTGRES": found.dsn,
        "EARMARK_API_KEY_PEPPER": found.api_key_pepper.get_secret_value(),
        "EARMARK_ALLOCATOR_URL": found.allocator_url,
        "EARMARK_DATA": str(found.data),
        **{f"EARMARK_{name.upper()}_PORT": str(getattr(found, f"{name}_port")) for name in SERVICES},
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
