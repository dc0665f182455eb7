"""A demand partition in memory, one batch at a time, without an event loop: as `stock_partition` for the other side."""

from collections.abc import Sequence
from datetime import datetime

from services.allocator.core.policy import DemandSettings
from services.allocator.demand_side import DemandSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import PartitionId, Send
from shared.schemas.events import DemandEvent
from tests.unit.allocator.stock_partition import START, answer_of

PARTITION = PartitionId("demand", 0)


class DemandPartition:
    """`forgetful`: takes itself over before every batch, so that nothing is ever cached."""

    def __init__(self, settings: DemandSettings, *, forgetful: bool = False) -> None:
        self.now = START
        self.database = MemoryDatabase(lambda: self.now)
        self._transaction: MemoryTransaction | None = None
        self.side = DemandSide(MemoryDemandStorage(self._current), settings)
        self._forgetful = forgetful
        answer_of(self.side.resume(PARTITION))

    def _current(self) -> MemoryTransaction:
        return self._transaction or MemoryTransaction(self.database)

    def batch(self, messages: Sequence[DemandEvent], now: datetime) -> list[Send]:
        """One batch."""
        self.now = now
        if self._forgetful:
            answer_of(self.side.resume(PARTITION))
        self._transaction = MemoryTransaction(self.database)
        sends = answer_of(self.side.decide(messages, now))
        answer_of(self.side.save())
        self._transaction.apply()
        self._transaction = None
        return sends

    def batch_is_due(self) -> bool:
        """Whether a batch has to be made although no message comes."""
        due = self.side.next_deadline()
        return due is not None and due <= self.now
