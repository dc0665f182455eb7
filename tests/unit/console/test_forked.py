"""Services that are forked from a process which has imported them: each with its own environment and log, watched and ended by its id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.console.forked import AVAILABLE, ForkServer, ForkServerEnded
from services.console.serve import REFUSED

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="services are forked on Linux only; elsewhere each is started by itself")
NO_KAFKA = "127.0.0.1:1"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(os.environ)
    yield made
    made.close()


@pytest.fixture
def silent_postgres() -> Iterator[str]:
    """One that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql://earmark:secret@127.0.0.1:{listening.getsockname()[1]}/earmark"


def settings(postgres: str) -> dict[str, str]:
    return {"EARMARK_POSTGRES": postgres, "EARMARK_KAFKA": NO_KAFKA, "EARMARK_API_KEY_PEPPER": "only for this test " * 3}


def test_it_sees_the_environment_that_it_is_given_and_says_what_is_wrong_in_its_own_log(server: ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "orders.log"
    log.write_text("said before\n")
    assert server.start("orders", str(log), settings("mysql://elsewhere")).wait(30) == REFUSED
    assert server.start("kitchen", str(log), {}).wait(30) == REFUSED
    before, *said = log.read_text().splitlines()
    assert before == "said before"
    assert any("orders does not start" in line and "EARMARK_POSTGRES" in line for line in said)
    assert any("kitchen does not start: name a service" in line for line in said)


def test_it_is_waited_for_and_killed_like_any_child(server: ForkServer, tmp_path: Path, silent_postgres: str) -> None:
    service = server.start("orders", str(tmp_path / "log"), settings(silent_postgres))
    assert service.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        service.wait(0.05)
    service.kill()
    assert service.wait(10) == -signal.SIGKILL
    service.send_signal(signal.SIGTERM)  # its id may be another's by now
    assert service.poll() == -signal.SIGKILL


def test_it_goes_on_when_the_process_that_forked_it_ends(tmp_path: Path, silent_postgres: str) -> None:
    server, log = ForkServer(os.environ), tmp_path / "log"
    service = psutil.Process(server.start("orders", str(log), settings(silent_postgres)).pid)
    parent = service.parent()
    assert parent is not None
    await_true(log.exists)
    parent.kill()
    with pytest.raises(ForkServerEnded, match="has ended"):
        server.start("orders", str(log), {})
    server.close()
    try:
        assert service.status() != psutil.STATUS_ZOMBIE
        assert os.getsid(service.pid) == service.pid, "Ctrl-C in a terminal does not reach it"
    finally:
        service.kill()


def await_true(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
