"""A stack that stays up, and what people do with it: the README's requests, keys and dead letters on the command line."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from services.console.processes import SERVICES, Stack
from shared.local import process
from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas.topics import ORDER_INTAKE, ORDERS
from shared.schemas.wire import Record
from shared.settings import settings
from tests.support import readme
from tests.support.console import Done, earmark

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Installation:
    """A running stack. `key` is the API key that `earmark up` printed once."""

    folder: Path
    addresses: dict[str, str]
    key: str

    def earmark(self, *arguments: str) -> Done:
        """Run a command on it."""
        return earmark(self.folder, *arguments)

    def json(self, *arguments: str) -> Any:
        """What a command prints with `--json`."""
        done = self.earmark(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def json_of_status(self) -> dict[str, int | None]:
        """The process of everything that belongs to it; None where it does not run."""
        found: dict[str, int | None] = json.loads(self.earmark("status", "--json").stdout)
        return found

    def status_with(self, key: str, method: str = "GET") -> int:
        """How orders answers a request with this key."""
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "one"}
        body = {"number": "1", "lines": [{"sku": "A", "units": 1}]} if method == "POST" else None
        return httpx.request(method, f"{self.addresses['orders']}/orders", headers=headers, json=body).status_code


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`earmark up` in an empty folder; everything is removed at the end."""
    folder = tmp_path_factory.mktemp("installation")
    try:
        up = earmark(folder, "up", "--json")
        assert up.returncode == 0, up.stderr
        facts = json.loads(up.stdout)
        yield Installation(folder, facts, facts["api_key"])
    finally:
        earmark(folder, "clean", "--yes")


def test_the_first_key_is_printed_once_and_works(installation: Installation) -> None:
    assert installation.status_with(installation.key) == 200
    assert "api_key" not in installation.json("up")


def test_the_requests_that_the_readme_shows_get_the_decisions_that_it_tells(installation: Installation) -> None:
    said = [send(installation, request) for request in readme.requests()]
    assert [answer.is_success for answer in said] == [True] * len(said), [answer.text for answer in said]
    *_, receipt, first, second = (answer.json() for answer in said)
    assert (receipt["status"], first["allocation_status"], second["allocation_status"]) == ("posted", "allocated", "partially_allocated")
    (line,) = second["lines"]
    assert (line["reserved_units"], line["waiting_units"]) == (1, 3)
    assert line["shortage"]["remedies"]


def send(installation: Installation, request: readme.Request) -> httpx.Response:
    """As it stands there, to the ports of this installation."""
    headers = {name: value.replace("$EARMARK_KEY", installation.key) for name, value in request.headers.items()}
    assert headers["Idempotency-Key"].startswith("$("), "the shell makes a new one each time"
    headers["Idempotency-Key"] = uuid4().hex
    url = httpx.URL(request.url)
    (service,) = (name for name in SERVICES if getattr(settings(), f"{name}_port") == url.port)
    return httpx.post(installation.addresses[service] + url.path, headers=headers, content=request.body.encode(), timeout=20)


@pytest.mark.parametrize("service", ["orders", "inventory", "allocator"])
def test_every_service_shows_its_api(installation: Installation, service: str) -> None:
    assert "openapi.json" in httpx.get(f"{installation.addresses[service]}/docs").text


def test_the_books_of_an_installation_hold(installation: Installation) -> None:
    proved = installation.json("verify", "--from-log")
    assert (proved["ok"], len(proved["log"])) == (True, 8)
    shown = installation.earmark("verify", "--from-log").stderr
    assert "no stock record is oversold" in shown
    assert "every movement of the ledger was told" in shown
    assert "records of earmark.orders, all that were ever written" in shown


def test_a_key_is_made_listed_and_revoked_and_its_secret_is_never_shown_again(installation: Installation) -> None:
    made = installation.json("key", "create", "bolt", "--name", "the web shop")
    assert installation.status_with(made["api_key"]) == 200
    (listed,) = installation.json("key", "list", "bolt")["keys"]
    assert (listed["id"], listed["name"], listed["state"]) == (made["id"], "the web shop", "usable")
    assert made["api_key"] not in installation.earmark("key", "list").stderr
    assert installation.earmark("key", "revoke", made["id"]).returncode == 0
    assert installation.json("key", "list", "bolt")["keys"][0]["state"] == "revoked"
    again = installation.earmark("key", "revoke", made["id"])
    assert (again.returncode, "earmark key list" in again.stderr) == (1, True)


def test_a_key_that_only_reads_changes_nothing(installation: Installation) -> None:
    made = installation.json("key", "create", "bolt", "--read-only")
    assert installation.status_with(made["api_key"]) == 200
    assert installation.status_with(made["api_key"], "POST") == 403


def test_a_merchant_without_a_possible_name_is_one_sentence(installation: Installation) -> None:
    refused = installation.earmark("key", "create", "no such name")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "1 to 64 letters" in refused.stderr


def sent(installation: Installation, topic: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> str:
    """Write a record that nobody can take, wait until it is a dead letter, and return its name."""

    async def write() -> None:
        writer = KafkaLogWriter(installation.addresses["kafka"])
        await writer.publish([OutboxRow(0, topic, 0, 0, 0, (Record(b"key", value, headers),))])
        await writer.close()

    asyncio.run(write())
    for _ in range(40):
        letters = installation.json("dead-letters", "list")["letters"]
        names = [letter["name"] for letter in letters if letter["name"].startswith(f"{topic}/")]
        if names:
            return str(names[-1])
    raise AssertionError(f"the record on {topic} is no dead letter")


@pytest.mark.parametrize("topic", [ORDER_INTAKE.name, ORDERS.name])
def test_a_dead_letter_is_listed_shown_replayed_in_vain_and_discarded(installation: Installation, topic: str) -> None:
    name = sent(installation, topic, b"not json \x1b[31m", ((("ce_type"), b"earmark.order_changed.v1"),))
    shown = installation.json("dead-letters", "show", name)
    assert (shown["name"], shown["status"], shown["key"]) == (name, "waiting", "key")
    assert "not json" in shown["value"]
    assert "\x1b" not in installation.earmark("dead-letters", "show", name).stdout
    assert name in installation.earmark("dead-letters", "list").stderr

    replayed = installation.earmark("dead-letters", "replay", name)
    if topic == ORDER_INTAKE.name:
        assert replayed.returncode == 1, "orders takes it in at once or says why not"
        assert replayed.stderr.count("\n") == 1
    else:
        assert replayed.returncode == 0, replayed.stderr
        assert installation.json("dead-letters", "show", name)["status"] == "replayed"
        name = sent(installation, topic, b"not json either")

    assert installation.json("dead-letters", "discard", name)["status"] == "discarded"
    assert name not in [letter["name"] for letter in installation.json("dead-letters", "list")["letters"]]
    again = installation.earmark("dead-letters", "discard", name)
    assert (again.returncode, "discarded already" in again.stderr) == (1, True)


@pytest.mark.parametrize("name", ["earmark.order-intake/0/999999", "nonsense", "a/b/c"])
def test_a_dead_letter_that_is_not_there_is_one_sentence(installation: Installation, name: str) -> None:
    refused = installation.earmark("dead-letters", "show", name)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)


def test_an_interrupted_up_leaves_running_what_ran_before(installation: Installation) -> None:
    stack = Stack(installation.folder / "data")
    gone = stack.running("inventory")
    assert gone is not None
    process.end("inventory", gone, 20)
    before = installation.json_of_status()
    with suppress(KeyboardInterrupt), stack.whole_or_nothing():
        stack.servers.start()
        stack.start("inventory")
        assert stack.running("inventory") is not None
        raise KeyboardInterrupt
    assert installation.json_of_status() == before
    assert [name for name, pid in before.items() if pid is None] == ["inventory"]
    installation.addresses.update(installation.json("up"))


def test_it_is_stopped_and_started_again_with_the_same_data(installation: Installation) -> None:
    assert installation.status_with(installation.key, "POST") in {200, 202}
    assert installation.earmark("status").returncode == 0
    assert installation.earmark("down").returncode == 0
    assert set(installation.json_of_status()) == {*SERVICES, "Kafka", "Postgres"}
    assert not any(installation.json_of_status().values())
    for command in (("verify",), ("key", "list"), ("key", "create", "bolt"), ("dead-letters", "list")):
        refused = installation.earmark(*command)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert "is down: `earmark up` starts it again" in refused.stderr

    port = int(installation.addresses["inventory"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        refused = installation.earmark("up")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert f"port {port}, where inventory of this folder listens, is taken" in refused.stderr
    assert "inventory_port into" in refused.stderr
    assert not any(installation.json_of_status().values()), "it was said before anything was started"

    installation.addresses.update(installation.json("up"))
    headers = {"Authorization": f"Bearer {installation.key}"}
    assert httpx.get(f"{installation.addresses['orders']}/orders/1", headers=headers).json()["number"] == "1"


def test_without_an_installation_a_command_says_what_to_do(tmp_path: Path) -> None:
    for command in (("key", "list"), ("dead-letters", "list")):
        refused = earmark(tmp_path, *command)
        assert (refused.returncode, "earmark up" in refused.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


async def execute(dsn: str, statement: str) -> None:
    """One statement on a database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_books_that_do_not_hold_are_exit_status_1(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_POSTGRES", database)
    assert earmark(tmp_path, "verify").returncode == 0
    asyncio.run(execute(database, "INSERT INTO allocator.state_partition (side, number, batch_no) VALUES ('stock', 0, 7)"))
    spoiled = earmark(tmp_path, "verify", "--json")
    assert (spoiled.returncode, json.loads(spoiled.stdout)["ok"]) == (1, False)
