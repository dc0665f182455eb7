"""A private Postgres on loopback, durable settings left on. Knows one data folder and one database; no table of ours."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import psutil

from shared.local import process
from shared.local.accounts import Account, account_for_postgres, give, run_as
from shared.local.artifacts import Progress
from shared.local.errors import CommandFailed, ServerDidNotStart
from shared.local.ports import require_free
from shared.local.postgres_runtime import forget_place, make_place, place_for, programs_for

USER = DATABASE = "earmark"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SECONDS_FOR_ORPHANS = 5.0

StopMode = Literal["fast", "immediate"]
STOP_SIGNALS: dict[StopMode, signal.Signals] = {"fast": signal.SIGINT, "immediate": getattr(signal, "SIGQUIT", signal.SIGTERM)}


def server_settings(port: int) -> dict[str, str]:
    """What the server is told on its command line, so that an upgrade of Earmark changes it without editing files in the data."""
    return {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # A socket file would be a second door, with a path that is too long in a deep project.
        "unix_socket_directories": "",
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        # The defaults, said aloud: what was answered as committed is on disk.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # A process that froze inside a transaction must not hold its locks for ever. Services set a shorter time for themselves.
        "idle_in_transaction_session_timeout": "30s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m_[%p]_",
        "log_lock_waits": "on",
    }


@dataclass(frozen=True, slots=True)
class Server:
    """The server of one data folder. Holds no process: what runs is read from Postgres' own pid file, so any command may stop it."""

    name: ClassVar[str] = "Postgres"

    folder: Path
    port: int
    ports_file: Path
    on_started: Callable[[str, process.Identity, signal.Signals], None] = lambda server, identity, ending: None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """postgresql://user:password@127.0.0.1:port/earmark. The password is made at the first call and kept, mode 0600."""
        return f"postgresql://{USER}:{kept_password(self.folder)}@{self.address}/{DATABASE}"

    @property
    def log(self) -> Path:
        return self._place() / "postgres.log"

    def running(self) -> process.Identity | None:
        """The server's first process, if it lives."""
        if not self.folder.exists():
            return None
        identity = _named_by(self._cluster() / "postmaster.pid")
        return identity if identity and _runs_as(account_for_postgres(), identity) else None

    def start(self, on_progress: Progress = lambda step: None, timeout_seconds: float = START_SECONDS) -> process.Identity:
        """Run the server on the data that is there, and return when it accepts connections; the database is made the first time.

        Raises an error of `shared.local.errors`.
        """
        require_free(self.name, self.port, self.ports_file)
        self.folder.mkdir(parents=True, exist_ok=True)
        account = account_for_postgres()
        programs = programs_for(make_place(self.folder, account), account)
        if not self._cluster().exists():
            on_progress("making Postgres' data folder")
            self._make_cluster(programs, account)
        on_progress("starting Postgres")
        identity = self._run(programs, account, timeout_seconds)
        self.on_started(self.name, identity, STOP_SIGNALS["fast"])
        return identity

    def stop(self, mode: StopMode = "fast") -> None:
        """End the server: `fast` cuts the sessions and checkpoints, `immediate` leaves that to the next start. Not running is fine."""
        if identity := self.running():
            process.end(self.name, identity, STOP_SECONDS, STOP_SIGNALS[mode])

    def restart(self, mode: StopMode = "fast") -> process.Identity:
        self.stop(mode)
        return self.start()

    def kill(self) -> None:
        """kill -9 to all its processes, as a crash of the machine would."""
        if identity := self.running():
            process.kill(self.name, identity)

    def remove(self) -> None:
        """Remove the data, wherever it lies. The server must not run."""
        forget_place(self.folder)

    def _place(self) -> Path:
        return place_for(self.folder, account_for_postgres())

    def _cluster(self) -> Path:
        return self._place() / "cluster"

    def _make_cluster(self, programs: Path, account: Account | None) -> None:
        """In a folder of another name first: an interrupted initdb leaves no half data folder that looks like a whole one."""
        fresh = self._cluster().with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = fresh.with_name("password.new")
        _write_private(password_file, kept_password(self.folder), account)
        try:
            self._must(account, [programs / "initdb", *_initdb_options(password_file), "-D", fresh])
            self._must(account, [programs / "postgres", "--single", "-D", fresh, "postgres"], f"CREATE DATABASE {DATABASE};\n")
        finally:
            password_file.unlink()
        fresh.replace(self._cluster())

    def _must(self, account: Account | None, command: list[str | Path], text_in: str = "") -> None:
        done = run_as(account, command, folder=self._place(), text_in=text_in)
        if done.returncode != 0:
            raise CommandFailed(command=Path(command[0]).name, code=done.returncode, output=(done.stderr or done.stdout).strip())

    def _run(self, programs: Path, account: Account | None, timeout_seconds: float) -> process.Identity:
        _forget_recycled(self._cluster())
        with process.open_log(self.log):
            give(account, self.log)
        options = " ".join(f"-c {name}={value}" for name, value in server_settings(self.port).items())
        files: list[str | Path] = ["-D", self._cluster(), "-l", self.log]
        command = [programs / "pg_ctl", "start", "-s", "-w", "-t", f"{timeout_seconds:.0f}", *files, "-o", options]
        done = run_as(account, command, folder=self._place())
        identity = self.running()
        if done.returncode != 0 or identity is None:
            self.kill()
            raise self._did_not_start(done.stderr.strip() or f"pg_ctl ended with {done.returncode}")
        return identity

    def _did_not_start(self, reason: str) -> ServerDidNotStart:
        return ServerDidNotStart(server=self.name, reason=reason, log=self.log, tail=process.tail(self.log))


def _initdb_options(password_file: Path) -> list[str | Path]:
    """Scram, not trust: on loopback every user of the machine may knock. The built-in locale sorts alike on all machines."""
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["-U", USER, "--auth=scram-sha-256", f"--pwfile={password_file}", *locale]


def kept_password(folder: Path) -> str:
    """The password of this data folder, made the first time."""
    path = folder / "password"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_private(path, secrets.token_urlsafe(24), None)
    return path.read_text(encoding="ascii")


def _write_private(path: Path, text: str, owner: Account | None) -> None:
    """Readable for its owner alone from the first moment; whole or not at all."""
    fresh = path.with_suffix(".part")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    give(owner, fresh)
    fresh.replace(path)


def _named_by(postmaster_pid: Path) -> process.Identity | None:
    """Postgres' own pid file: the process id in its first line, the time of its start in the third."""
    try:
        lines = postmaster_pid.read_text(encoding="utf-8", errors="replace").splitlines()
        return process.Identity(int(lines[0]), float(lines[2]))
    except (OSError, ValueError, IndexError):
        return None


def _runs_as(account: Account | None, identity: process.Identity) -> bool:
    """Whether the process lives and is the account's: root must not end whatever an unprivileged account writes into its file."""
    found = identity.process()
    return found is not None and (account is None or found.uids().real == account.user_id)


def _forget_recycled(cluster: Path) -> None:
    """Remove a pid file left by a crash whose id another program has by now: Postgres would take that program for a server.

    Only when nothing of the old server is left: its children notice its death within moments, and the file protects the data
    from a second server beside them.
    """
    deadline = time.monotonic() + SECONDS_FOR_ORPHANS
    while works_in(cluster) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid_file = cluster / "postmaster.pid"
    identity = _named_by(pid_file)
    if identity and not identity.is_alive() and psutil.pid_exists(identity.pid) and not works_in(cluster):
        pid_file.unlink()


def works_in(folder: Path) -> list[int]:
    """The processes whose working folder this is: every process of a Postgres works in its data folder."""
    found = []
    for candidate in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if candidate.cwd() == str(folder.resolve()):
                found.append(candidate.pid)
    return found
