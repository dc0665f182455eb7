"""Planted bugs of the engine: the parts of the product with one rule left out. They prove that the checks bite."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, DeadLetter, OutboxRow, Position
from shared.partitions.partition import StatePartition
from tests.simulation.flaw import Flaw


class _NoFenceStore(MemoryPartitionStore):
    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        row = self.database.table("partition")[self.partition]
        return await super().advance(row["epoch"], row["batch_no"], positions, published_sequence)


class NoFence(Flaw):
    """The partition row is advanced whoever holds it."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _NoFenceStore(database)


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
    """No answer to COMMIT is taken for yes."""

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
    """Records leave while their batch is still open."""

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
    """The watermark is raised before Kafka has acknowledged."""

    partition = _EagerWatermark


class _NoMarks(StatePartition):
    def _fresh(self, taken: Sequence[Any]) -> tuple[list[Any], dict[tuple[str, str], int]]:
        return [message for waiting in taken for message in waiting.messages], {}


class NoMarks(Flaw):
    """Repeats are not dropped."""

    partition = _NoMarks


class _ForgetfulStore(MemoryPartitionStore):
    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        await super().finish(batch, outbox, {}, dead)


class MarksInMemoryOnly(Flaw):
    """High-water marks die with their process."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _ForgetfulStore(database)


class _KeepsGoing(StatePartition):
    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        before = self.row
        try:
            return await super().serve(records)
        except ConnectionLost:
            self.row = before  # its records are gone from memory, and nobody claims again
            return []


class GoOnAfterDoubt(Flaw):
    """After a lost connection the next batch is made without claiming again."""

    partition = _KeepsGoing


class _NoRepublish(StatePartition):
    async def take_over(self, owner: str) -> list[OutboxRow]:
        await super().take_over(owner)
        return []


class NoRepublish(Flaw):
    """After a take-over only new batches are published."""

    partition = _NoRepublish


class _ArrivalOrder(StatePartition):
    def _take(self, records: int | None) -> list[Any]:
        came = {(waiting.record.topic, waiting.record.offset): index for index, waiting in enumerate(self._waiting)}
        return sorted(super()._take(records), key=lambda waiting: came[waiting.record.topic, waiting.record.offset])


class ArrivalOrder(Flaw):
    """A batch's records stand as they came, which the batch row does not tell."""

    partition = _ArrivalOrder


ENGINE_FLAWS: tuple[type[Flaw], ...] = (
    NoFence,
    PublishFromMemoryAfterDoubt,
    PublishBeforeCommit,
    WatermarkBeforePublish,
    NoMarks,
    MarksInMemoryOnly,
    GoOnAfterDoubt,
    NoRepublish,
)
