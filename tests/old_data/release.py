"""A former release of Earmark: its own code, checked out for a moment, run as processes with the packages of today."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shared.local.deathwatch import Deathwatch
from shared.local.ports import free_ports
from shared.local.process import identity_of
from shared.settings import Settings
from tests.support.children import Child

ROOT = Path(__file__).parents[2]


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a revision of this repository."""
    _git("worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def abbreviated(commit: str) -> str:
    """How a recording of it is named."""
    return _git("rev-parse", "--short=7", f"{commit}^{{commit}}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Release:
    """Starts services of `code`, a checkout, on these servers, and ends them without a warning. None outlives this process."""

    code: Path
    settings: Settings
    logs: Path
    _deathwatch: Deathwatch = field(default_factory=Deathwatch)
    _ports: dict[str, int] = field(default_factory=lambda: dict(zip(("orders", "inventory", "allocator"), free_ports(3), strict=True)))

    def start(self, kind: str, crash: str = "") -> Child:
        """One service. `crash`: `name:n` of a crash point."""
        log = self.logs / f"{kind}{crash.replace(':', '-')}.log"
        with log.open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.console.serve", kind],
                cwd=self.code, env=self._environment(crash), stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        self._deathwatch.watch(kind, identity_of(process.pid), signal.SIGKILL)
        return Child(kind, process, f"http://127.0.0.1:{self._ports[kind]}", log)

    def command(self, *arguments: str) -> str:
        """What a command of its `earmark` prints."""
        command = [sys.executable, "-m", "services.console", *arguments]
        return subprocess.run(command, cwd=self.code, env=self._environment(), check=True, stdout=subprocess.PIPE, text=True).stdout

    def _environment(self, crash: str = "") -> dict[str, str]:
        """Its folder comes before the one where today's code is installed."""
        given = {"KAFKA": self.settings.bootstrap, "POSTGRES": self.settings.dsn, "API_KEY_PEPPER": self.settings.pepper.decode()}
        ports = {f"{kind.upper()}_PORT": str(port) for kind, port in self._ports.items()}
        ledger = {"ALLOCATOR_URL": f"http://127.0.0.1:{self._ports['allocator']}"}
        ours = given | ports | ledger | ({"CRASH": crash} if crash else {})
        return os.environ | {f"EARMARK_{name}": value for name, value in ours.items()} | {"PYTHONPATH": str(self.code)}

    def end(self) -> None:
        """Whatever still runs."""
        self._deathwatch.close()
