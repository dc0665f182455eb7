"""Commands that need no server: what they print, at the widths that people have."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from services.console.key_commands import table
from services.console.keys import Known
from services.console.processes import SERVICES, Stack
from shared.partitions.partition import CODE_VERSION
from tests.support.console import earmark

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
KEYS = [
    Known("0123456789abcdef", "acme", "made by earmark up", ("read", "write"), NOW, None, None, NOW),
    Known("fedcba9876543210", "a-merchant-with-a-long-name", "[the] web shop", ("read",), NOW, None, NOW, None),
]


@pytest.mark.parametrize("width", [80, 120])
def test_a_list_of_keys_shows_everything_of_them_at_every_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(table(KEYS))
    shown = captured.get()
    for whole in ("0123456789abcdef", "fedcba9876543210", "name", "2026-11-21", "usable", "revoked", "never", "[the]"):
        assert whole in shown, f"{whole} can not be read or copied"
    assert "…" not in shown


def test_the_version_is_told() -> None:
    done = earmark(Path(), "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"earmark {CODE_VERSION}\n", "")


def test_nothing_is_removed_where_nobody_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "data" / "kafka").mkdir(parents=True)
    done = earmark(tmp_path, "clean")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "give --yes (`make clean ARGS=--yes`)" in done.stderr
    assert (tmp_path / "data" / "kafka").exists()


def test_the_status_before_the_first_start_lists_all_that_will_run(tmp_path: Path) -> None:
    done = earmark(tmp_path, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, dict.fromkeys((*SERVICES, "Kafka", "Postgres")))
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


@pytest.mark.parametrize(
    ("named", "private"),
    [
        ({}, ("Kafka", "Postgres")),
        ({"EARMARK_KAFKA": "k:9092"}, ("Postgres",)),
        ({"EARMARK_POSTGRES": "postgresql://db/earmark"}, ("Kafka",)),
        ({"EARMARK_KAFKA": "k:9092", "EARMARK_POSTGRES": "postgresql://db/earmark"}, ()),
    ],
)
def test_a_server_that_is_named_is_used_and_only_the_other_is_private(
    named: dict[str, str], private: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EARMARK_KAFKA", "EARMARK_POSTGRES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    stack = Stack(tmp_path)
    assert stack.private == private
    assert stack.settings().bootstrap == named.get("EARMARK_KAFKA", stack.servers.kafka_bootstrap)
    assert stack.settings().dsn == named.get("EARMARK_POSTGRES", stack.servers.postgres_dsn)
    assert [server.name for server in stack.servers.status()] == list(private)
