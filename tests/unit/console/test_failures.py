"""What an operator is told when nothing can be done: one sentence with the remedy, never a traceback. Refusals of a Postgres that is there
are in `tests/integration/test_refusals.py`."""

import errno
import logging
import re
from pathlib import Path

import asyncpg
import pytest
from aiokafka.errors import NodeNotReadyError
from sqlalchemy.exc import ProgrammingError

from services.console import serve
from services.console.failures import sentence
from tests.support.console import earmark

NOBODY = "postgresql://earmark:swordfish@127.0.0.1:1/earmark"
AWAY = r"Postgres does not answer \(.*refused.*\): start the server, or correct EARMARK_POSTGRES"
NO_ADDRESS = r"EARMARK_POSTGRES is not of the form postgresql://user:password@host:port/database: correct it"


@pytest.mark.parametrize("command", ["migrate", "verify", "key list", "key create acme", "dead-letters list"])
@pytest.mark.parametrize(
    ("postgres", "told"),
    [
        (NOBODY, r"Postgres does not answer \(.*127\.0\.0\.1.*\): start the server, or correct EARMARK_POSTGRES"),
        ("garbage", NO_ADDRESS),
        ("mysql://db/earmark", NO_ADDRESS),
        ("postgresql://db:port/earmark", NO_ADDRESS),
        ("postgresql://earmark:[@db/earmark", NO_ADDRESS),
        ("postgresql://db:99999/earmark", NO_ADDRESS),
        ("postgresql://127.0.0.1:1/earmark?sslmode=often", "EARMARK_POSTGRES is refused .*sslmode.*: give postgresql://"),
        ("", "EARMARK_POSTGRES|earmark up"),
    ],
)
def test_a_command_whose_database_is_not_to_be_had_is_one_sentence(command: str, postgres: str, told: str, tmp_path: Path) -> None:
    refused = earmark(tmp_path, *command.split(), EARMARK_POSTGRES=postgres, EARMARK_KAFKA="127.0.0.1:1")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert_told(told, refused.stderr)


@pytest.mark.parametrize(
    ("arguments", "kafka", "postgres", "told"),
    [
        ([], "k:9092", NOBODY, "nothing does not start: name a service, orders, inventory, allocator, or one more .*, such as allocator-2"),
        (["foo"], "k:9092", NOBODY, "foo does not start: name a service"),
        (["orders", "inventory"], "k:9092", NOBODY, "name a service"),
        (["orders"], "k:9092", NOBODY, AWAY),
        (["orders"], "", NOBODY, "orders does not start: EARMARK_KAFKA is not set: give host:port"),
        (["allocator-2"], "k:9092", "garbage", NO_ADDRESS),
        (["inventory"], "k:9092", "", "inventory does not start: EARMARK_POSTGRES is not set: give postgresql://"),
    ],
)
def test_a_service_that_can_not_start_says_so_in_its_log_in_one_line(
    arguments: list[str], kafka: str, postgres: str, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["serve", *arguments])
    monkeypatch.setenv("EARMARK_KAFKA", kafka)
    monkeypatch.setenv("EARMARK_POSTGRES", postgres)
    monkeypatch.setenv("EARMARK_API_KEY_PEPPER", "0" * 64)
    with caplog.at_level(logging.INFO), pytest.raises(SystemExit) as ended:
        serve.main()
    assert ended.value.code == serve.REFUSED
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert_told(told, line)


def undefined_table() -> Exception:
    """As SQLAlchemy has it from asyncpg: an error of the driver's kind, made from the driver's."""
    error = Exception("<class 'UndefinedTableError'>")
    error.__cause__ = asyncpg.UndefinedTableError("relation x does not exist")
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), r"Permission denied \(/data\): make room or give access there"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 5432)"), "Postgres does not answer"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "Postgres does not answer"),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "statement timeout.*when it is less busy"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), "deadlock detected.*run this again"),
        (asyncpg.DiskFullError("could not extend file"), "no room left on its disk.*could not extend file"),
        (asyncpg.TooManyConnectionsError("too many clients already"), "can not serve one more now.*too many clients"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "Postgres does not answer .*starting up"),
        (asyncpg.InsufficientPrivilegeError("permission denied for schema x"), "may not do this .*permission denied.*own the database"),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute CREATE TABLE in a read-only transaction"), "read-only.*name the primary"),
        (ProgrammingError("SELECT secret", {}, undefined_table()), "relation x does not exist.*run `earmark migrate`"),
        (NodeNotReadyError("node 1"), "Kafka does not serve this .*node 1"),
        (TimeoutError(), r"Postgres does not answer \(no answer in time\)"),
    ],
)
def test_what_the_system_or_a_server_refuses_is_told_with_what_helps(error: Exception, told: str) -> None:
    assert_told(told, str(sentence(error)))
    assert "SELECT" not in str(sentence(error))


@pytest.mark.parametrize("fault", [ValueError("x"), AssertionError("y"), KeyError("z")])
def test_a_fault_of_ours_keeps_its_traceback(fault: Exception) -> None:
    assert sentence(fault) is None


def assert_told(pattern: str, text: str) -> None:
    """The words are there, and the password is not."""
    assert re.search(pattern, text), text
    assert "swordfish" not in text
