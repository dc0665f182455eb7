"""Child processes that outlive the command that started them: found again, never mistaken, ended in order.

A process is known by its id and the time it was created, because ids are used again after a reboot or a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil

from shared.local.errors import ServerDidNotStop

# Boot time, to which the system counts, is known to the second, and Postgres writes its start in whole seconds.
SAME_CREATION_SECONDS = 3.0
SECONDS_TO_DIE = 10
LOG_BYTES_KEPT = 10_000_000
LOG_LINES_SHOWN = 15
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process: its id alone may have been given to another one since."""

    pid: int
    created_at: float

    def process(self) -> psutil.Process | None:
        """The process if it is still this one and lives. One that ended and awaits its parent (a zombie) does not live."""
        try:
            found = psutil.Process(self.pid)
            is_same = abs(found.create_time() - self.created_at) <= SAME_CREATION_SECONDS
            return found if is_same and not _has_ended(found) else None
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        return self.process() is not None


def _has_ended(process: psutil.Process) -> bool:
    """A killed JVM is a zombie for a moment while its other threads still hold the ports: that is not the end yet."""
    return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)


def identity_of(pid: int) -> Identity:
    """The identity of a running process; raises psutil.NoSuchProcess."""
    return Identity(pid, psutil.Process(pid).create_time())


def remember(path: Path, identity: Identity) -> None:
    """Write the pid file: whole, or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(identity)), encoding="utf-8")
    fresh.replace(path)


def recall(path: Path) -> Identity | None:
    """The living process that the pid file names, or None: no file, half a file, dead, or its id is another program's by now."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        identity = Identity(int(written["pid"]), float(written["created_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return identity if identity.is_alive() else None


def spawn(command: list[str], *, log: IO[bytes], folder: Path) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own: Ctrl-C in the terminal reaches us, not it, so the order of shutdown is ours."""
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block, so that a child is not left alone between its start and the moment when somebody
    knows of it. Not by a signal mask, which the child would inherit. Python handles signals in its main thread: no other is disturbed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: dict[int, None] = {}
    before = {one: signal.signal(one, lambda number, _: held.setdefault(number)) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in held:
            signal.raise_signal(number)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`, but Ctrl-C waits while the event loop is made or closed: one that is interrupted in the middle of that complains on
    the terminal when it is thrown away."""
    runner = asyncio.Runner()
    try:
        with undisturbed():
            runner.get_loop()
        return runner.run(main)
    finally:
        with undisturbed():
            runner.close()
        main.close()  # if it was never begun: one that was had its loop to tidy up


def end(server: str, identity: Identity, grace_seconds: float, ending: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end, kill it after `grace_seconds`, and return when it is gone. One that is gone already is fine."""
    process = identity.process()
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        process.send_signal(ending)
    if not _is_gone_within(process, grace_seconds):
        kill(server, identity)


def kill(server: str, identity: Identity) -> None:
    """End the process and its children at once (kill -9), as a crash of the machine would; returns when all are gone."""
    process = identity.process()
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        if not all(_is_gone_within(member, SECONDS_TO_DIE) for member in family):
            raise ServerDidNotStop(server=server, pid=identity.pid, seconds=SECONDS_TO_DIE)


def _is_gone_within(process: psutil.Process, seconds: float) -> bool:
    """Polls, because psutil's own wait takes a zombie whose parent never reaps it (a container without init) for alive."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psutil.TimeoutExpired):
            process.wait(0)
        if not Identity(process.pid, process.create_time()).is_alive():
            return True
        time.sleep(0.02)
    return False


Exclusive = AbstractContextManager[None]


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the lock file while two commands might start or stop the same servers. The system lets go of it if we die.

    On Windows nothing is locked: there the servers' own locks on their data are what remains.
    """
    with lock.open("a") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def sole(folder: Path) -> Iterator[bool]:
    """Whether no other process is in such a block for this folder; then none comes in before the end of ours. The folder itself is locked:
    no file stays behind. The system lets go of it if we die; children do not inherit it. On Windows nothing is locked."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def open_log(path: Path) -> IO[bytes]:
    """The server's log, to append to. One that has grown large is put aside first, over the one before it."""
    if path.exists() and path.stat().st_size > LOG_BYTES_KEPT:
        path.replace(path.with_suffix(".old.log"))
    return path.open("ab")


def tail(path: Path) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    except OSError:
        lines = []
    return "\n".join(["", *(f"    {line}" for line in lines or ["(nothing)"])])
