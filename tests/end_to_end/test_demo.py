"""`earmark demo` from an empty folder to the verdict, as a stranger runs it, and what is left when it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import psutil
import pytest

from shared.local.stack import LocalStack

pytestmark = pytest.mark.integration
EARMARK = [sys.executable, "-m", "services.console"]
ROOT = Path(__file__).parents[2]
SECONDS = 300


def earmark(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command, in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EARMARK_DATA": str(folder / "data"), "COLUMNS": "100"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*EARMARK, *arguments],
        cwd=folder,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        process_group=0,  # so that a test can do what Ctrl-C in a terminal does: signal the command and all its children
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 - this process has no other threads yet
    )


def _hear_interrupts() -> None:
    """A shell starts what it puts in the background deaf to Ctrl-C, and deafness is inherited: the tests may run so, their children not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that work in the folder, or have it among their settings."""
    found = []
    for process in psutil.process_iter():
        try:
            command, elsewhere = process.cmdline(), [process.cwd(), process.environ().get("EARMARK_DATA", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in one for one in (*command, *elsewhere)):
            found.append(" ".join(command))
    return found


def await_none_running(folder: Path, seconds: float = 20) -> Sequence[str]:
    """What still runs after that time; empty as soon as nothing does."""
    deadline = time.monotonic() + seconds
    while (left := left_running(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.mark.accept("000-25", "002-25", "002-09")
def test_the_demo_holds_everything_that_it_promises_and_leaves_nothing(tmp_path: Path) -> None:
    with earmark(tmp_path, "demo", "--count", "60", "--json") as demo:
        out, told = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 0, told
    facts = json.loads(out)
    assert (facts["held"], facts["complaints"]) == (True, [])
    assert facts["verify"]["ok"]
    assert facts["verify"]["checks"]
    summary = facts["summary"]
    assert summary["orders"] + summary["canceled"] == 60
    assert summary["statuses"]["released"] == summary["canceled"]
    assert sum(summary["statuses"].values()) == summary["orders"]
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p99_ms"] <= summary["latency_max_ms"]
    assert [(story["name"], story["skipped"]) for story in facts["stories"]] == [("restock", ""), ("adjustment", ""), ("cancel", "")]
    assert await_none_running(tmp_path) == []
    assert not (tmp_path / "data" / "demo").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whenever_it_is_ended_nothing_is_left_running(tmp_path: Path, ending: signal.Signals) -> None:
    with earmark(tmp_path, "demo", "--count", "60") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "ready" in line:
                break
        assert left_running(tmp_path), "the services run now"
        demo.send_signal(ending)
        demo.communicate(timeout=SECONDS)
    assert demo.returncode == (-ending if ending is signal.SIGKILL else 130)
    assert await_none_running(tmp_path) == []
    with earmark(tmp_path, "clean", "--yes") as clean:
        clean.communicate(timeout=SECONDS)
    assert not (tmp_path / "data" / "demo").exists()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all interruptions: each begins with what the one before left."""
    folder = tmp_path_factory.mktemp("interrupted")
    yield folder
    with earmark(folder, "clean", "--yes") as clean:
        clean.communicate(timeout=SECONDS)


@pytest.mark.parametrize("moment", ["starting Kafka", "preparing tables", "starting allocator"])
def test_up_leaves_nothing_running_whenever_it_is_interrupted(interrupted: Path, moment: str) -> None:
    with earmark(interrupted, "up") as up:
        assert up.stderr is not None
        before = _read_to(up.stderr, moment)
        os.killpg(up.pid, signal.SIGINT)
        out, told = up.communicate(timeout=SECONDS)
    assert moment in before
    assert (up.returncode, out) == (130, "")
    assert "what this command had started is stopped; the data stays" in told
    assert "Interrupted." in told
    assert "Traceback" not in told
    assert left_running(interrupted) == []
    assert not any(server.pid for server in LocalStack(interrupted / "data").status())


def _read_to(lines: IO[str], words: str) -> str:
    """The first line with these words, or what there was instead."""
    read = ""
    for line in lines:
        read += line
        if words in line:
            break
    return read


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with earmark(tmp_path, "demo", "--json") as demo:
        out, told = demo.communicate(timeout=SECONDS)
    assert (demo.returncode, out, told.count("\n")) == (1, "", 1)
    assert "--data" in told


def test_a_bad_file_is_one_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text("a,b\n1,2\n")
    with earmark(tmp_path, "demo", "--orders", "lines.csv") as demo:
        out, told = demo.communicate(timeout=SECONDS)
    assert (demo.returncode, out) == (1, "")
    assert told.count("\n") == 1
    assert "lines.csv: no column InvoiceNo, StockCode, Quantity" in told
    assert not (tmp_path / "data").exists()
