"""What a state partition does between batches, so that nothing grows for ever: it notes what Kafka has acknowledged, and removes rows
that nobody needs any more.

Small steps, each a statement of its own that takes effect for the owner alone: often where nothing waits, now and then where there is no
rest. Ended demands and their tombstones are not removed here but by batches, because others have to be told: see the demand side.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from shared.partitions.model import PartitionId
from shared.partitions.partition import StatePartition
from shared.partitions.ports import FORGET_AT_ONCE
from shared.partitions.postgres import PostgresPartitionStore

logger = logging.getLogger("earmark.partition")

IDLE_SECONDS = 1.0
BUSY_SECONDS = 10.0
BUSY_ROWS = 5_000
HISTORY_SECONDS = 60.0


class Housekeeping:
    """Of one ownership of one state partition. `keep`: how long history is kept; `count`: told (table, rows) of what went."""

    def __init__(self, partition: PartitionId, keep: timedelta, count: Callable[[str, int], None]) -> None:
        self._partition, self._keep, self._count = partition, keep, count
        self._done_at = self._history_at = monotonic()
        self._noted = 0

    async def step(self, state: StatePartition, store: PostgresPartitionStore, *, idle: bool) -> None:
        """Between two batches: do a little of it, if it is time to."""
        if monotonic() - self._done_at < (IDLE_SECONDS if idle else BUSY_SECONDS):
            return
        assert state.row is not None, "between batches"
        if state.published_sequence > self._noted:
            noted, most = state.published_sequence, FORGET_AT_ONCE if idle else BUSY_ROWS
            await store.note_published(state.row.epoch, noted)
            went = await store.forget_published(most)
            self._count("outbox", went)
            self._noted = noted if went < most else self._noted
        if monotonic() >= self._history_at:
            await self._forget_history(state.row.epoch, store)
        self._done_at = monotonic()

    async def _forget_history(self, epoch: int, store: PostgresPartitionStore) -> None:
        batches = await store.forget_history(epoch, self._keep)
        letters = await store.forget_settled(epoch, self._keep)
        self._history_at = monotonic() + (HISTORY_SECONDS if max(batches, letters) < FORGET_AT_ONCE else 0)
        self._count("batch", batches)
        self._count("dead_letter", letters)
        if batches or letters:
            logger.info("%s: forgot %d batches and %d settled dead letters older than %s", self._partition, batches, letters, self._keep)
