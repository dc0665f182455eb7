"""The topics from their beginnings to fixed ends, topic by topic, in pieces of bounded size."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from shared.consumer import Consumer, watch
from shared.kafka import KafkaUnreachable, admin, consumer_settings, stop_client
from shared.schemas.topics import BY_NAME

PIECE_RECORDS = 5_000
FETCH_BYTES, PARTITION_BYTES = 8 * 1024 * 1024, 1024 * 1024
"""What lies in memory is a few times this: what is fetched is compressed."""
PATIENCE_SECONDS = 60.0
"""A broker that gives nothing for so long is away."""


@dataclass(slots=True)
class Extent:
    """What a topic partition holds: from `begins`, where reading really began, to `ends`, exclusively. `cut_at`: records from before may
    have been deleted; None: none was."""

    begins: int
    ends: int
    records: int = 0
    cut_at: datetime | None = None


class LogReader:
    """One consumer for all topics. `extents` is filled as they are read."""

    def __init__(self, consumer: Any, bootstrap: str, places: Sequence[TopicPartition]) -> None:
        self._consumer, self._bootstrap, self._places = consumer, bootstrap, places
        self.extents: dict[TopicPartition, Extent] = {}

    async def fix_ends(self) -> int:
        """Find out where every partition begins and ends now. Returns how many records that are, at most."""
        watch(self._consumer, self._places)
        begins, ends = await self._consumer.beginning_offsets(self._places), await self._consumer.end_offsets(self._places)
        self.extents = {one: Extent(begins[one], ends[one]) for one in self._places}
        return sum(one.ends - one.begins for one in self.extents.values())

    async def pieces(self, topic: str) -> AsyncIterator[list[Any]]:
        """The records of one topic; each partition's in order. Raises KafkaUnreachable, KafkaError."""
        left = [one for one in self._places if one.topic == topic and self.extents[one].begins < self.extents[one].ends]
        for one in left:
            self._consumer.seek(one, self.extents[one].begins)
        self._consumer.resume(*left)
        try:
            while left:
                yield await self._piece(left)
                left = [one for one in left if await self._consumer.position(one) < self.extents[one].ends]
        finally:
            self._consumer.pause(*[one for one in self._places if one.topic == topic])

    async def _piece(self, left: Sequence[TopicPartition]) -> list[Any]:
        before, until = [await self._consumer.position(one) for one in left], time.monotonic() + PATIENCE_SECONDS
        found: dict[TopicPartition, list[Any]] = {}
        while not found and before == [await self._consumer.position(one) for one in left]:
            if time.monotonic() > until:
                raise KafkaUnreachable(f"Kafka at {self._bootstrap} gave nothing more of {left[0].topic} for {PATIENCE_SECONDS:.0f} s.")
            found = await self._consumer.getmany(*left, timeout_ms=500, max_records=PIECE_RECORDS)
        return [record for one, records in found.items() for record in self.noted(one, records)]

    def noted(self, one: TopicPartition, records: list[Any]) -> list[Any]:
        """Those before the end, counted; the first that there is says whether older ones are gone."""
        extent = self.extents[one]
        if records[-1].offset >= extent.ends:
            records = [record for record in records if record.offset < extent.ends]
        if records and not extent.records and records[0].offset > 0 and not BY_NAME[one.topic].compacted:
            extent.begins, extent.cut_at = records[0].offset, datetime.fromtimestamp(max(0, records[0].timestamp) / 1000, UTC)
        extent.records += len(records)
        return records

    async def date_cuts(self, now: datetime) -> None:
        """What a topic keeps by time was deleted no sooner; where nobody says how long, before the first record left. After reading."""
        cut = [one for one in self._places if self.extents[one].begins > 0 and not BY_NAME[one.topic].compacted]
        kept = await _kept(self._bootstrap, sorted({one.topic for one in cut})) if cut else {}
        for one in cut:
            extent = self.extents[one]
            first = extent.cut_at or now
            extent.cut_at = min(first, now - kept[one.topic]) if one.topic in kept else first


async def _kept(bootstrap: str, names: Sequence[str]) -> Mapping[str, timedelta]:
    """How long these topics keep their records, where they keep them by time and the broker says so."""
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "", "retention.bytes": ""}) for name in names]
    try:
        async with admin(bootstrap) as client:
            answers = await client.describe_configs(wanted)
    except KafkaError:  # it may be forbidden
        return {}
    found = {}
    for answer in answers:
        for code, _, _, name, entries in answer.resources:
            settings = {entry[0]: int(entry[1]) for entry in entries}
            if not code and settings.get("retention.bytes") == -1 and settings.get("retention.ms", -1) >= 0:
                found[name] = timedelta(milliseconds=settings["retention.ms"])
    return found


async def _started(consumer: Any, bootstrap: str) -> None:
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        raise KafkaUnreachable(f"Kafka at {bootstrap} does not answer ({error}). Check EARMARK_KAFKA and that the broker runs.") from error


@asynccontextmanager
async def log_reader(bootstrap: str, counts: Mapping[str, int]) -> AsyncIterator[LogReader]:
    """`counts`: topics to their numbers of partitions. Raises KafkaUnreachable."""
    settings = consumer_settings(bootstrap) | {"fetch_max_bytes": FETCH_BYTES, "max_partition_fetch_bytes": PARTITION_BYTES}
    consumer = Consumer(**settings)
    try:
        await _started(consumer, bootstrap)
        yield LogReader(consumer, bootstrap, [TopicPartition(name, number) for name, count in counts.items() for number in range(count)])
    finally:
        await stop_client(consumer)
