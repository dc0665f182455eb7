"""What a replay must give again: the records that were committed or published then."""

from collections.abc import Mapping, Sequence

from shared.partitions.model import Batch, OutboxRow, PartitionId
from shared.partitions.partition import Limits
from shared.schemas.wire import Record

UNLIMITED = Limits(messages=10**9, backlog=10**9)
FIRST_INCARNATION = 1
Told = Mapping[tuple[str, int], tuple[str, int, Record]]
"""(source, sequence) to topic, destination and record."""


def difference(partition: PartitionId, batch: Batch, again: Sequence[OutboxRow], then: Told) -> str:
    """Where a batch comes out otherwise than it did; empty where it does not."""
    for row in again:
        for sequence, record in enumerate(row.records, row.first_sequence):
            now, known = (row.topic, row.destination, record), then.get((f"{partition}/{FIRST_INCARNATION}", sequence))
            if known != now:
                return f"{partition} batch {batch.batch_no} sequence {sequence}: then {known}, now {now}"
    last = again[-1].last_sequence if again else batch.first_sequence - 1
    if last != batch.last_sequence:
        return f"{partition} batch {batch.batch_no} ends at sequence {last}, it was {batch.last_sequence}"
    return ""
