"""A stock partition in memory, one batch at a time, without an event loop: the storage in memory never waits."""

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from services.allocator.stock_side import StockSettings, StockSide
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import PartitionId, Send
from shared.schemas.commands import StockCommand

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARTITION = PartitionId("stock", 0)
Answer = TypeVar("Answer")


def answer_of(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    raise AssertionError("it waited")


class StockPartition:
    """`forgetful`: takes itself over before every batch, so that nothing is ever cached."""

    def __init__(self, settings: StockSettings | None = None, *, forgetful: bool = False) -> None:
        self.now = START
        self.database = MemoryDatabase(lambda: self.now)
        self._transaction: MemoryTransaction | None = None
        self.side = StockSide(MemoryStockStorage(self._current), settings or StockSettings(level_interval_ms=0))
        self._forgetful = forgetful
        self.take_over()

    def _current(self) -> MemoryTransaction:
        return self._transaction or MemoryTransaction(self.database)

    def take_over(self) -> None:
        """Another process goes on from what is stored."""
        answer_of(self.side.resume(PARTITION))

    def batch(self, commands: Sequence[StockCommand] = (), seconds: float = 1) -> list[Send]:
        """One batch, so many seconds after the last."""
        self.now += timedelta(seconds=seconds)
        if self._forgetful:
            self.take_over()
        self._transaction = MemoryTransaction(self.database)
        sends = answer_of(self.side.decide(commands, self.now))
        answer_of(self.side.save())
        self._transaction.apply()
        self._transaction = None
        return sends

    def batch_is_due(self) -> bool:
        """Whether a batch has to be made although no command comes."""
        due = self.side.next_deadline()
        return due is not None and due <= self.now

    def rows(self, table: str) -> list[Any]:
        """The committed rows of a table."""
        return list(self.database.table(table).values())
