"""Kafka's jars: which ones (the lock file), where they are kept (one cache for all projects), and that they are the right ones.

Maven resolved the list once (`deploy/kafka/refresh_artifacts.py`): a resolver in Python mediates versions differently and chose a
kafka-clients with which the broker could not start. Here nothing is resolved, exactly these files are fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared.local.errors import JarRefused, JarsUnavailable, LockFileUnreadable, WheelMissing

FETCHED_AT_ONCE = 8
SECONDS_PER_REQUEST = 30
WORDS_WIDTH = 160
LOCK_LINE = re.compile(r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+) (?P<sha256>[0-9a-f]{64})")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the class path, by coordinate and content."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def lock_path() -> Path:
    """Where the lock file is: in the checkout, or beside this module where Earmark was installed from a wheel."""
    in_checkout = Path(__file__).parents[2] / "deploy" / "kafka" / "artifacts.lock"
    return in_checkout if in_checkout.is_file() else Path(__file__).with_name("artifacts.lock")


def read_lock(path: Path) -> tuple[Jar, ...]:
    """The jars that `path` lists, in its order. Blank lines and comments are skipped; raises LockFileUnreadable."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise LockFileUnreadable(path=path, reason=error.strerror or error) from error
    jars = tuple(_jar(line, number, path) for number, line in enumerate(lines, 1) if line and not line.startswith("#"))
    if not jars:
        raise LockFileUnreadable(path=path, reason="it names no jar")
    return jars


def _jar(line: str, number: int, path: Path) -> Jar:
    match = LOCK_LINE.fullmatch(line)
    if match is None:
        raise LockFileUnreadable(path=path, reason=f"line {number} is not group:artifact:version sha256")
    return Jar(**match.groupdict())


def kafka_version(jars: Iterable[Jar]) -> str:
    """The version of Kafka that these jars are; raises LockFileUnreadable where the broker itself is missing."""
    for jar in jars:
        if jar.group == "org.apache.kafka" and jar.artifact.startswith("kafka_"):
            return jar.version
    raise LockFileUnreadable(path=lock_path(), reason="it does not name the broker, org.apache.kafka:kafka_…")


def cache_folder(version: str) -> Path:
    """The folder of this user's jars, shared by all projects: `kafka-<version>` under EARMARK_CACHE or the platform's cache folder."""
    chosen = os.environ.get("EARMARK_CACHE")
    return (Path(chosen) if chosen else _platform_cache() / "earmark") / f"kafka-{version}"


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing(jars: Iterable[Jar], folder: Path) -> list[Jar]:
    """Those jars that `folder` lacks or holds with other bytes. All are read at every start: 44 MB, a tenth of a second."""
    return [jar for jar in jars if not _is_whole(jar, folder / jar.file_name)]


def _is_whole(jar: Jar, path: Path) -> bool:
    return path.is_file() and sha256_of(path) == jar.sha256


def ensure_jars(jars: tuple[Jar, ...], folder: Path, on_progress: Progress = lambda step: None) -> list[Path]:
    """The class path: every jar in `folder`, verified; what is missing is fetched, eight at a time.

    Idempotent, and safe beside another process that does the same: a jar appears in `folder` whole and verified or not at all.
    Raises JarsUnavailable, JarRefused, WheelMissing.
    """
    wanted = missing(jars, folder)
    if wanted:
        on_progress(f"fetching {len(wanted)} jars of Kafka {kafka_version(jars)} (43 MiB, once)")
        _fetch_all(wanted, folder)
    return [folder / jar.file_name for jar in jars]


def _fetch_all(jars: list[Jar], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch, ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        fetches = [pool.submit(_fetch, jar, folder, Path(scratch)) for jar in jars]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            # One jar that can not be had decides it: the 43 others need not run into the same time-out first.
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(jar: Jar, folder: Path, scratch: Path) -> None:
    fetched = download(jar, scratch)
    actual = sha256_of(fetched)
    if actual != jar.sha256:
        raise JarRefused(coordinate=jar.coordinate, actual=actual, expected=jar.sha256)
    fetched.replace(folder / jar.file_name)


def download(jar: Jar, scratch: Path) -> Path:
    """The jar as the artifact repository gives it, somewhere under `scratch`; nothing is verified yet. Raises JarsUnavailable."""
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise WheelMissing(package="jgo") from error
    context = MavenContext(repo_cache=scratch, timeout=SECONDS_PER_REQUEST)
    try:
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; a missing artifact is a RuntimeError of jgo's
        raise JarsUnavailable(coordinate=jar.coordinate, reason=_reason(error)) from error


def _reason(error: Exception) -> str:
    """In the words of whoever failed first: those around it repeat addresses and objects at length. Cut between words."""
    first: BaseException = error
    while (cause := first.__cause__ or first.__context__) is not None and isinstance(cause, Exception):
        first = cause
    words = getattr(first, "strerror", None) or str(first) or type(first).__name__
    return textwrap.shorten(str(words), WORDS_WIDTH, placeholder=" …")
