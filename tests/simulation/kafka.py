"""A simulated Kafka: append-only logs, and producers whose records may still land after their process has died."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from shared.partitions.model import InputRecord, OutboxRow
from shared.schemas.wire import Record
from tests.simulation.scheduler import Scheduler, Task, pause

Destination = tuple[str, int]
"""(topic, partition)."""


class ProducerFailed(Exception):
    """The producer gave up on a record; whether it was written is open."""


class Log:
    """One partition of one topic. Offsets may have holes, as compaction and control records leave them."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.records: list[InputRecord] = []
        self._offsets: list[int] = []
        self.end_offset = 0
        self.readers: set[Task | None] = set()

    def append(self, record: Record, now_ms: int, hole: int = 0) -> InputRecord:
        """Write at the end, after a hole of so many offsets."""
        offset = self.end_offset + hole
        self.end_offset = offset + 1
        written = InputRecord(self.topic, self.partition, offset, now_ms, record.key, record.value, record.headers)
        self.records.append(written)
        self._offsets.append(offset)
        return written

    def read(self, offset: int, most: int) -> list[InputRecord]:
        """At most so many records from an offset on."""
        start = bisect_left(self._offsets, offset)
        return self.records[start : start + most]

    def between(self, first: int, after: int) -> list[InputRecord]:
        """The records with first <= offset < after."""
        return self.records[bisect_left(self._offsets, first) : bisect_left(self._offsets, after)]


class Kafka:
    """All logs, and what is still on the way to them."""

    def __init__(self, counts: dict[str, int], scheduler: Scheduler, holes: float) -> None:
        """`holes`: how often offsets are skipped."""
        self.counts, self._scheduler, self._holes = counts, scheduler, holes
        self.logs = {(topic, number): Log(topic, number) for topic, count in counts.items() for number in range(count)}
        self.holes_made = 0
        self.adrift: list[tuple[Destination, deque[Record]]] = []
        self.on_append: Callable[[InputRecord], None] = lambda _: None

    @property
    def random(self) -> Random:
        """The world's randomness."""
        return self._scheduler.random

    def logs_of(self, topic: str) -> list[Log]:
        """The partitions of a topic."""
        return [self.logs[topic, number] for number in range(self.counts[topic])]

    def append(self, destination: Destination, record: Record) -> None:
        """A record reaches the broker; whoever reads there is woken."""
        log = self.logs[destination]
        hole = self.random.randint(1, 3) if self._holes and self.random.random() < self._holes else 0
        self.holes_made += hole > 0
        self.on_append(log.append(record, self._scheduler.now_ms, hole))
        for task in log.readers:
            if task is not None:
                self._scheduler.wake(task)

    def land(self) -> bool:
        """One record of a producer that is gone reaches the broker. False if none is left."""
        if not self.adrift:
            return False
        index = self.random.randrange(len(self.adrift))
        destination, records = self.adrift[index]
        self.append(destination, records.popleft())
        if not records:
            del self.adrift[index]
        return True


class Producer:
    """An idempotent producer of one process: in order within a destination, in no order between destinations."""

    def __init__(self, kafka: Kafka, failures: float) -> None:
        """`failures`: how often a record is given up."""
        self._kafka, self._failures = kafka, failures

    async def publish(self, rows: Sequence[OutboxRow], *, fails: bool) -> None:
        """Returns when all records are acknowledged. Raises ProducerFailed. What was sent before an end may still arrive."""
        waiting: dict[Destination, deque[Record]] = {}
        for row in rows:
            waiting.setdefault((row.topic, row.destination), deque()).extend(row.records)
        try:
            while waiting:
                await self._send_some(waiting, fails=fails)
        except BaseException:
            self._set_adrift(waiting)
            raise

    async def _send_some(self, waiting: dict[Destination, deque[Record]], *, fails: bool) -> None:
        random = self._kafka.random
        destination = list(waiting)[int(random.random() * len(waiting))]
        records = waiting[destination]
        await pause()
        if fails and self._failures and random.random() < self._failures:
            raise ProducerFailed
        for _ in range(len(records) if random.random() < 0.5 else 1):
            self._kafka.append(destination, records.popleft())
        if not records:
            del waiting[destination]

    def _set_adrift(self, waiting: dict[Destination, deque[Record]]) -> None:
        random = self._kafka.random
        for destination, records in waiting.items():
            sent = random.randint(0, len(records))
            if sent and random.random() < 0.5:
                self._kafka.adrift.append((destination, deque(list(records)[:sent])))
