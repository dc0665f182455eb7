"""A recording: tables as Postgres copies them, records as Kafka holds them, and how both are taken and put back."""

import io
import lzma
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from shared.database import current_revision, dispose, engine
from shared.kafka import admin, describe_world, producer_settings, stop_client
from shared.partitions.model import InputRecord
from shared.partitions.reader import input_record
from shared.schemas.topics import TOPICS
from shared.settings import Settings
from tests.support.topic_reading import everything_on
from tests.support.topics import await_leaders

FOLDER = Path(__file__).parent
ENDING = ".msgpack.xz"
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'migrations')
 GROUP BY 1 ORDER BY 1
"""
_SEQUENCES = (
    "SELECT format('%I.%I', schemaname, sequencename) AS name, last_value FROM pg_sequences WHERE last_value IS NOT NULL ORDER BY 1"
)
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Table(msgspec.Struct, frozen=True):
    """A table's rows in the text format of COPY."""

    name: str
    columns: list[str]
    rows: bytes


class Recording(msgspec.Struct, frozen=True):
    """What one release left behind. `revision`: of its schema. `sequences`: name to the last number given. `api_key`: one of its keys,
    under `PEPPER` of `tests.old_data.scenes`."""

    commit: str
    revision: str
    api_key: str
    tables: list[Table]
    sequences: dict[str, int]
    partitions: dict[str, int]
    records: list[InputRecord]

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table, every value as COPY spells it."""
        (found,) = [one for one in self.tables if one.name == table]
        return [dict(zip(found.columns, line.split("\t"), strict=True)) for line in found.rows.decode().splitlines()]


def recordings() -> dict[str, Path]:
    """Commit to the file of every release that was recorded."""
    return {path.name.removesuffix(ENDING): path for path in sorted(FOLDER.glob(f"*{ENDING}"))}


def read(path: Path) -> Recording:
    """A recording, as it was written."""
    return msgspec.msgpack.decode(lzma.decompress(path.read_bytes()), type=Recording)


def write(recording: Recording) -> Path:
    """Keep it, compressed."""
    path = FOLDER / f"{recording.commit}{ENDING}"
    path.write_bytes(lzma.compress(msgspec.msgpack.encode(recording), preset=9))
    return path


# ---------------------------------------------------------------- taking


async def take(settings: Settings, commit: str, api_key: str) -> Recording:
    """Everything that these servers hold, of processes that have all ended."""
    pool = engine(settings, "recording")
    try:
        async with pool.connect() as connection:
            revision = await connection.run_sync(current_revision)
    finally:
        await dispose(pool)
    assert revision is not None, "migrated"
    counts = await _partitions(settings.bootstrap)
    found = await everything_on(settings.bootstrap, *counts, partitions=max(counts.values()))
    tables, sequences = await _database(settings.dsn)
    return Recording(commit, revision, api_key, tables, sequences, counts, sorted(map(input_record, found), key=_place))


async def _partitions(bootstrap: str) -> dict[str, int]:
    world = await describe_world(bootstrap)
    return {topic.name: int(world[f"partitions of {topic.name}"]) for topic in TOPICS if f"partitions of {topic.name}" in world}


async def _database(dsn: str) -> tuple[list[Table], dict[str, int]]:
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval(_OTHERS) == 0, "the sessions of those that were killed have ended"
        tables = [await _copied(connection, row["name"], row["columns"]) for row in await connection.fetch(_TABLES)]
        return tables, {row["name"]: row["last_value"] for row in await connection.fetch(_SEQUENCES)}
    finally:
        await connection.close()


async def _copied(connection: asyncpg.Connection, name: str, columns: list[str]) -> Table:
    rows = io.BytesIO()
    schema, _, table = name.partition(".")
    await connection.copy_from_table(table, schema_name=schema, columns=columns, output=rows)
    return Table(name, columns, rows.getvalue())


def _place(record: InputRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


# ---------------------------------------------------------------- putting back


async def put_back_topics(recording: Recording, bootstrap: str) -> None:
    """Its topics, made anew, every record at the offset where it lay. They keep records for ever: old ones must not be deleted while a test
    reads them."""
    async with admin(bootstrap) as client:
        configuration = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
        await client.create_topics([NewTopic(name, count, 1, topic_configs=configuration) for name, count in recording.partitions.items()])
    await await_leaders(bootstrap, recording.partitions)
    producer: Any = AIOKafkaProducer(**producer_settings(bootstrap))
    await producer.start()
    try:
        sent = [(one, await _send(producer, one)) for one in recording.records]
        await producer.flush()
        moved = [(one, at) for one, future in sent if (at := (await future).offset) != one.offset]
        assert not moved, f"records that lie elsewhere now: {moved[:5]}"
    finally:
        await stop_client(producer)


async def _send(producer: Any, one: InputRecord) -> Any:
    return await producer.send(one.topic, one.value, one.key, one.partition, one.timestamp_ms, list(one.headers))


async def put_back_rows(recording: Recording, dsn: str) -> None:
    """Its rows, into the tables that its migrations made. Rules between tables held when they were copied."""
    connection = await asyncpg.connect(dsn, server_settings={"session_replication_role": "replica"})
    try:
        for table in recording.tables:
            schema, _, name = table.name.partition(".")
            await connection.copy_to_table(name, schema_name=schema, columns=table.columns, source=io.BytesIO(table.rows))
        for sequence, last in recording.sequences.items():
            await connection.execute("SELECT setval($1::text::regclass, $2)", sequence, last)
    finally:
        await connection.close()


def gaps(recording: Recording) -> Iterator[str]:
    """Offsets that nothing lies at, below one that something lies at: those could not be put back."""
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in recording.records:
        places[one.topic, one.partition].append(one.offset)
    yield from (f"{topic}/{number}" for (topic, number), offsets in places.items() if offsets != list(range(len(offsets))))
