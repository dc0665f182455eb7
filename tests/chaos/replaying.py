"""Pure replay of what happened: every state partition's log in Kafka goes through the cores once more, over an empty memory, in the cuts
that the batch rows in Postgres hold. What comes out must be what was published, byte for byte.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.allocator.app import policy_of
from services.allocator.core.policy import DemandSettings
from services.allocator.core.stock.settings import StockSettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.database import hot_connection
from shared.kafka import consumer_settings, partition_counts, stop_client
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, InputRecord, OutboxRow, PartitionId
from shared.partitions.partition import Limits, StatePartition
from shared.partitions.ports import Side
from shared.schemas import topics
from shared.schemas.wire import Record, header_map
from shared.settings import Settings

WRITTEN = (topics.RESERVATIONS, topics.OUTCOMES, topics.ALLOCATIONS, topics.MOVEMENTS, topics.STOCK_LEVELS, topics.DEAD_LETTERS)
READ = (topics.ORDERS, topics.INVENTORY, topics.RESERVATIONS, topics.OUTCOMES)
FIRST_INCARNATION = 1
UNLIMITED = Limits(messages=10**9, backlog=10**9)
_BATCHES = """
SELECT batch_no, epoch, token::text AS token, logical_time, offsets, first_sequence, last_sequence, rules_hash, code_version
  FROM allocator.batch WHERE side = $1 AND number = $2 ORDER BY batch_no
"""
_CONDEMNED = """
SELECT topic, record_offset, reason FROM allocator.dead_letter WHERE partition = $1 AND reason LIKE 'the store refuses it:%'
"""
"""What the database did not take is no decision of the cores."""


@dataclass
class Logs:
    """All topics, whole. `published`: (source, sequence) to where and what, by its first occurrence."""

    inputs: dict[TopicPartition, list[InputRecord]] = field(default_factory=lambda: defaultdict(list))
    published: dict[tuple[str, int], tuple[str, int, Record]] = field(default_factory=dict)

    def between(self, topic: str, number: int, first: int, after: int) -> list[InputRecord]:
        """The records of offsets [first, after); a range of a batch, in order."""
        return self.inputs[TopicPartition(topic, number)][first:after]


async def read_logs(bootstrap: str, counts: dict[str, int]) -> Logs:
    """Every topic of the allocator from its beginning to its end now."""
    consumer: Any = AIOKafkaConsumer(**consumer_settings(bootstrap))
    await consumer.start()
    try:
        parts = [TopicPartition(topic.name, n) for topic in {*WRITTEN, *READ} for n in range(counts[topic.name])]
        consumer.assign(parts)
        await consumer.seek_to_beginning()
        ends, logs = await consumer.end_offsets(parts), Logs()
        while [one for one in parts if await consumer.position(one) < ends[one]]:
            for one, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    _remember(logs, one, record)
        return logs
    finally:
        await stop_client(consumer)


def _remember(logs: Logs, one: TopicPartition, record: Any) -> None:
    headers = tuple(record.headers)
    if one.topic in {topic.name for topic in READ}:
        known = logs.inputs[one]
        assert record.offset == len(known), f"{one} has no record at offset {len(known)}: nothing may be missing for a replay"
        known.append(InputRecord(one.topic, one.partition, record.offset, record.timestamp, record.key, record.value, headers))
    named = header_map(headers)
    source, sequence = named.get("earmark_source", ""), named.get("earmark_sequence", "0")
    if source.partition("/")[0] in {"stock", "demand"} and one.topic in {topic.name for topic in WRITTEN}:
        logs.published.setdefault((source, int(sequence)), (one.topic, one.partition, Record(record.key, record.value, headers)))


@dataclass
class Replayed:
    """What was done, and where it came out otherwise."""

    batches: int = 0
    records: int = 0
    problems: list[str] = field(default_factory=list)


async def replay(dsn: str, settings: Settings) -> Replayed:
    """Every state partition, one after the other."""
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    logs = await read_logs(settings.bootstrap, counts)
    connection = await hot_connection(dsn, "chaos-replay")
    try:
        return await _replay(connection, settings, counts, logs)
    finally:
        await connection.close()


async def _replay(connection: asyncpg.Connection, settings: Settings, counts: dict[str, int], logs: Logs) -> Replayed:
    found = Replayed()
    for side, number in await connection.fetch("SELECT side, number FROM allocator.state_partition ORDER BY 1, 2"):
        partition = PartitionId(side, number)
        batches = [_batch(row) for row in await connection.fetch(_BATCHES, side, number)]
        condemned = await connection.fetch(_CONDEMNED, number)
        again = _Again(partition, settings, counts)
        for row in condemned:
            again.state.condemn(row["topic"], row["record_offset"], row["reason"])
        await again.run(batches, logs, found)
    return found


def _batch(row: asyncpg.Record) -> Batch:
    return Batch(**dict(row) | {"offsets": {topic: tuple(both) for topic, both in json.loads(row["offsets"]).items()}})


class _Again:
    """One state partition over memory, whose clock is the batch rows' logical time."""

    def __init__(self, partition: PartitionId, settings: Settings, counts: dict[str, int]) -> None:
        self._now: datetime | None = None
        self._partition = partition
        store = MemoryPartitionStore(MemoryDatabase(self._clock))
        self.state = StatePartition(partition, _side(partition, settings, store), store, counts, lambda: "replay", UNLIMITED)

    def _clock(self) -> datetime:
        assert self._now is not None, "a batch comes first"
        return self._now

    async def run(self, batches: list[Batch], logs: Logs, found: Replayed) -> None:
        """Until the first batch that comes out otherwise."""
        for expected, batch in enumerate(batches, 1):
            if batch.batch_no != expected:
                found.problems.append(f"{self._partition}: batch {expected} has no row")
                return
            self._now = batch.logical_time
            if expected == 1:
                await self.state.take_over("replay")
            for topic, (first, after) in batch.offsets.items():
                self.state.offer(logs.between(topic, self._partition.number, first, after))
            rows = await self.state.serve()
            found.batches += 1
            if problem := self._difference(batch, rows, logs, found):
                found.problems.append(f"{self._partition} batch {batch.batch_no}: {problem}")
                return

    def _difference(self, batch: Batch, rows: list[OutboxRow], logs: Logs, found: Replayed) -> str:
        last = rows[-1].last_sequence if rows else batch.first_sequence - 1
        if last != batch.last_sequence:
            return f"ends at sequence {last}, it was {batch.last_sequence}"
        for row in rows:
            for sequence, record in enumerate(row.records, row.first_sequence):
                then = logs.published.get((f"{self._partition}/{FIRST_INCARNATION}", sequence))
                found.records += 1
                if then != (row.topic, row.destination, record):
                    return f"sequence {sequence} was {then}, and is {(row.topic, row.destination, record)} now"
        return ""


def _side(partition: PartitionId, settings: Settings, store: MemoryPartitionStore) -> Side:
    keep = timedelta(days=settings.keep_days)
    current: Callable[[], Any] = store.current
    if partition.side == "stock":
        return StockSide(MemoryStockStorage(current), StockSettings(keep=keep))
    return DemandSide(MemoryDemandStorage(current), DemandSettings(policy=policy_of(settings), keep=keep))
