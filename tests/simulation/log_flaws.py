"""Planted bugs between a state partition and the log: what is published when, which repeats are dropped, where reading goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, DeadLetter, OutboxRow, PartitionRow, Position
from shared.partitions.partition import StatePartition
from tests.simulation.flaw import Flaw


class _MemoryAfterDoubt(StatePartition):
    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        finish = self.store.finish

        async def remember(
            batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
        ) -> None:
            rows[:] = outbox
            await finish(batch, outbox, marks, dead)

        before = self.row
        self.store.finish = remember  # type: ignore[method-assign]  # the planted bug
        try:
            return await super().serve(records)
        except ConnectionLost:
            if not rows:
                raise
            self.row = before
            return rows
        finally:
            self.store.finish = finish  # type: ignore[method-assign]  # back to the real one


class PublishFromMemoryAfterDoubt(Flaw):
    """No answer to COMMIT is taken for yes, and the batch is published from memory."""

    partition = _MemoryAfterDoubt


class _PublishingStore(MemoryPartitionStore):
    flaw: Flaw

    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        await super().finish(batch, outbox, marks, dead)
        for row in outbox:
            for record in row.records:
                self.flaw.world.kafka.append((row.topic, row.destination), record)


class PublishBeforeCommit(Flaw):
    """Records leave while the transaction of their batch is still open."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        store = _PublishingStore(database)
        store.flaw = self
        return store


class _EagerWatermark(StatePartition):
    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        rows = await super().serve(records)
        assert self.row is not None
        self.published_sequence = self.row.out_sequence
        return rows


class WatermarkBeforePublish(Flaw):
    """The watermark of what is published is raised before Kafka has acknowledged it."""

    partition = _EagerWatermark


class _NoRepublish(StatePartition):
    async def take_over(self, owner: str) -> list[OutboxRow]:
        await super().take_over(owner)
        return []


class NoRepublish(Flaw):
    """After a take-over only new batches are published, not what the last owner left in the outbox."""

    partition = _NoRepublish


class _NoMarks(StatePartition):
    def _fresh(self, taken: Sequence[Any]) -> tuple[list[Any], dict[tuple[str, str], int]]:
        return [message for waiting in taken for message in waiting.messages], {}


class NoMarks(Flaw):
    """A record that was published twice is applied twice: there are no high-water marks."""

    partition = _NoMarks


class _ForgetfulStore(MemoryPartitionStore):
    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        await super().finish(batch, outbox, {}, dead)


class MarksInMemoryOnly(Flaw):
    """High-water marks are not stored, they die with their process."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _ForgetfulStore(database)


class _HastyStore(MemoryPartitionStore):
    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        stored = self.database.table("mark")
        stored.update({(self.partition, topic, source): mark for (topic, source), mark in marks.items()})
        await super().finish(batch, outbox, {}, dead)


class MarksBeforeCommit(Flaw):
    """High-water marks are stored by a statement of their own, before the batch that they belong to is committed."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _HastyStore(database)


class _ArrivalOrder(StatePartition):
    def _take(self, records: int | None) -> list[Any]:
        came = {(waiting.record.topic, waiting.record.offset): index for index, waiting in enumerate(self._waiting)}
        return sorted(super()._take(records), key=lambda waiting: came[waiting.record.topic, waiting.record.offset])


class ArrivalOrder(Flaw):
    """The records of a batch are taken as they happened to come, an order that the batch row does not give back."""

    business = "allocator"
    partition = _ArrivalOrder


class _StopsAtTheDead(StatePartition):
    @staticmethod
    def _advanced(row: PartitionRow, taken: Sequence[Any]) -> dict[str, Position]:
        return StatePartition._advanced(row, [waiting for waiting in taken if waiting.dead is None])


class DeadLetterIsNotPassed(Flaw):
    """The offset is not moved past a record that was put aside."""

    business = "allocator"
    partition = _StopsAtTheDead


LOG_FLAWS: Sequence[type[Flaw]] = (
    PublishFromMemoryAfterDoubt,
    PublishBeforeCommit,
    WatermarkBeforePublish,
    NoRepublish,
    NoMarks,
    MarksInMemoryOnly,
    MarksBeforeCommit,
    ArrivalOrder,
    DeadLetterIsNotPassed,
)
