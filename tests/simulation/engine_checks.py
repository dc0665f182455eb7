"""What must hold of state partitions whatever their business is. Reads the committed tables and the logs only, and keeps its own books.

Nothing is published that is not committed; nothing committed stays unpublished; batches, sequence numbers, logical time and positions
only go forward, without a gap; replay of the logs in the stored cuts gives the same events, byte for byte.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.partitions.memory import GONE
from shared.partitions.model import Batch, InputRecord, OutboxRow, PartitionId, PartitionRow
from shared.schemas.topics import DEAD_LETTERS
from shared.schemas.wire import Record
from tests.simulation.failed import Failed
from tests.simulation.reading import origin_of
from tests.simulation.replay import replay

if TYPE_CHECKING:
    from tests.simulation.world import World

_KINDS = re.compile(b'"(type|note|outcome)":"([a-z_]+)"')
"""Counted, to see that a swarm reaches everything that it should."""


@cache
def _said(name: bytes, value: bytes) -> str:
    return value.decode() if name == b"type" else f"{name.decode()}: {value.decode()}"


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
        where = f"\n{record.topic} {record.partition} {record.offset} {record.timestamp_ms} ".encode()
        self._history.update(b"".join((where, record.key or b"", b"\0", record.value or b"")))
        origin = origin_of(record)
        if origin is None:
            return
        known = self.committed.get(origin)
        if known is None:
            raise Failed(f"published without being committed: {origin[0]} sequence {origin[1]} on {record.topic}")
        topic, partition, written = known
        same = (written.key, written.value, written.headers) == (record.key, record.value, record.headers)
        if not same or (topic, partition) != (record.topic, record.partition):
            raise Failed(f"published otherwise than committed: {origin[0]} sequence {origin[1]} on {record.topic}")
        self._in_order(record, origin)

    def _in_order(self, record: InputRecord, origin: tuple[str, int]) -> None:
        """First occurrences stand in order, so that one high-water mark per source is enough for a reader."""
        if origin in self._published:
            self.world.count("event", "published again")
            return
        self._published.add(origin)
        if record.topic != DEAD_LETTERS.name:
            self._count_kinds(record)
        seen = self._first_seen.setdefault((record.topic, record.partition), {})
        source, sequence = origin
        if sequence <= seen.get(source, 0):
            raise Failed(f"first published out of order: {source} sequence {sequence} after {seen[source]} on {record.topic}")
        seen[source] = sequence

    def _count_kinds(self, record: InputRecord) -> None:
        tally = self.world.tally
        for name, value in _KINDS.findall(record.value or b""):
            tally["said", _said(name, value)] += 1

    def applied(self, staged: Mapping[str, Mapping[Any, Any]]) -> None:
        """A transaction took effect: of one state partition, or of several together. What is promised of one holds of each."""
        for key, row in staged.get("outbox", {}).items():
            if row is not GONE:
                self._outbox(key[0], row)
        for (partition, number), batch in staged.get("batch", {}).items():
            if batch is not GONE:
                self._batch(partition, number, batch)
                epoch = staged["partition"][partition]["epoch"]
                if batch.epoch != epoch:
                    raise Failed(f"a process wrote that had lost the partition: {partition} is at epoch {epoch}: {batch}")
        for partition, row in staged.get("partition", {}).items():
            self._whole(partition, row)

    def _whole(self, partition: PartitionId, row: Mapping[str, Any]) -> None:
        """Whoever takes part is there with all of its batch, or with nothing."""
        made = self.batches[partition]
        if (row["batch_no"], row["out_sequence"]) != (len(made), made[-1].last_sequence if made else 0):
            raise Failed(f"a part of a batch is kept: {partition} of {len(made)} batches: {row}")

    def _outbox(self, partition: PartitionId, row: OutboxRow) -> None:
        if len(row.records) != row.last_sequence - row.first_sequence + 1:
            numbers = f"{row.first_sequence} to {row.last_sequence}"
            raise Failed(f"an outbox row is numbered wrong: {partition} batch {row.batch_no}: {len(row.records)} records for {numbers}")
        for sequence, record in enumerate(row.records, row.first_sequence):
            origin = f"{partition}/1", sequence
            if origin in self.committed:
                raise Failed(f"sequence number given twice: {origin}")
            self.committed[origin] = row.topic, row.destination, record

    def _batch(self, partition: PartitionId, number: int, batch: Batch) -> None:
        known = self.batches[partition]
        before = known[-1] if known else None
        known.append(batch)
        self.world.tally["work", "batches"] += 1
        self.world.say(partition, "batch", number, dict(batch.offsets), batch.logical_time)
        if number != len(known):
            raise Failed(f"a batch number is missing or given twice: {partition} batch {number} is the {len(known)}th")
        if before is None:
            if number != 1 or batch.first_sequence != 1:
                raise Failed(f"the first batch is not the first: {partition} batch {number} with sequence {batch.first_sequence}")
            return
        if batch.first_sequence != before.last_sequence + 1 or batch.epoch < before.epoch or batch.logical_time < before.logical_time:
            raise Failed(f"a batch does not go on where the last one ended: {partition} batch {number}")

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
                raise Failed(f"not read to the end: {partition} of {topic} to {last}: {position}")

    def _all_in_batches(self, partition: PartitionId) -> None:
        """The offset ranges of the batches lie end to end over every input: each record is in exactly one."""
        for topic in self._inputs(partition):
            records = self.world.kafka.logs[topic, partition.number]
            covered: list[int] = []
            for batch in self.batches[partition]:
                if topic in batch.offsets:
                    covered += [record.offset for record in records.between(*batch.offsets[topic])]
            if covered != [record.offset for record in records.records]:
                raise Failed(f"a record is in no batch or in two: {partition} of {topic}")

    def _newest_are_kept(self, partition: PartitionId) -> None:
        """History goes from its beginning only: the batch rows that are left are the newest, without a gap, and at least the last."""
        left = sorted(number for (name, number) in self.world.database.table("batch") if name == partition)
        made = len(self.batches[partition])
        if made and left != list(range(left[0] if left else 0, made + 1)):
            raise Failed(f"the newest batch rows are not kept: {partition} of {made} has {left}")

    def replay(self) -> None:
        """Replay of the logs in the stored cuts gives the same events."""
        for partition in self.world.group.partitions:
            replay(self.world, partition, self.batches[partition])
