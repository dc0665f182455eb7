"""Ends the servers of a demo or a test run whose own process was killed: a child that waits for its parent's pipe to close.

Not PR_SET_PDEATHSIG: that fires when the thread that started the child ends, is lost when the child changes its user, as
Postgres' does, and exists on Linux only. A pipe is closed by every system when its last holder dies, however it dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import IO

from shared.local import process

GRACE_SECONDS = 10.0
ROOT = Path(__file__).parents[2]


class Deathwatch:
    """Told of every server that this process started; ends them when this process is gone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watcher: subprocess.Popen[str] | None = None

    def watch(self, server: str, identity: process.Identity, ending: signal.Signals) -> None:
        """From now on, `server` does not outlive us: `ending` is the signal that ends it in order."""
        line = json.dumps({"server": server, "pid": identity.pid, "created_at": identity.created_at, "ending": int(ending)})
        with self._lock:
            if self._watcher is None:
                self._watcher = _start_watcher()
            pipe = self._watcher.stdin
            assert pipe is not None
            pipe.write(line + "\n")
            pipe.flush()

    def close(self) -> None:
        """End what still runs of the watched servers, and the watcher."""
        with self._lock:
            watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.communicate()


def _start_watcher() -> subprocess.Popen[str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return subprocess.Popen(
        [sys.executable, "-m", "shared.local.deathwatch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def end_watched(lines: Iterable[str]) -> None:
    """Read the servers until the pipe closes, then end those that live, the last started first."""
    for line in reversed(list(lines)):
        told = json.loads(line)
        identity = process.Identity(told["pid"], told["created_at"])
        process.end(told["server"], identity, GRACE_SECONDS, signal.Signals(told["ending"]))


def main(pipe: IO[str] = sys.stdin) -> None:
    end_watched(pipe)


if __name__ == "__main__":
    main()
