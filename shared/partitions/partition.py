"""One state partition: from waiting records to a committed batch and the rows to publish.

No clock, no Kafka, no Postgres of its own: the store, the side and the caller bring them. The same code runs under the simulation.

    records of all inputs, or a due deadline → decode → BEGIN → fence → load, decide → save → batch row, outbox → COMMIT → publish
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.partitions.crash import crash_point
from shared.partitions.model import Batch, DeadLetter, InputRecord, OutboxRow, PartitionId, PartitionRow, Position, Send
from shared.partitions.outbox import outbox_of
from shared.partitions.ports import PartitionStore, Side
from shared.schemas.message import Value
from shared.schemas.topics import BY_NAME, DEAD_LETTERS
from shared.schemas.wire import BadRecord, envelope_of, header_map, require_partition

CODE_VERSION = "0.1.0"


class Halted(Exception):
    """This state partition must not go on by itself. The message says why and what an operator does; others go on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`messages`: decide at most about so many at once. `backlog`: stop reading when so many sequence numbers are unpublished."""

    messages: int = 1_000
    backlog: int = 10_000


class _Waiting(Value, frozen=True):
    record: InputRecord
    messages: tuple[Any, ...]
    mark: tuple[str, str, int] | None = None
    dead: DeadLetter | None = None


class StatePartition:
    """Single writer of one state partition. `take_over` first; then `offer` records and `serve` batches, one at a time.

    After any exception from `serve` nothing in memory may be trusted: `take_over` again, or give the partition up.
    """

    def __init__(
        self,
        partition: PartitionId,
        side: Side,
        store: PartitionStore,
        counts: Mapping[str, int],
        tokens: Callable[[], str],
        limits: Limits = Limits(),
    ) -> None:
        """`counts`: partitions of every topic that is written. `tokens`: fresh unique texts, one per batch."""
        self.partition, self.side, self.store = partition, side, store
        self._counts, self._tokens, self._limits = counts, tokens, limits
        self._waiting: deque[_Waiting] = deque()
        self._waiting_messages = 0
        self._condemned: dict[tuple[str, int], str] = {}
        self._read_to: dict[str, int] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self.row: PartitionRow | None = None
        self.out_sequence = self.published_sequence = 0
        self.decided_messages = self.dead_letters = 0
        """Of the last batch."""

    async def take_over(self, owner: str) -> list[OutboxRow]:
        """Claim the fence, forget all memory, and give the rows that the last owner may not have published."""
        self.row = None
        self._waiting.clear()
        self._waiting_messages = 0
        row = await self.store.claim(self.partition, owner)
        crash_point("claimed")
        self._marks = await self.store.marks()
        await self.side.resume(self.partition)
        self._read_to = {topic: position.next_offset for topic, position in row.positions.items()}
        self.out_sequence, self.published_sequence = row.out_sequence, row.published_sequence
        unpublished = await self.store.unpublished(row.published_sequence)
        self.row = row
        return unpublished

    # ---------------------------------------------------------------- reading

    def read_from(self, topic: str) -> int:
        """The offset at which reading this input goes on, behind what is in memory."""
        return self._read_to.get(topic, 0)

    def offer(self, records: Iterable[InputRecord]) -> None:
        """Decode records and line them up. Raises Halted for an undecodable record on an internal topic."""
        for record in records:
            if record.offset >= self.read_from(record.topic):
                waiting = self._decoded(record)
                self._waiting.append(waiting)
                self._waiting_messages += len(waiting.messages)
                self._read_to[record.topic] = record.offset + 1

    def _decoded(self, record: InputRecord) -> _Waiting:
        internal = BY_NAME[record.topic].internal
        if reason := self._condemned.get((record.topic, record.offset)):
            return _Waiting(record, (), dead=DeadLetter(record, reason, "value"))
        try:
            messages = self.side.decode(record)
            if not internal:
                for message in messages:
                    require_partition(message, record.partition, self._counts[record.topic])
                return _Waiting(record, messages)
            envelope = envelope_of(header_map(record.headers))
            return _Waiting(record, messages, (record.topic, envelope.source, envelope.sequence))
        except BadRecord as bad:
            if internal:
                where = f"{record.topic} partition {record.partition} offset {record.offset}"
                runbook = "newer-schema" if bad.newer else "undecodable-internal-record"
                raise Halted(f"{self.partition} stops at {where}: {bad}. See docs/runbooks.md#{runbook}") from bad
            return _Waiting(record, (), dead=DeadLetter(record, bad.reason, bad.field))

    @property
    def has_records(self) -> bool:
        """Whether a batch with records could be made."""
        return bool(self._waiting)

    @property
    def waiting_messages(self) -> int:
        """How many messages the records hold that wait."""
        return self._waiting_messages

    @property
    def has_room(self) -> bool:
        """Whether more records should be read now."""
        return max(len(self._waiting), self._waiting_messages) < 2 * self._limits.messages and self.backlog < self._limits.backlog

    @property
    def backlog(self) -> int:
        """Sequence numbers committed and not yet acknowledged by Kafka."""
        return self.out_sequence - self.published_sequence

    # ---------------------------------------------------------------- one batch

    def condemn(self, topic: str, offset: int, reason: str) -> None:
        """Before records are offered: this one of another's topic makes every batch fail, so it becomes a dead letter."""
        assert not BY_NAME[topic].internal, "an internal record that cannot be applied halts"
        self._condemned[topic, offset] = reason

    def _take(self, records: int | None) -> list[_Waiting]:
        """The next records, in an order that the batch row's offset ranges alone give back, however the inputs happened to arrive."""
        taken: list[_Waiting] = []
        messages = 0
        while self._waiting and messages < self._limits.messages and (records is None or len(taken) < records):
            taken.append(self._waiting.popleft())
            messages += len(taken[-1].messages)
        self._waiting_messages -= messages
        inputs = self.side.inputs
        return sorted(taken, key=lambda waiting: (inputs.index(waiting.record.topic), waiting.record.offset))

    @property
    def next_record(self) -> InputRecord | None:
        """The record that the next batch begins with."""
        return self._waiting[0].record if self._waiting else None

    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        """Serve one batch of what is waiting (at most so many records), and whatever is due. Returns the rows to publish, in order,
        after they are committed.

        Raises FenceLost, Halted, or the store's own errors; see the class.
        """
        assert self.row is not None, "take_over comes first"
        row, taken = self.row, self._take(records)
        self.row = None  # until the commit is answered, memory is in doubt
        crash_point("polled")
        messages, marks = self._fresh(taken)
        positions = self._advanced(row, taken)
        dead = [waiting.dead for waiting in taken if waiting.dead]
        batch_no, token = row.batch_no + 1, self._tokens()
        try:
            await self.store.begin()
            now = await self.store.advance(row.epoch, row.batch_no, positions, self.published_sequence)
            crash_point("fenced")
            sends = await self.side.decide(messages, now)
            sends += [Send(DEAD_LETTERS.name, _key_of(letter.record), letter) for letter in dead]
            outbox, last = outbox_of(sends, self._counts, row.source, row.out_sequence, batch_no, now)
            crash_point("decided")
            await self.side.save()
            crash_point("saved")
            batch = Batch(batch_no, row.epoch, token, now, _ranges(taken), row.out_sequence + 1, last, self.side.rules_hash, CODE_VERSION)
            await self.store.finish(batch, outbox, marks, dead)
            crash_point("before_commit")
            await self.store.commit()
        except BaseException:
            await self.store.rollback()
            raise
        crash_point("committed")
        self._marks.update(marks)
        self.out_sequence = last
        self.decided_messages, self.dead_letters = len(messages), len(dead)
        self.row = row.but(batch_no=batch_no, logical_time=now, positions=positions, out_sequence=last)
        return outbox

    def _fresh(self, taken: Sequence[_Waiting]) -> tuple[list[Any], dict[tuple[str, str], int]]:
        """The messages that are no repeats, and the high-water marks after them."""
        messages: list[Any] = []
        marks: dict[tuple[str, str], int] = {}
        for waiting in taken:
            if waiting.mark is not None:
                topic, source, sequence = waiting.mark
                known = marks.get((topic, source), self._marks.get((topic, source), 0))
                if sequence <= known:
                    continue
                marks[topic, source] = sequence
            messages.extend(waiting.messages)
        return messages, marks

    @staticmethod
    def _advanced(row: PartitionRow, taken: Sequence[_Waiting]) -> dict[str, Position]:
        positions = dict(row.positions)
        last = {waiting.record.topic: waiting.record for waiting in taken}
        for topic, record in last.items():
            positions[topic] = Position(record.offset + 1, record.offset, record.timestamp_ms, digest(record))
        return positions

    def deadline_is_due(self, now: datetime) -> bool:
        """Whether a batch without records is needed."""
        due = self.side.next_deadline()
        return due is not None and due <= now


def digest(record: InputRecord) -> str:
    """A short fingerprint of a record, to tell a topic that was made anew."""
    return hashlib.blake2b((record.key or b"") + b"\x00" + (record.value or b""), digest_size=8).hexdigest()


def _ranges(taken: Sequence[_Waiting]) -> dict[str, tuple[int, int]]:
    ranges: dict[str, tuple[int, int]] = {}
    for waiting in taken:
        topic, offset = waiting.record.topic, waiting.record.offset
        ranges[topic] = (ranges.get(topic, (offset, 0))[0], offset + 1)
    return ranges


def _key_of(record: InputRecord) -> str:
    return (record.key or b"").decode("utf-8", "replace")
