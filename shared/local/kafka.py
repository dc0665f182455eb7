"""A private single-node Apache Kafka on loopback, as a child process. Knows jars, Java and one data folder; no topic of ours.

The broker acknowledges what is in the system's page cache, as every Kafka does: kill -9 loses nothing, a power cut may. A
production cluster covers that with replicas on other machines; this one is for one machine.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from shared.local import artifacts, process
from shared.local.artifacts import Progress
from shared.local.errors import ServerDidNotStart
from shared.local.java import find_java
from shared.local.kafka_settings import LOGGING, broker_settings, format_digest, identity_of_storage, properties
from shared.local.ports import Ports, require_free

READY = b"Kafka Server started"
HEAP = "-Xmx512m"
UNPACKED_HERE = "-Dorg.xerial.snappy.tempdir=."
"""Where the broker unpacks its native library for compressed records: in its own folder, for from some machines' /tmp nothing is run."""
BRIEFLY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a broker that lives a minute: compiled quickly rather than well, its start takes 3.1 s of CPU and not 4.9 s."""
START_SECONDS = 90.0
FORMAT_SECONDS = 60
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker of one data folder. Holds no process: what runs is read from the pid file, so any command may stop it."""

    name: ClassVar[str] = "Kafka"

    folder: Path
    ports: Ports
    ports_file: Path
    on_started: Callable[[str, process.Identity, signal.Signals], None] = lambda server, identity, ending: None
    brief: bool = False
    reached_at: int | None = None
    """The port of a proxy in front of it, if clients are to go through one."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.reached_at or self.ports.kafka}"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "process.json"

    def running(self) -> process.Identity | None:
        """The broker's process, if it lives."""
        return process.recall(self._pid_file)

    def start(self, on_progress: Progress = lambda step: None, timeout_seconds: float = START_SECONDS) -> process.Identity:
        """Run the broker on the data that is there, and return when it serves.

        What is missing is made first: jars, cluster id, storage. Raises an error of `shared.local.errors`; the process is gone then.
        """
        require_free(self.name, self.ports.kafka, self.ports_file)
        require_free(self.name, self.ports.kafka_controller, self.ports_file)
        self.folder.mkdir(parents=True, exist_ok=True)
        jars = class_path(self.folder, on_progress)
        java = java_command(find_java(), jars, BRIEFLY if self.brief else ())
        self._write_settings()
        self._format_once(java, jars[0].parent, on_progress)
        on_progress("starting Kafka")
        identity = self._run(java, timeout_seconds)
        self.on_started(self.name, identity, signal.SIGTERM)
        return identity

    def stop(self) -> None:
        """End the broker in order; killed when that takes longer than 15 seconds. Not running is fine."""
        if identity := self.running():
            process.end(self.name, identity, STOP_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def restart(self) -> process.Identity:
        self.stop()
        return self.start()

    def kill(self) -> None:
        """kill -9, as a crash would."""
        if identity := self.running():
            process.kill(self.name, identity)
        self._pid_file.unlink(missing_ok=True)

    def _write_settings(self) -> None:
        (self.folder / "server.properties").write_text(properties(broker_settings(self.ports, self.reached_at)), encoding="ascii")
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="ascii")

    def _format_once(self, java: list[str], cache: Path, on_progress: Progress) -> None:
        """Format the storage unless a format has ended here before; what an interrupted one left is thrown away. The tool is a Java
        program that runs for two seconds: what it made once is kept beside the jars, and the next storage is a copy under ids of its own.
        """
        done, made = self.folder / "cluster.id", self.folder / "log"
        if done.exists():
            return
        on_progress("formatting Kafka's storage")
        shutil.rmtree(made, ignore_errors=True)
        cluster_id, kept = new_uuid(), cache / f"formatted-{format_digest()}"
        if kept.exists():
            shutil.copytree(kept, made)
            (made / "meta.properties").write_text(properties(identity_of_storage(cluster_id, new_uuid())), encoding="ascii")
        else:
            self._run_format(java, cluster_id)
            _keep(made, kept)
        done.write_text(cluster_id, encoding="ascii")

    def _run_format(self, java: list[str], cluster_id: str) -> None:
        tool = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", "server.properties"]
        with process.open_log(self.log) as log:
            formatted = subprocess.run(
                tool, cwd=self.folder, stdout=log, stderr=log, timeout=FORMAT_SECONDS, check=False, start_new_session=True
            )
        if formatted.returncode != 0:
            raise self._did_not_start(f"formatting its storage ended with {formatted.returncode}")

    def _run(self, java: list[str], timeout_seconds: float) -> process.Identity:
        with process.open_log(self.log) as log:
            log_start = log.tell()
            child = process.spawn([*java, "kafka.Kafka", "server.properties"], log=log, folder=self.folder)
        identity = process.identity_of(child.pid)
        process.remember(self._pid_file, identity)
        try:
            self._await_ready(child, log_start, timeout_seconds)
        except BaseException:
            self.kill()
            raise
        return identity

    def _await_ready(self, child: subprocess.Popen[bytes], log_start: int, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._says_ready(log_start):
            if child.poll() is not None:
                raise self._did_not_start(f"it ended with {child.returncode}")
            if time.monotonic() > deadline:
                raise self._did_not_start(f"it did not serve within {timeout_seconds:g} seconds")
            time.sleep(0.05)

    def _says_ready(self, log_start: int) -> bool:
        with self.log.open("rb") as log:
            log.seek(log_start)
            return READY in log.read()

    def _did_not_start(self, reason: str) -> ServerDidNotStart:
        return ServerDidNotStart(server=self.name, reason=reason, log=self.log, tail=process.tail(self.log))


def class_path(folder: Path, on_progress: Progress) -> list[Path]:
    """The broker's jars, fetched where needed: in the user's cache, or beside the data where no such cache can be written."""
    jars = artifacts.read_lock(artifacts.lock_path())
    cache = artifacts.cache_folder(artifacts.kafka_version(jars))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        usable = os.access(cache, os.W_OK) or not artifacts.missing(jars, cache)
    except OSError:
        usable = False
    return artifacts.ensure_jars(jars, cache if usable else folder / "jars", on_progress)


def java_command(java: Path, jars: list[Path], options: Sequence[str] = ()) -> list[str]:
    """The command up to the main class. One that is run in the data folder, where the logging settings lie."""
    names = os.pathsep.join(str(jar.resolve()) for jar in jars)
    return [str(java), HEAP, *options, UNPACKED_HERE, "-Dlog4j2.configurationFile=log4j2.properties", "-cp", names]


def _keep(made: Path, kept: Path) -> None:
    """A copy for the next ones, all of it or none; where no cache can be written there is none."""
    with suppress(OSError), tempfile.TemporaryDirectory(dir=kept.parent, prefix=".formatting-") as scratch:
        shutil.copytree(made, Path(scratch) / "log")
        os.rename(Path(scratch) / "log", kept)


def new_uuid() -> str:
    """A random Kafka uuid: 16 bytes as URL-safe base64. One that begins with a dash would be read as an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text
