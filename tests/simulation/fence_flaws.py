"""Planted bugs of the fence: who may write to a state partition, and which partition a key belongs to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore, MemoryTransaction
from shared.partitions.model import OutboxRow, Position
from shared.partitions.partition import StatePartition
from tests.simulation.flaw import Flaw
from tests.simulation.kafka import Log


class _NoFenceStore(MemoryPartitionStore):
    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        row = self.database.table("partition")[self.partition]
        return await super().advance(row["epoch"], row["batch_no"], positions, published_sequence)


class NoFence(Flaw):
    """The partition row is advanced whoever holds it: neither epoch nor batch number are compared."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _NoFenceStore(database)


class _EpochIgnoredStore(MemoryPartitionStore):
    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        row = self.database.table("partition")[self.partition]
        return await super().advance(row["epoch"], batch_no, positions, published_sequence)


class ZombieMayWrite(Flaw):
    """A take-over does not shut the old owner out: the batch number is compared, the epoch is not."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _EpochIgnoredStore(database)


class _FenceCommittedAlone(MemoryPartitionStore):
    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        now = await super().advance(epoch, batch_no, positions, published_sequence)
        if self.through is self.connection:
            await self.commit()
            await self.begin()
        return now


class FenceOutsideTheTransaction(Flaw):
    """Fence and positions are committed by themselves, then the batch in a transaction of its own."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _FenceCommittedAlone(database)


async def _no_lock(self: MemoryDatabase, key: Any, transaction: MemoryTransaction) -> None:
    return


class FenceIsReadAndNotLocked(Flaw):
    """The partition row is read and compared without a lock, so two owners may both pass before either commits."""

    changes = ((MemoryDatabase, "lock", _no_lock),)


class _KeepsGoing(StatePartition):
    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        before = self.row
        try:
            return await super().serve(records)
        except ConnectionLost:
            self.row = before  # its records are gone from memory, and nobody claims again
            return []


class GoOnAfterDoubt(Flaw):
    """After a lost connection the next batch is made without claiming the partition again."""

    partition = _KeepsGoing


class PartitionCountChanges(Flaw):
    """Every topic gets one more partition, and processes that start later send by the new count."""

    def __init__(self) -> None:
        self._taken_over = 0

    def state_partition(self, *arguments: Any) -> StatePartition:
        partition, side, store, counts, *rest = arguments
        self._taken_over += 1
        if self._taken_over > len(self.world.group.partitions):
            counts = {topic: self._grown(topic, count) for topic, count in counts.items()}
        return StatePartition(partition, side, store, counts, *rest)

    def _grown(self, topic: str, count: int) -> int:
        self.world.kafka.logs.setdefault((topic, count), Log(topic, count))
        return count + 1


FENCE_FLAWS: Sequence[type[Flaw]] = (
    NoFence,
    ZombieMayWrite,
    FenceOutsideTheTransaction,
    FenceIsReadAndNotLocked,
    GoOnAfterDoubt,
    PartitionCountChanges,
)
