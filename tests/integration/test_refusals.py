"""A Postgres or a Kafka that is there and not as it should be: every command says in one sentence what helps."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.console import serve
from tests.support.console import earmark
from tests.support.databases import named

UNMIGRATED = ("verify", "key list", "dead-letters list")


@pytest.mark.parametrize("command", ["migrate", "verify"])
def test_a_wrong_password_is_one_sentence(command: str, postgres_dsn: str, tmp_path: Path) -> None:
    parts = urlsplit(postgres_dsn)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:guessed@{parts.hostname}:{parts.port}"))
    refused = earmark(tmp_path, *command.split(), EARMARK_POSTGRES=wrong)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "Postgres refuses the user or the password of EARMARK_POSTGRES" in refused.stderr
    assert "guessed" not in refused.stderr


@pytest.mark.parametrize("command", ["migrate", "verify"])
def test_a_database_that_is_not_there_is_one_sentence(command: str, postgres_dsn: str, tmp_path: Path) -> None:
    refused = earmark(tmp_path, *command.split(), EARMARK_POSTGRES=named(postgres_dsn, "nowhere"))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert re.search(r'no such database \(database "nowhere" does not exist\): create it, or correct EARMARK_POSTGRES', refused.stderr)


@pytest.mark.parametrize("command", UNMIGRATED)
def test_a_database_without_tables_is_one_sentence(command: str, empty_database: str, tmp_path: Path) -> None:
    refused = earmark(tmp_path, *command.split(), EARMARK_POSTGRES=empty_database)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "run `earmark migrate`" in refused.stderr


@pytest.mark.parametrize("command", UNMIGRATED)
async def test_a_database_that_an_older_version_migrated_is_one_sentence(command: str, database: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE migrations.alembic_version SET version_num = '0001'")
    await connection.close()
    refused = await asyncio.to_thread(earmark, tmp_path, *command.split(), EARMARK_POSTGRES=database)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "the database is at revision 0001" in refused.stderr
    assert "run `earmark migrate`" in refused.stderr


def test_a_service_on_a_database_without_tables_says_what_to_run(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["serve", "orders"])
    monkeypatch.setenv("EARMARK_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("EARMARK_POSTGRES", empty_database)
    monkeypatch.setenv("EARMARK_API_KEY_PEPPER", "0" * 64)
    with pytest.raises(SystemExit) as ended:
        serve.main()
    assert ended.value.code == serve.REFUSED
    assert "Run `earmark migrate`, then start again" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("command", ["migrate", "verify --from-log"])
def test_a_kafka_that_is_away_is_one_line_and_nothing_of_its_client_beside_it(command: str, database: str, tmp_path: Path) -> None:
    environment = {**os.environ, "EARMARK_POSTGRES": database, "EARMARK_KAFKA": "127.0.0.1:1", "EARMARK_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services.console", *command.split()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "Kafka at 127.0.0.1:1 does not answer" in done.stderr
