"""Kafka and Postgres belong together: what Postgres remembers of Kafka is checked at every start, and made at the first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import asyncpg

from shared import database
from shared.database import older_code_refused
from shared.kafka import Copies, WorldChanged, check_world, create_topics, describe_world, partition_counts, wake_group_coordinator
from shared.schemas.topics import TOPICS
from shared.settings import Settings

SHOWN_SECONDS = 10.0


async def prepare(settings: Settings) -> None:
    """Migrate, check, make what is missing, remember. Safe to run at any time and by several at once. Raises WorldChanged or
    TooFewBrokers."""
    from shared.migrations import migrate  # services check and never prepare: they are spared Alembic

    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    remembered = await _remembered(settings)
    await wake_group_coordinator(settings.bootstrap)
    await _require_the_same(remembered, counts, settings)
    await create_topics(settings.bootstrap, counts, Copies(settings.kafka_replication, settings.kafka_min_insync))
    await migrate(settings.dsn)  # while Kafka makes the partitions
    found = await describe_made(settings.bootstrap, counts)
    check_world(_as_set(counts), found, "Kafka")
    await _remember(settings, found)


async def describe_made(bootstrap: str, counts: dict[str, int]) -> dict[str, str]:
    """The world once Kafka shows the topics that were just made, or as it is after ten seconds: a broker hears of them a moment later
    than whoever asked the controller to make them is answered."""
    began = monotonic()
    while True:
        found = await describe_world(bootstrap)
        if found.keys() >= _as_set(counts).keys() or monotonic() - began > SHOWN_SECONDS:
            return found
        await asyncio.sleep(0.1)


async def check(settings: Settings) -> None:
    """Refuse to go on where Kafka, the settings and Postgres's memory differ, or where the database wants newer code. Raises WorldChanged
    or CodeTooOld."""
    remembered = await _remembered(settings)
    if not remembered:
        raise WorldChanged("Nothing was prepared in this database yet. Run `earmark migrate`, then start again.")
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    await _require_newer_code(settings)
    await _require_the_same(remembered, counts, settings)


async def _require_newer_code(settings: Settings) -> None:
    """The database refuses older code at every claim. Found here, it does not get so far as to keep partitions from others."""
    async with _connection(settings) as connection:
        with suppress(asyncpg.UndefinedFunctionError), older_code_refused():  # a schema before that is refused elsewhere
            await connection.execute("SELECT platform.require_newer_code()")


async def _require_the_same(remembered: dict[str, str], counts: dict[str, int], settings: Settings) -> None:
    """Settings do not say which cluster it is: that only Kafka is asked."""
    check_world(remembered, _as_set(counts) | {"cluster id": remembered.get("cluster id", "")}, "settings")
    check_world(remembered, await describe_world(settings.bootstrap), "Kafka")


async def _remembered(settings: Settings) -> dict[str, str]:
    """Empty where nothing was prepared yet."""
    async with _connection(settings) as connection:
        try:
            return {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM platform.world")}
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return {}


async def _remember(settings: Settings, found: dict[str, str]) -> None:
    async with _connection(settings) as connection:
        await connection.executemany(
            "INSERT INTO platform.world (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", list(found.items())
        )


@asynccontextmanager
async def _connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await database.hot_connection(settings.dsn, "earmark-world")
    try:
        yield connection
    finally:
        await connection.close()


def _as_set(counts: dict[str, int]) -> dict[str, str]:
    return {f"partitions of {topic.name}": str(counts[topic.name]) for topic in TOPICS}
