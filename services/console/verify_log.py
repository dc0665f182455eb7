"""`earmark verify --from-log`: prove the rows against the topics, while the system runs.

One REPEATABLE READ transaction copies the state that is proved into temporary tables. What the topics say up to it is read in pieces and
copied beside it, where plain SQL compares; the process itself keeps nothing per record. Of the outputs those records count that were
committed by then: known by the numbers of their sources; of the inputs those below the positions. Nothing has to come to rest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import TopicPartition

from services.console.log_reading import Extent, LogReader, log_reader
from services.console.log_sorting import TOPICS, Sorter, Source
from services.console.verify import Progress, Report, patient_connection, proof, silently, statements
from shared.database import hot_connection
from shared.kafka import partition_counts
from shared.partitions.framing import unframe
from shared.settings import Settings

CHECKS = Path(__file__).with_name("verify_log.sql")
TABLES = Path(__file__).with_name("log_tables.sql")
LEDGER = Path(__file__).with_name("log_ledger.sql")
ROWS_AT_ONCE = 20_000
_SNAPSHOT = """
SELECT side, number, incarnation, out_sequence, published_sequence, positions FROM allocator.state_partition ORDER BY side, number
"""
_OWED = """
SELECT topic, destination, records FROM allocator.outbox o JOIN allocator.state_partition p USING (side, number)
 WHERE o.last_sequence > p.published_sequence ORDER BY side, number, first_sequence
"""
_GIVEN = "SELECT side, number, out_sequence FROM allocator.state_partition"


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of a topic was read. `since`: when the oldest record that must be there was written; None: all of them are."""

    topic: str
    records: int
    since: datetime | None

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        return {"topic": self.topic, "records": self.records, "since": self.since and self.since.isoformat()}


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was proved, and of what."""

    report: Report
    reach: list[Reach]


async def verify_log(settings: Settings, progress: Progress = silently) -> LogReport:
    """Every check against the topics. Raises KafkaUnreachable, KafkaError, DamagedOutbox or an error of the database."""
    connection = await log_connection(settings.dsn)
    try:
        reach = await load(connection, settings, progress)
        return LogReport(await proof_of_log(connection, progress), reach)
    finally:
        await connection.close()


async def log_connection(dsn: str) -> asyncpg.Connection:
    """One that may take its time. All that is put there goes when it is closed."""
    return await patient_connection(
        dsn,
        enable_nestloop="off",  # every join is of much with much, and what is in steps of a statement can not be estimated
        temp_buffers="32MB",
    )


async def proof_of_log(connection: asyncpg.Connection, progress: Progress = silently) -> Report:
    """The checks on what `load` has put there."""
    text = CHECKS.read_text(encoding="utf-8")
    await connection.execute(text[: text.index("-- ====")])
    return await proof(connection, statements(CHECKS), "comparing", progress)


async def load(connection: asyncpg.Connection, settings: Settings, progress: Progress = silently) -> list[Reach]:
    """Copy the ledger as it stands, then what the topics say up to it."""
    await connection.execute(TABLES.read_text(encoding="utf-8"))
    progress("copying the ledger", 0, 1)
    async with connection.transaction(isolation="repeatable_read"):
        rows = await connection.fetch(_SNAPSHOT)
        taken_at: datetime = await connection.fetchval("SELECT now()")
        sorter = Sorter(_sources(rows), _positions(rows))
        await connection.execute(LEDGER.read_text(encoding="utf-8"))
        await _copy_owed(connection, sorter, taken_at)
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    async with log_reader(settings.bootstrap, {name: counts[name] for name in TOPICS}) as reader:
        total = await reader.fix_ends()
        given = await _given(settings.dsn)
        await _copy_topics(connection, sorter, reader, progress, total)
        await reader.date_cuts(taken_at)
    await _copy_facts(connection, sorter.sources, given, reader.extents, taken_at - timedelta(days=settings.keep_days))
    return _reach(reader.extents)


def _sources(rows: list[asyncpg.Record]) -> dict[str, Source]:
    return {f"{row['side']}/{row['number']}": Source(number, row["incarnation"], row["out_sequence"]) for number, row in enumerate(rows)}


def _positions(rows: list[asyncpg.Record]) -> dict[tuple[str, int], int]:
    return {(topic, row["number"]): one["next_offset"] for row in rows for topic, one in json.loads(row["positions"]).items()}


async def _given(dsn: str) -> dict[str, int]:
    """The numbers that every state partition has given by now: nothing in the topics can have a higher one that was there before."""
    connection = await hot_connection(dsn, "earmark-verify")
    try:
        return {f"{row['side']}/{row['number']}": row["out_sequence"] for row in await connection.fetch(_GIVEN)}
    finally:
        await connection.close()


async def _copy_owed(connection: asyncpg.Connection, sorter: Sorter, now: datetime) -> None:
    """What was committed and is not known to be published stands in the outbox. If the topic has it too, it must be the same."""
    said_ms = int(now.timestamp() * 1000)
    async for row in connection.cursor(_OWED, prefetch=50):
        for record in unframe(row["records"]):
            sorter.owed(row["topic"], row["destination"], record, said_ms)
        if sorter.rows >= ROWS_AT_ONCE:
            await _copy(connection, sorter)
    await _copy(connection, sorter)


async def _copy_topics(connection: asyncpg.Connection, sorter: Sorter, reader: LogReader, progress: Progress, total: int) -> None:
    read = 0
    for topic in TOPICS:
        async for piece in reader.pieces(topic):
            for record in piece:
                sorter.sort(record)
            read += len(piece)
            progress("reading the topics", read, total)
            if sorter.rows >= ROWS_AT_ONCE:
                await _copy(connection, sorter)
    await _copy(connection, sorter)


async def _copy(connection: asyncpg.Connection, sorter: Sorter) -> None:
    for table, rows in sorter.taken():
        await connection.copy_records_to_table(table, schema_name="pg_temp", records=rows)


async def _copy_facts(
    connection: asyncpg.Connection,
    sources: Mapping[str, Source],
    given: Mapping[str, int],
    extents: Mapping[TopicPartition, Extent],
    forgotten_at: datetime,
) -> None:
    said = [
        (one.number, *_side_and_number(name), one.out_sequence, max(given.get(name, 0), one.out_sequence), one.highest, one.reached)
        for name, one in sources.items()
    ]
    found = [(TOPICS[at.topic], at.partition, one.begins, one.ends, one.records, one.cut_at) for at, one in extents.items()]
    for table, rows in (
        ("log_snapshot", [(int(forgotten_at.timestamp() * 1000),)]),
        ("log_topic", [(number, name) for name, number in TOPICS.items()]),
        ("log_partition", found),
        ("log_source", said),
    ):
        await connection.copy_records_to_table(table, schema_name="pg_temp", records=rows)


def _side_and_number(name: str) -> tuple[str, int]:
    side, number = name.split("/")
    return side, int(number)


def _reach(extents: Mapping[TopicPartition, Extent]) -> list[Reach]:
    of_topic = {name: [one for at, one in extents.items() if at.topic == name] for name in TOPICS}
    return [
        Reach(name, sum(one.records for one in found), max((one.cut_at for one in found if one.cut_at), default=None))
        for name, found in of_topic.items()
    ]
