"""A demo that can not begin: one sentence, and nothing is left behind."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from services.console.demo import looks
from shared.local import process
from tests.support.console import earmark


def test_a_second_demo_in_the_same_folder_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    first = tmp_path / "data" / "demo"
    first.mkdir(parents=True)
    (first / "of the first").touch()
    with process.sole(first.parent):
        second = earmark(tmp_path, "demo", "--json")
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (1, "", 1)
    assert f"another demo runs in {first}: wait for its end, or give this one a folder of its own" in second.stderr
    assert (first / "of the first").exists()


def test_a_full_disk_is_one_sentence_and_promises_no_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 499_000_000})())
    done = earmark(tmp_path, "demo")
    assert done.returncode == 1
    assert "Only 499 MB are free" in done.stderr
    assert "nothing is left running, its data is removed" in done.stdout
    assert "stay in" not in done.stdout
    assert not (tmp_path / "data" / "demo").exists()


def test_what_stops_a_kept_demo_is_said_exactly_and_spares_the_data_beside_it() -> None:
    for folder, command in ((".earmark/demo", "earmark clean --data .earmark/demo"), ("a b/demo", "earmark clean --data 'a b/demo'")):
        console = Console(file=io.StringIO(), width=120)
        with console.capture() as shown:
            console.print(looks.kept({}, Path(folder)))
        assert f"`{command}` stops it and removes its data" in shown.get()
