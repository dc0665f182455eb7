"""The values that a state partition stores and passes around."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from shared.schemas.message import Value
from shared.schemas.wire import Record


class PartitionId(NamedTuple):
    """`side` is `stock` or `demand`; written `stock/3`."""

    side: str
    number: int

    def __str__(self) -> str:
        return f"{self.side}/{self.number}"


class InputRecord(Value, frozen=True):
    """One record as it was read, undecoded."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Position(Value, frozen=True):
    """Where reading of one input goes on, and the last record applied: read again and compared at takeover, because a topic that was
    deleted and made anew looks the same by name. `last_digest` is over key and value."""

    next_offset: int = 0
    last_offset: int = -1
    last_timestamp_ms: int = -1
    last_digest: str = ""


class PartitionRow(Value, frozen=True):
    """The one row of a state partition: its fence and its memory of how far it is."""

    partition: PartitionId
    incarnation: int
    epoch: int
    owner: str
    batch_no: int
    logical_time: datetime
    positions: Mapping[str, Position]
    out_sequence: int
    published_sequence: int

    @property
    def source(self) -> str:
        """The name under which this partition's records are numbered: `stock/3/1`, the last part the incarnation."""
        return f"{self.partition}/{self.incarnation}"


class Batch(Value, frozen=True):
    """What one batch did, for replay and for settling a lost answer to COMMIT by its own token."""

    batch_no: int
    epoch: int
    token: str
    logical_time: datetime
    offsets: Mapping[str, tuple[int, int]]
    first_sequence: int
    last_sequence: int
    rules_hash: str
    code_version: str


class OutboxRow(Value, frozen=True):
    """Everything that one batch says to one destination partition, encoded, with its range of sequence numbers."""

    batch_no: int
    topic: str
    destination: int
    first_sequence: int
    last_sequence: int
    records: tuple[Record, ...]


class DeadLetter(Value, frozen=True):
    """A record of others that could not be read or was refused, kept whole."""

    record: InputRecord
    reason: str
    field: str


class Send(Value, frozen=True):
    """A message that a decision sends. `key` decides the destination partition. `order` sorts the sends of one batch, so that they do
    not depend on what was cached: (index of the command, counter). `traceparent`: the trace that it belongs to; for public events only."""

    topic: str
    key: str
    message: Any
    traceparent: str | None = None
