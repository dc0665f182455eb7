"""One Kafka and one Postgres for a whole test session, however many xdist workers it has.

The first worker starts them, the others read where they are; the first one waits at its end until the last has finished, because
private servers do not outlive the process that started them.
"""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import Servers, real_servers

POLL_SECONDS = 0.1


@contextmanager
def session_servers(folder: Path) -> Iterator[Servers]:
    """The servers of this session; `folder` is the same for all its workers."""
    users = folder / "users"
    users.mkdir(parents=True, exist_ok=True)
    with _exclusively(folder):
        notice = folder / "servers.json"
        started = None if notice.exists() else real_servers(folder / "data")
        if started is not None:
            notice.write_text(json.dumps([started.kafka_bootstrap, started.postgres_dsn]))
        kafka, postgres = json.loads(notice.read_text())
        me = users / f"{time.monotonic_ns()}"
        me.touch()
    try:
        yield started or Servers(kafka, postgres, None, "those of another worker of this session")
    finally:
        me.unlink()
        if started is not None:
            _stop(started, folder)


def _stop(started: Servers, folder: Path) -> None:
    while any((folder / "users").iterdir()):
        time.sleep(POLL_SECONDS)
    with _exclusively(folder):
        (folder / "servers.json").unlink()
        started.stop()


@contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
