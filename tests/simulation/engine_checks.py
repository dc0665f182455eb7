"""What must hold of state partitions whatever their business is. Reads the committed tables and the logs only, and keeps its own books.

Nothing is published that is not committed; nothing committed stays unpublished; batches, sequence numbers, logical time and positions
only go forward, without a gap; replay of the logs in the stored cuts gives the same events, byte for byte.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.partitions.memory import GONE
from shared.partitions.model import Batch, InputRecord, OutboxRow, PartitionId, PartitionRow
from shared.schemas.topics import BY_NAME
from shared.schemas.wire import Record
from tests.simulation.failed import Failed
from tests.simulation.replay import replay

if TYPE_CHECKING:
    from tests.simulation.world import World

_KINDS = tuple(
    f'"{name}":"{value}"'.encode()
    for name, value in (
        *(("type", kind) for kind in ("reserve_line", "reserve_chain", "release", "return_baton", "activate", "mark_picking")),
        *(("type", kind) for kind in ("unmark_picking", "consume", "outcome", "wake")),
        *(("note", note) for note in ("complete", "short", "picking_refused", "consumption_refused")),
        *(
            ("outcome", told)
            for told in ("allocated", "partially_allocated", "could_not_allocate", "overallocated", "released", "consumed")
        ),
    )
)
"""Counted, to see that a swarm reaches everything that it should."""


class EngineChecks:
    """Observes one world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.committed: dict[tuple[str, int], tuple[str, int, Record]] = {}
        self._first_seen: dict[tuple[str, int], dict[str, int]] = {}
        self.batches: dict[PartitionId, list[Batch]] = defaultdict(list)
        self._published: set[tuple[str, int]] = set()
        self._history = hashlib.blake2b(digest_size=8)

    @property
    def history(self) -> str:
        """Fingerprint of everything that reached Kafka, in order and with its time: equal for equal seeds."""
        return self._history.hexdigest()

    # ---------------------------------------------------------------- while it runs

    def appended(self, record: InputRecord) -> None:
        """A record reached Kafka."""
        self._history.update(repr((record.topic, record.partition, record.offset, record.timestamp_ms)).encode())
        self._history.update((record.key or b"") + b"\0" + (record.value or b""))
        origin = origin_of(record)
        if origin is None:
            return
        known = self.committed.get(origin)
        if known is None:
            raise Failed(f"published without being committed: {origin[0]} sequence {origin[1]} on {record.topic}")
        if known != (record.topic, record.partition, Record(record.key or b"", record.value or b"", record.headers)):  # type: ignore[arg-type]
            raise Failed(f"published otherwise than committed: {origin[0]} sequence {origin[1]} on {record.topic}")
        self._in_order(record, origin)

    def _in_order(self, record: InputRecord, origin: tuple[str, int]) -> None:
        """First occurrences stand in order, so that one high-water mark per source is enough for a reader."""
        if origin in self._published:
            self.world.count("published again")
            return
        self._published.add(origin)
        self._count_kinds(record)
        seen = self._first_seen.setdefault((record.topic, record.partition), {})
        source, sequence = origin
        if sequence <= seen.get(source, 0):
            raise Failed(f"first published out of order: {source} sequence {sequence} after {seen[source]} on {record.topic}")
        seen[source] = sequence

    def _count_kinds(self, record: InputRecord) -> None:
        value = record.value or b""
        for kind in _KINDS:
            times = value.count(kind)
            if times:
                self.world.tally[kind.decode().replace('"', "").removeprefix("type:")] += times

    def applied(self, staged: Mapping[str, Mapping[Any, Any]]) -> None:
        """A transaction took effect."""
        for key, row in staged.get("outbox", {}).items():
            if row is not GONE:
                self._outbox(key[0], row)
        for (partition, number), batch in staged.get("batch", {}).items():
            if batch is not GONE:
                self._batch(partition, number, batch)

    def _outbox(self, partition: PartitionId, row: OutboxRow) -> None:
        if len(row.records) != row.last_sequence - row.first_sequence + 1:
            raise Failed(f"{partition} batch {row.batch_no}: {len(row.records)} records for {row.first_sequence} to {row.last_sequence}")
        for sequence, record in enumerate(row.records, row.first_sequence):
            origin = f"{partition}/1", sequence
            if origin in self.committed:
                raise Failed(f"sequence number given twice: {origin}")
            self.committed[origin] = row.topic, row.destination, record

    def _batch(self, partition: PartitionId, number: int, batch: Batch) -> None:
        known = self.batches[partition]
        before = known[-1] if known else None
        known.append(batch)
        self.world.tally["batches"] += 1
        self.world.say(partition, "batch", number, dict(batch.offsets), batch.logical_time)
        if number != len(known):
            raise Failed(f"{partition}: batch {number} is the {len(known)}th")
        if before is None:
            if number != 1 or batch.first_sequence != 1:
                raise Failed(f"{partition}: batch {number} with sequence {batch.first_sequence} follows nothing")
            return
        if batch.first_sequence != before.last_sequence + 1 or batch.epoch < before.epoch or batch.logical_time < before.logical_time:
            raise Failed(f"{partition}: batch {number} does not go on where {number - 1} ended")

    # ---------------------------------------------------------------- when it is quiet

    def quiet(self) -> None:
        """Everything was read and everything was published."""
        missing = sorted(self.committed.keys() - self._published)
        if missing:
            raise Failed(f"committed and never published: {missing[0]} and {len(missing) - 1} more")
        for partition in self.world.group.partitions:
            self._all_read(partition)
            self._all_in_batches(partition)
            self._newest_are_kept(partition)

    def _row(self, partition: PartitionId) -> PartitionRow:
        return PartitionRow(partition=partition, **self.world.database.table("partition")[partition])

    def _inputs(self, partition: PartitionId) -> tuple[str, ...]:
        return self.world.business.inputs(partition)

    def _all_read(self, partition: PartitionId) -> None:
        row = self._row(partition)
        for topic in self._inputs(partition):
            records = self.world.kafka.logs[topic, partition.number].records
            position = row.positions.get(topic)
            last = records[-1].offset if records else -1
            if (position.last_offset if position else -1) != last:
                raise Failed(f"{partition} did not read {topic} to its end at {last}: {position}")

    def _all_in_batches(self, partition: PartitionId) -> None:
        """The offset ranges of the batches lie end to end over every input: each record is in exactly one."""
        for topic in self._inputs(partition):
            records = self.world.kafka.logs[topic, partition.number]
            covered: list[int] = []
            for batch in self.batches[partition]:
                if topic in batch.offsets:
                    covered += [record.offset for record in records.between(*batch.offsets[topic])]
            if covered != [record.offset for record in records.records]:
                raise Failed(f"{partition}: the batch rows do not cover {topic} once")

    def _newest_are_kept(self, partition: PartitionId) -> None:
        """History goes from its beginning only: the batch rows that are left are the newest, without a gap, and at least the last."""
        left = sorted(number for (name, number) in self.world.database.table("batch") if name == partition)
        made = len(self.batches[partition])
        if made and left != list(range(left[0] if left else 0, made + 1)):
            raise Failed(f"{partition}: of {made} batch rows are left {left}")

    def replay(self) -> None:
        """Replay of the logs in the stored cuts gives the same events."""
        for partition in self.world.group.partitions:
            replay(self.world, partition, self.batches[partition])

    def readers_view(self, topic: str) -> Iterator[InputRecord]:
        """The topic as a reader sees it that drops repeats by one high-water mark per source."""
        for number in range(self.world.counts[topic]):
            yield from without_repeats(self.world.kafka.logs[topic, number].records)


def without_repeats(records: Iterable[InputRecord]) -> Iterator[InputRecord]:
    """Drops what a high-water mark per source drops."""
    marks: dict[str, int] = {}
    for record in records:
        origin = origin_of(record)
        if origin is not None:
            source, sequence = origin
            if sequence <= marks.get(source, 0):
                continue
            marks[source] = sequence
        yield record


def origin_of(record: InputRecord) -> tuple[str, int] | None:
    """(source, sequence) of a record that a state partition wrote; None of anybody else's."""
    headers = dict(record.headers)
    source, sequence = headers.get("earmark_source"), headers.get("earmark_sequence")
    if source is None or sequence is None or not source.startswith((b"stock/", b"demand/")):
        return None
    assert record.topic in BY_NAME
    return source.decode(), int(sequence)
