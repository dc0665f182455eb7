"""Ports, pid files and the death-watch: what keeps the private servers from being lost or mistaken."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.local import process
from shared.local.deathwatch import Deathwatch
from shared.local.errors import DiskFull, LocalStackError, PortTaken, ServerDidNotStart
from shared.local.ports import CHOSEN_FROM, choose_ports, is_free, kept_ports, require_free
from shared.local.stack import LocalStack, require_space

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER) as child:
        yield child
        child.kill()


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    assert kept_ports(path) == kept_ports(path)
    assert sorted(json.loads(path.read_text())) == ["kafka", "kafka_controller", "postgres"]


def test_ports_differ_and_lie_outside_the_range_of_outgoing_connections() -> None:
    ports = choose_ports()
    numbers = {ports.kafka, ports.kafka_controller, ports.postgres}
    assert len(numbers) == 3
    assert numbers <= set(CHOSEN_FROM)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kafka": 1}', "half of it {"])
def test_an_unreadable_file_of_ports_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ports.json"
    path.write_text(text)
    assert kept_ports(path) == kept_ports(path)


def test_a_port_that_somebody_else_holds_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port}, where Kafka .* delete .*ports\.json"):
            require_free("Kafka", port, tmp_path / "ports.json")
    assert is_free(port)


def test_a_pid_file_finds_its_process_while_that_lives(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    identity = process.identity_of(sleeper.pid)
    process.remember(tmp_path / "process.json", identity)
    assert process.recall(tmp_path / "process.json") == identity
    process.kill("sleeper", identity)
    assert process.recall(tmp_path / "process.json") is None


def test_a_process_that_got_the_id_of_a_dead_one_is_not_mistaken_for_it(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    recycled = process.Identity(sleeper.pid, process.identity_of(sleeper.pid).created_at - 3600)
    process.remember(tmp_path / "process.json", recycled)
    assert process.recall(tmp_path / "process.json") is None
    process.kill("sleeper", recycled)
    process.end("sleeper", recycled, 1)
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "created_at": 1}', "null"])
def test_a_broken_pid_file_names_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text)
    assert process.recall(tmp_path / "process.json") is None


def test_a_dead_child_that_nobody_has_waited_for_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        identity = process.identity_of(child.pid)
        deadline = time.monotonic() + 10
        while identity.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not identity.is_alive()


def test_a_process_that_does_not_end_when_asked_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        process.end("stubborn", process.identity_of(child.pid), grace_seconds=0.2)
        assert child.wait(5) in (-signal.SIGKILL, 0)


def test_children_are_out_of_reach_of_ctrl_c_in_the_terminal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, process.spawn(SLEEPER, log=log, folder=tmp_path) as child:
        assert os.getpgid(child.pid) != os.getpgid(0)
        child.kill()


def test_only_one_at_a_time_is_alone_in_a_folder_and_nothing_stays_there(tmp_path: Path) -> None:
    with process.sole(tmp_path) as first:
        with process.sole(tmp_path) as second:
            assert (first, second) == (True, False)
        with process.sole(tmp_path) as third:
            assert not third, "the one that was turned away has freed nothing"
    with process.sole(tmp_path) as later:
        assert later
    assert list(tmp_path.iterdir()) == []


def test_a_large_log_is_put_aside_and_a_small_one_continued(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_bytes(b"x" * (process.LOG_BYTES_KEPT + 1))
    process.open_log(log).close()
    assert log.stat().st_size == 0
    assert (tmp_path / "kafka.old.log").stat().st_size == process.LOG_BYTES_KEPT + 1
    log.write_bytes(b"small")
    with process.open_log(log) as file:
        assert file.tell() == 5


def test_watched_servers_end_when_their_parent_is_killed() -> None:
    parent = (
        "import signal, subprocess, sys, time\n"
        "from shared.local import process\n"
        "from shared.local.deathwatch import Deathwatch\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "Deathwatch().watch('child', process.identity_of(child.pid), signal.SIGTERM)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(process.__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=root) as killed:
        assert killed.stdout is not None
        identity = process.identity_of(int(killed.stdout.readline()))
        killed.kill()
    deadline = time.monotonic() + 10
    while identity.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not identity.is_alive()


def test_a_closed_watch_has_ended_what_it_watched(sleeper: subprocess.Popen[bytes]) -> None:
    watch = Deathwatch()
    watch.watch("sleeper", process.identity_of(sleeper.pid), signal.SIGTERM)
    watch.close()
    assert sleeper.wait(5) == -signal.SIGTERM
    watch.close()


def test_too_little_space_is_said_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 499_000_000})())
    with pytest.raises(DiskFull, match="Only 499 MB"):
        require_space(tmp_path)


def test_a_folder_where_nothing_was_started_has_no_status_and_nothing_to_stop(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "absent")
    assert stack.status() == ()
    assert not stack.is_running()
    stack.stop()
    stack.clean()
    assert not (tmp_path / "absent").exists()


def test_every_error_has_a_message_with_a_remedy_and_no_open_placeholder() -> None:
    facts = {name: "X" for error in LocalStackError.__subclasses__() for name in re.findall(r"{(\w+)}", error.__doc__ or "")}
    for error in LocalStackError.__subclasses__():
        message = str(error(**facts))
        assert "{" not in message
        assert message.startswith(message[0].upper())
        assert len(message) > 40
    assert "\n    last line" in str(ServerDidNotStart(server="K", reason="r", log="l", tail="\n    last line"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_what_was_started_is_known(number: signal.Signals) -> None:
    known: list[str] = []

    def start() -> None:
        with process.undisturbed():
            signal.raise_signal(number)
            known.append("the child")

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert known == ["the child"]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_child_that_is_started_undisturbed_can_be_interrupted() -> None:
    with process.undisturbed():
        child = subprocess.Popen(SLEEPER)
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM


def test_only_the_main_thread_holds_interrupts_back() -> None:
    def handlers() -> list[object]:
        with process.undisturbed():
            return [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(handlers).result() == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]


async def _answer() -> int:
    return 42


def test_a_coroutine_is_run_to_its_end() -> None:
    assert process.run(_answer()) == 42


def test_ctrl_c_while_the_event_loop_is_made_leaves_no_half_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []

    def interrupted() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        made.append(asyncio.SelectorEventLoop())
        return made[0]

    monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(_answer())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [loop.is_closed() for loop in made] == [True]
