"""Services forked from one process that has imported them all: to import is most of what their start costs, and three do it in one.

Where several services start on one machine. In a container each runs alone, by `services.console.serve`. Not the fork server of
`multiprocessing`: that gives its children its own streams, and whoever started them waits for their end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

from services.console.errors import ConsoleError

AVAILABLE = sys.platform == "linux"
"""macOS has libraries that do not survive a fork, Windows has no fork: there each service is started by itself."""
POLL_SECONDS = 0.02


class ForkServerEnded(ConsoleError):
    """The process that starts the services has ended, for the reason above. Mend that and run this again."""


class ForkedService:
    """A service in a process of its own; its parent is the fork server, or whoever takes in orphans when that has ended."""

    def __init__(self, server: "ForkServer", name: str, pid: int) -> None:
        self._server, self._name, self.pid = server, name, pid
        self._status: int | None = None
        self._asking = Lock()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        with self._asking:  # the system tells it once
            if self._status is None:
                self._status = self._server.ask({"status_of": self.pid})
            return self._status

    def wait(self, seconds: float) -> int:
        """Its exit status, as soon as it has ended. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self._name, seconds)
            time.sleep(POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """As `os.kill`; one that has ended is left alone, for its id may be another's by now."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """This side of it. It imports from the moment that this is made, and ends when it is closed or this process ends; services go on.
    Do not interrupt a question: its answer would be taken for the next one's.

    `environment`: the fork server's own, which `ps` and the like show for its children as well. `module`: what is run there.
    """

    def __init__(self, environment: Mapping[str, str], module: str = "services.console.fork_server") -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
            start_new_session=True,
        )

    def start(self, name: str, log: str, environment: Mapping[str, str]) -> ForkedService:
        """Start one service, which sees this environment and no other, and appends what it says to `log`."""
        return ForkedService(self, name, self.ask({"start": name, "log": log, "environment": dict(environment)}))

    def ask(self, question: dict[str, Any]) -> Any:
        """One question, one answer. Raises ForkServerEnded."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        with self._lock, suppress(BrokenPipeError):
            pipe_in.write(json.dumps(question) + "\n")
            pipe_in.flush()
            if answer := pipe_out.readline():
                return json.loads(answer)
        raise ForkServerEnded(ForkServerEnded.__doc__)

    def close(self) -> None:
        """End it, also while it still imports, or has ended by itself; what it started goes on."""
        with suppress(BrokenPipeError), self._process as ending:  # of a question that it did not hear
            ending.kill()
