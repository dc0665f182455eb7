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
from aiokafka import TopicPartition

from services.allocator.app import policy_of
from services.allocator.core.policy import DemandSettings
from services.allocator.core.stock.settings import StockSettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.database import hot_connection
from shared.kafka import partition_counts
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, InputRecord, PartitionId
from shared.partitions.partition import StatePartition
from shared.partitions.ports import Side
from shared.schemas import topics
from shared.schemas.wire import Record, header_map
from shared.settings import Settings
from tests.support.replaying import UNLIMITED, difference
from tests.support.topic_reading import everything_on

WRITTEN = (topics.RESERVATIONS, topics.OUTCOMES, topics.ALLOCATIONS, topics.MOVEMENTS, topics.STOCK_LEVELS, topics.DEAD_LETTERS)
READ = (topics.ORDERS, topics.INVENTORY, topics.RESERVATIONS, topics.OUTCOMES)
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


async def read_logs(bootstrap: str) -> Logs:
    """Every topic of the allocator from its beginning to its end now."""
    logs, names = Logs(), {topic.name for topic in (*WRITTEN, *READ)}
    for record in await everything_on(bootstrap, *names):
        _remember(logs, record)
    return logs


def _remember(logs: Logs, record: Any) -> None:
    one, headers = TopicPartition(record.topic, record.partition), tuple(record.headers)
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

    records: int = 0
    problems: list[str] = field(default_factory=list)


async def replay(dsn: str, settings: Settings) -> Replayed:
    """Every state partition, one after the other."""
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    logs = await read_logs(settings.bootstrap)
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
            found.records += sum(len(row.records) for row in rows)
            if problem := difference(self._partition, batch, rows, logs.published):
                found.problems.append(problem)
                return


def _side(partition: PartitionId, settings: Settings, store: MemoryPartitionStore) -> Side:
    keep = timedelta(days=settings.keep_days)
    current: Callable[[], Any] = store.current
    if partition.side == "stock":
        return StockSide(MemoryStockStorage(current), StockSettings(keep=keep))
    return DemandSide(MemoryDemandStorage(current), DemandSettings(policy=policy_of(settings), keep=keep))
