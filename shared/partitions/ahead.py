"""Is Kafka ahead of Postgres? A database that was restored from a backup, or that a failover left behind, has forgotten batches whose
records are in Kafka. Going on would number new records like those, and every reader would drop them as repeats.

Every batch is committed before it is published, so no record may have a higher number than its source has in the database. It is enough
to look at the last records of every topic that state partitions write: whatever was forgotten was written after all that is known.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from shared.consumer import Consumer, watch
from shared.kafka import WorldChanged, consumer_settings, stop_client
from shared.partitions.model import PartitionId
from shared.schemas.topics import ALLOCATIONS, MOVEMENTS, OUTCOMES, RESERVATIONS, STOCK_LEVELS
from shared.schemas.wire import BadRecord, envelope_of, header_map

WRITTEN = (RESERVATIONS, OUTCOMES, ALLOCATIONS, MOVEMENTS, STOCK_LEVELS)
"""Where nobody else writes. Dead letters are left out: there every consumer does."""
TAIL_RECORDS = 16
"""Not one: when the database went away, a batch that it kept may have been published just after one that it lost."""
READ_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Told:
    """The number of a record, and where it lies."""

    incarnation: int
    sequence: int
    topic: str
    partition: int
    offset: int


class OutputTails:
    """The last records of all outputs. `counts`: partitions of every topic."""

    def __init__(self, bootstrap: str, counts: Mapping[str, int]) -> None:
        self._bootstrap = bootstrap
        self._outputs = [TopicPartition(topic.name, number) for topic in WRITTEN for number in range(counts[topic.name])]
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0
        self._found: dict[PartitionId, Told] = {}

    async def newest(self) -> Mapping[PartitionId, Told]:
        """Of every source that wrote one of the last records, the highest number. State partitions that are taken over together share
        one reading, which begins after all of them have asked."""
        asked = self._begun
        async with self._lock:
            if self._ended <= asked:
                self._begun += 1
                self._found = newest_of(await self._read())
                self._ended = self._begun
            return self._found

    async def _read(self) -> list[Any]:
        consumer = Consumer(**consumer_settings(self._bootstrap))
        try:
            async with asyncio.timeout(READ_SECONDS):
                await consumer.start()
                return await self._read_tails(consumer)
        finally:
            await stop_client(consumer)

    async def _read_tails(self, consumer: Any) -> list[Any]:
        watch(consumer, self._outputs)
        begins, ends = await consumer.beginning_offsets(self._outputs), await consumer.end_offsets(self._outputs)
        left = [one for one in self._outputs if begins[one] < ends[one]]
        for one in left:
            consumer.seek(one, max(begins[one], ends[one] - TAIL_RECORDS))
        consumer.resume(*left)
        records: list[Any] = []
        while left:
            for some in (await consumer.getmany(*left, timeout_ms=500)).values():
                records.extend(some)
            left = [one for one in left if await consumer.position(one) < ends[one]]
        return records


def newest_of(records: Iterable[Any]) -> dict[PartitionId, Told]:
    """The highest number of each state partition. Records that are none of theirs say nothing here."""
    found: dict[PartitionId, Told] = {}
    for record in records:
        try:
            envelope = envelope_of(header_map(record.headers))
            side, number, incarnation = envelope.source.split("/")
            told = Told(int(incarnation), envelope.sequence, record.topic, record.partition, record.offset)
            partition = PartitionId(side, int(number))
        except (BadRecord, ValueError):
            continue
        before = found.get(partition)
        if before is None or (told.incarnation, told.sequence) > (before.incarnation, before.sequence):
            found[partition] = told
    return found


def check_not_ahead(newest: Mapping[PartitionId, Told], known: Mapping[PartitionId, tuple[int, int]]) -> None:
    """`known`: incarnation and last number of every state partition as the database has them, read after `newest`. Raises WorldChanged."""
    for partition, told in newest.items():
        incarnation, sequence = known.get(partition, (0, 0))
        if (told.incarnation, told.sequence) > (incarnation, sequence):
            raise WorldChanged(
                f"{told.topic} partition {told.partition} holds record {told.sequence} of {partition}/{told.incarnation} at offset "
                f"{told.offset}, and this database knows of {sequence} only: it was restored from an older backup, or lost what it had "
                "committed. Follow docs/runbooks.md#kafka-ahead-of-postgres."
            )
