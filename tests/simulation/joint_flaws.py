"""Planted bugs of joint transactions: what each state partition of a process is promised of a batch that went together with others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from shared.partitions.joint import _COMMIT, JointBatchLost, JointTransaction, _Asked
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import OutboxRow, Position
from shared.partitions.partition import StatePartition
from tests.simulation.flaw import Flaw


class _OneFenceStore(MemoryPartitionStore):
    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        transaction = await self._locked(self.partition)
        is_first = "partition" not in transaction.staged
        transaction.staged.setdefault("partition", {})
        if not is_first:
            row = cast(Any, transaction.get("partition", self.partition))  # claimed long ago
            epoch, batch_no = row["epoch"], row["batch_no"]
        return await super().advance(epoch, batch_no, positions, published_sequence)


class OneFenceForAll(Flaw):
    """Of a joint transaction the first fence is compared, and all others are advanced with it."""

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        return _OneFenceStore(database)


class _TriesAgain(StatePartition):
    def _take(self, records: int | None) -> list[Any]:
        self._taken = super()._take(records)
        return self._taken

    async def serve(self, records: int | None = None) -> list[OutboxRow]:
        before = self.row
        try:
            return await super().serve(records)
        except JointBatchLost:
            self.row = before
            self._waiting.extendleft(reversed(self._taken))
            self._waiting_messages += sum(len(waiting.messages) for waiting in self._taken)
            return []


class LostJointBatchIsTriedAgain(Flaw):
    """Where another's part failed, the same records are decided once more, by the memory that the lost batch has left, without a claim."""

    partition = _TriesAgain


_run, _lose = JointTransaction._run, JointTransaction.lose


async def _answered_early(self: JointTransaction, what: Any, together: list[_Asked]) -> None:
    if what is _COMMIT:
        for asked in together:
            asked.answer.set_result(None)
        together = [_Asked(what, asked.rows) for asked in together]
    await _run(self, what, together)


class JointCommitIsNotAwaited(Flaw):
    """Once all have asked for the COMMIT of a joint transaction, they publish without waiting for its answer."""

    changes = ((JointTransaction, "_run", _answered_early),)


def _tell_those_who_ask_later(self: JointTransaction, reason: Exception | None = None) -> None:
    self._asked = []
    _lose(self, reason)


class WhoWaitsIsNotTold(Flaw):
    """That a joint transaction is lost is told to those who ask next: who waits for an answer of it waits for ever."""

    changes = ((JointTransaction, "lose", _tell_those_who_ask_later),)


JOINT_FLAWS: Sequence[type[Flaw]] = (
    OneFenceForAll,
    LostJointBatchIsTriedAgain,
    JointCommitIsNotAwaited,
    WhoWaitsIsNotTold,
)
