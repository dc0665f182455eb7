"""What a former release left behind, its tables and its topics, is opened, migrated and finished by today's code."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from services.allocator.core.policy import Timing
from services.console.settled import prove as everything_proved
from services.console.verify_log import verify_log
from shared.database import hot_connection
from shared.kafka import describe_world
from shared.migrations import migrate
from shared.settings import Settings
from shared.world import prepare
from tests.old_data.recording import Recording, put_back_rows, put_back_topics, read, recordings
from tests.old_data.scenes import ENDS, PEPPER, RESTOCK, SLEEPERS, Caller
from tests.support import topics
from tests.support.allocator import allocator, settings_for
from tests.support.careful_reader import careful_reader
from tests.support.children import children
from tests.support.migrations import migrations_until
from tests.support.settling import prove, until_settled
from tests.support.shop import shop

pytestmark = pytest.mark.integration

RELEASES = recordings()
FOR_EVER_DAYS = 36_500
"""Recordings grow older than what ended is kept: their ends are looked at here."""
SHORT_PAUSE = timedelta(seconds=0.2)
"""Every attempt that was under way then has outlived its deadline; nobody runs beside it, to whom a long pause would give room."""


@pytest.fixture(params=RELEASES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return read(RELEASES[request.param])


@pytest.fixture
async def restored(recording: Recording, kafka_bootstrap: str, empty_database: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """Its topics and tables as they were, restored as an operator would who has copies of both. Tables are made by today's files of its
    migrations: these were not written anew since."""
    await topics.remove(kafka_bootstrap)
    await put_back_topics(recording, kafka_bootstrap)
    assert await migrate(empty_database, scripts=migrations_until(recording.revision, tmp_path)) == recording.revision
    await put_back_rows(recording, empty_database)
    await _same_cluster(kafka_bootstrap, empty_database)
    more = {"api_key_pepper": SecretStr(PEPPER), "keep_days": FOR_EVER_DAYS}
    yield settings_for(kafka_bootstrap, empty_database).model_copy(update=more)
    await topics.remove(kafka_bootstrap)  # the next test wants topics that do not keep their records for ever


async def _same_cluster(bootstrap: str, dsn: str) -> None:
    """A cluster that is restored from its disks has the id that it had; this one can not be given it."""
    identity = (await describe_world(bootstrap))["cluster id"]
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE platform.world SET value = $1 WHERE name = 'cluster id'", identity)
    await connection.close()


async def test_what_a_former_release_left_behind_is_finished_by_todays_code(
    recording: Recording, restored: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Timing, "pause_after", lambda timing, expiries: SHORT_PAUSE)
    await prepare(restored)
    with children(restored, tmp_path / "logs", keep_days=str(FOR_EVER_DAYS)) as started:
        services = [started.start(kind) for kind in ("orders", "inventory")]
        orders, inventory = [await asyncio.to_thread(child.await_ready) for child in services]
        async with (
            allocator(restored),
            careful_reader(restored.bootstrap) as reader,
            shop(orders, recording.api_key) as seller,
            shop(inventory, recording.api_key) as keeper,
        ):
            caller = Caller(seller, keeper, "today")
            await until_settled(restored.dsn, reader)
            await caller.until(dict.fromkeys(("waiting", "all-or-nothing"), "could_not_allocate"))
            await caller.until(dict.fromkeys(SLEEPERS, "allocated"))
            await caller.receive(RESTOCK)
            await caller.order("new", {"CUP": 1, "LID": 1}, fill="all_or_nothing")
            await caller.until({**ENDS, "new": "allocated"})
            await until_settled(restored.dsn, reader)
            await prove(restored.dsn, reader)
            report, under_way = await everything_proved(restored)
            assert (report.ok, under_way) == (True, []), [check for check in report.checks if check.problems]
            of_log = (await verify_log(restored)).report
            assert of_log.ok, [check for check in of_log.checks if check.problems]
    assert await _history_of(restored, "edited") == [row["happening"] for row in _entries(recording, "edited")]


async def _history_of(settings: Settings, number: str) -> list[str]:
    connection = await hot_connection(settings.dsn, "test")
    rows = await connection.fetch("SELECT happening FROM orders.history WHERE number = $1 ORDER BY id", number)
    await connection.close()
    return [row["happening"] for row in rows]


def _entries(recording: Recording, number: str) -> list[dict[str, str]]:
    rows = [row for row in recording.rows("orders.history") if row["number"] == number]
    return sorted(rows, key=lambda row: int(row["id"]))
