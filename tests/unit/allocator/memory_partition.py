"""A state partition of either side in memory, one batch at a time, without an event loop: the storage in memory never waits."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import PartitionId, Send
from shared.partitions.ports import Side

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
Answer = TypeVar("Answer")


def answer_of(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    raise AssertionError("it waited")


class MemoryPartition:
    """`side` makes it over what is committed, or over the transaction of the batch. `forgetful`: takes itself over before every batch, so
    that nothing is ever cached. Whoever decides a batch sets `now` before."""

    def __init__(self, name: str, side: Callable[[Callable[[], MemoryTransaction]], Side], *, forgetful: bool) -> None:
        self.now = START
        self.database = MemoryDatabase(lambda: self.now)
        self._transaction: MemoryTransaction | None = None
        self.side: Any = side(self._current)
        self.id, self._forgetful = PartitionId(name, 0), forgetful
        self.take_over()

    def _current(self) -> MemoryTransaction:
        return self._transaction or MemoryTransaction(self.database)

    def take_over(self) -> None:
        """Another process goes on from what is stored."""
        answer_of(self.side.resume(self.id))

    def decide(self, messages: Sequence[Any]) -> list[Send]:
        """One batch."""
        if self._forgetful:
            self.take_over()
        self._transaction = MemoryTransaction(self.database)
        sends: list[Send] = answer_of(self.side.decide(messages, self.now))
        answer_of(self.side.save())
        self._transaction.apply()
        self._transaction = None
        return sends

    def batch_is_due(self) -> bool:
        """Whether a batch has to be made although no message comes."""
        due = self.side.next_deadline()
        return due is not None and due <= self.now

    def rows(self, table: str) -> list[Any]:
        """The committed rows of a table."""
        return list(self.database.table(table).values())
