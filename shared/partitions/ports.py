"""What a state partition needs of the world: a store, a side (the business), a log to write to. Postgres, Kafka and the simulation
implement them; one contract suite runs on every implementation."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from shared.partitions.model import Batch, DeadLetter, InputRecord, OutboxRow, PartitionId, PartitionRow, Position, Send

FORGET_AT_ONCE = 1_000
"""Rows that one step of retention removes at most."""


class FenceLost(Exception):
    """Another process owns this state partition now. Nothing was written; everything in memory must go."""


class WasKnown(Exception):
    """What was taken for new without a look is stored already. Nothing was written; claim again, and look."""


class PartitionStore(Protocol):
    """The generic rows of one state partition, over one dedicated connection. `begin`, `commit`, `rollback` bracket every batch."""

    async def claim(self, partition: PartitionId, owner: str) -> PartitionRow:
        """Take the partition over: raise its epoch, in a transaction of its own. Makes the row at the first start."""

    async def marks(self) -> dict[tuple[str, str], int]:
        """High-water marks: (topic, source) to the highest sequence applied."""

    async def begin(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None:
        """Never raises: a connection that cannot roll back is dropped."""

    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        """The fence, first statement of every batch: compare and set on (epoch, batch_no), raise batch_no by one, store the positions.
        Returns the batch's logical time: the later of the database's clock and the last batch's. Raises FenceLost."""

    async def finish(
        self,
        batch: Batch,
        outbox: Sequence[OutboxRow],
        marks: Mapping[tuple[str, str], int],
        dead: Sequence[DeadLetter],
    ) -> None:
        """Store the batch row, the outbox rows, raised high-water marks, dead letters, and out_sequence in the partition row."""

    async def unpublished(self, after_sequence: int) -> list[OutboxRow]:
        """Outbox rows whose last sequence is above, in order of (batch_no, first_sequence)."""

    async def committed(self, batch_no: int, token: str) -> bool:
        """After a lost answer to COMMIT: whether that very batch is stored."""


class Side(Protocol):
    """The business of one kind of state partition. Holds cached state of one partition between batches."""

    @property
    def name(self) -> str:
        """`stock` or `demand`."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics it reads, its own partition number of each."""

    @property
    def rules_hash(self) -> str:
        """A fingerprint of the policy and the limits that decide, kept with every batch."""

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        """The messages of one record. Raises BadRecord."""

    async def resume(self, partition: PartitionId) -> None:
        """After a claim: forget all cached state, load the deadlines."""

    def next_deadline(self) -> datetime | None:
        """When a batch must be made although no record comes."""

    async def decide(self, messages: Sequence[Any], now: datetime) -> list[Send]:
        """Inside the transaction, after the fence: load what is not cached, fold, and keep the changes for `save`. Deterministic: the
        sends depend on the stored state, the messages and `now` only, never on what happened to be cached."""

    async def save(self) -> None:
        """Write the changes of the last `decide`, in bulk."""


class LogWriter(Protocol):
    """Where outbox rows go. Returns when every record is acknowledged."""

    async def publish(self, rows: Sequence[OutboxRow]) -> None: ...
