"""A store in memory with the semantics of Postgres that the protocol rests on: for the simulation and for contract tests.

Read committed: a transaction reads what is committed and its own staged writes; nobody sees them before COMMIT. The partition row is
locked from the first write to the end of the transaction, as Postgres does; who wants it meanwhile waits. `pause` is awaited at every
seam, so that a seeded scheduler can put any other step, a crash or a takeover there; `on_commit` may lose the answer to COMMIT.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.partitions.model import Batch, DeadLetter, OutboxRow, PartitionId, PartitionRow, Position
from shared.partitions.ports import FORGET_AT_ONCE, FenceLost

GONE = object()
"""Stands for a deleted row among staged writes."""


class ConnectionLost(Exception):
    """The connection to the store broke. Drop everything in memory, connect and claim again."""


class Deadlock(ConnectionLost):
    """Two transactions waited for each other's rows, and the server has ended one of them."""


async def no_pause() -> None:
    """The default seam: nothing happens there."""


class MemoryTransaction:
    """Staged writes over the committed tables."""

    def __init__(self, database: "MemoryDatabase") -> None:
        self._database = database
        self.staged: dict[str, dict[Any, Any]] = {}

    def get(self, table: str, key: Any) -> Any | None:
        """The row as this transaction sees it, or None."""
        staged = self.staged.get(table, {})
        found = staged[key] if key in staged else self._database.table(table).get(key)
        return None if found is GONE else found

    def put(self, table: str, key: Any, value: Any) -> None:
        """Insert or replace."""
        self.staged.setdefault(table, {})[key] = value

    def delete(self, table: str, key: Any) -> None:
        """Remove; no error where there is none."""
        self.staged.setdefault(table, {})[key] = GONE

    def scan(self, table: str) -> Iterator[tuple[Any, Any]]:
        """Every row that this transaction sees, in no promised order."""
        staged = self.staged.get(table, {})
        for key, value in list(self._database.table(table).items()):
            if key not in staged:
                yield key, value
        for key, value in list(staged.items()):
            if value is not GONE:
                yield key, value

    def apply(self) -> None:
        """Make the staged writes the committed ones, all at once."""
        for table, rows in self.staged.items():
            committed = self._database.table(table)
            for key, value in rows.items():
                if value is GONE:
                    committed.pop(key, None)
                else:
                    committed[key] = value


class MemoryDatabase:
    """Committed tables, row locks and the database's clock."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        pause: Callable[[], Awaitable[None]] = no_pause,
        on_commit: Callable[[], str] = lambda: "answered",
    ) -> None:
        """`on_commit` says what becomes of a COMMIT: `answered`, `lost_before` it took effect, `lost_after`."""
        self.clock, self.pause, self.on_commit = clock, pause, on_commit
        self.on_applied: Callable[[Mapping[str, Mapping[Any, Any]]], None] = lambda _: None
        """Told the writes of every transaction that took effect, by table and key: for checkers."""
        self.tables: dict[str, dict[Any, Any]] = {}
        self.locks: dict[Any, MemoryTransaction] = {}
        self._wanted: dict[MemoryTransaction, Any] = {}

    def table(self, name: str) -> dict[Any, Any]:
        """The committed rows of a table."""
        return self.tables.setdefault(name, {})

    async def lock(self, key: Any, transaction: MemoryTransaction) -> None:
        """Wait until nobody else holds the row, then hold it. Raises Deadlock where whoever holds it waits for this transaction."""
        try:
            while self.locks.get(key, transaction) is not transaction:
                self._wanted[transaction] = key
                if self._waits_for_itself(transaction):
                    raise Deadlock
                await self.pause()
        finally:
            self._wanted.pop(transaction, None)
        self.locks[key] = transaction

    def _waits_for_itself(self, transaction: MemoryTransaction) -> bool:
        holder: MemoryTransaction | None = transaction
        while holder in self._wanted:
            holder = self.locks.get(self._wanted[holder])
            if holder is transaction:
                return True
        return False

    def unlock(self, transaction: MemoryTransaction) -> None:
        """End of transaction: its locks go."""
        self.locks = {key: owner for key, owner in self.locks.items() if owner is not transaction}


class Through(Protocol):
    """What the statements of a batch go through: a connection, or what stands for one that several state partitions share."""

    def current(self) -> MemoryTransaction: ...

    def open(self) -> MemoryTransaction: ...

    async def seam(self) -> None: ...

    async def locked(self, key: Any) -> MemoryTransaction: ...

    async def begin(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class MemoryConnection:
    """One connection, and at most one transaction on it. It has all locks and writes of everybody whose batches go through it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._transaction: MemoryTransaction | None = None
        self._ended = False

    def current(self) -> MemoryTransaction:
        """The open transaction; outside one, a reader of what is committed. Raises ConnectionLost after `end_session`."""
        if self._ended:
            raise ConnectionLost
        return self._transaction or MemoryTransaction(self._database)

    def open(self) -> MemoryTransaction:
        """The open transaction. Raises ConnectionLost where the server has ended it."""
        if self._transaction is None:
            raise ConnectionLost
        return self._transaction

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    def drop(self) -> None:
        """The client died or the connection broke: the server rolls back."""
        if self._transaction is not None:
            self._database.unlock(self._transaction)
            self._transaction = None

    def end_session(self) -> None:
        """The server ends it, as it does to a client that idles in a transaction: rolls back, and every further statement fails."""
        self.drop()
        self._ended = True

    async def seam(self) -> None:
        """A statement is on its way."""
        await self._database.pause()

    async def locked(self, key: Any) -> MemoryTransaction:
        """The open transaction, holding the row. A transaction that the server ends while it waits holds nothing."""
        transaction = self.open()
        await self._database.lock(key, transaction)
        if transaction is not self._transaction:
            self._database.unlock(transaction)
            raise ConnectionLost
        return transaction

    async def begin(self) -> None:
        """Open a transaction."""
        assert self._transaction is None, "one transaction at a time on one connection"
        await self._database.pause()
        if self._ended:
            raise ConnectionLost
        self._transaction = MemoryTransaction(self._database)

    async def commit(self) -> None:
        """All or nothing; raises ConnectionLost where the answer is lost, whether or not it took effect."""
        await self._database.pause()
        transaction = self.open()
        fate = self._database.on_commit()
        if fate != "lost_before":
            transaction.apply()
            self._database.on_applied(transaction.staged)
        self.drop()
        if fate != "answered":
            raise ConnectionLost
        await self._database.pause()

    async def rollback(self) -> None:
        """Nothing was written."""
        self.drop()


class MemoryPartitionStore:
    """`PartitionStore` over a `MemoryDatabase`, with a connection of its own. `through`: that one, or, for one batch, what stands for one
    that it shares with others."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.connection = MemoryConnection(database)
        self.through: Through = self.connection
        self.partition: PartitionId | None = None

    def alone(self) -> None:
        """The next statements go through its own connection again."""
        self.through = self.connection

    def current(self) -> MemoryTransaction:
        """The open transaction; outside one, a reader of what is committed. Raises ConnectionLost after `end_session`."""
        return self.through.current()

    async def seam(self) -> None:
        """Before a statement."""
        await self.through.seam()

    def _locked(self, partition: PartitionId | None) -> Awaitable[MemoryTransaction]:
        """The open transaction, holding the partition's row."""
        return self.through.locked(("partition", partition))

    async def claim(self, partition: PartitionId, owner: str) -> PartitionRow:
        """See `PartitionStore.claim`."""
        await self.begin()
        transaction = await self._locked(partition)
        row = transaction.get("partition", partition) or self._first(partition)
        row = row | {"epoch": row["epoch"] + 1, "owner": owner}
        transaction.put("partition", partition, row)
        await self.commit()
        self.partition = partition
        return PartitionRow(partition=partition, **row)

    def _first(self, partition: PartitionId) -> dict[str, Any]:
        return {
            "incarnation": 1,
            "epoch": 0,
            "owner": "",
            "batch_no": 0,
            "logical_time": self.database.clock(),
            "positions": {},
            "out_sequence": 0,
            "published_sequence": 0,
        }

    async def marks(self) -> dict[tuple[str, str], int]:
        """See `PartitionStore.marks`."""
        found = self.current().scan("mark")
        return {(topic, source): mark for (partition, topic, source), mark in found if partition == self.partition}

    async def begin(self) -> None:
        """Open a transaction."""
        await self.through.begin()

    async def commit(self) -> None:
        """All or nothing; an error leaves it open whether it took effect."""
        await self.through.commit()

    async def rollback(self) -> None:
        """See `PartitionStore.rollback`."""
        await self.through.rollback()

    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        """See `PartitionStore.advance`."""
        transaction = await self._locked(self.partition)
        row = transaction.get("partition", self.partition)
        if row is None or (row["epoch"], row["batch_no"]) != (epoch, batch_no):
            raise FenceLost(f"{self.partition}: expected epoch {epoch} and batch {batch_no}")
        now: datetime = max(self.database.clock(), row["logical_time"])
        row = row | {
            "batch_no": batch_no + 1,
            "logical_time": now,
            "positions": dict(positions),
            "published_sequence": max(published_sequence, row["published_sequence"]),
        }
        transaction.put("partition", self.partition, row)
        await self.seam()
        return now

    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        """See `PartitionStore.finish`."""
        await self.seam()
        transaction = self.through.open()
        row = transaction.get("partition", self.partition)
        assert row is not None, "advance comes first"
        transaction.put("partition", self.partition, row | {"out_sequence": batch.last_sequence})
        transaction.put("batch", (self.partition, batch.batch_no), batch)
        for one in outbox:
            transaction.put("outbox", (self.partition, one.batch_no, one.topic, one.destination), one)
        for (topic, source), mark in marks.items():
            key = self.partition, topic, source
            transaction.put("mark", key, max(mark, transaction.get("mark", key) or 0))
        for letter in dead:
            where = letter.record.topic, letter.record.partition, letter.record.offset
            if transaction.get("dead_letter", where) is None:
                transaction.put("dead_letter", where, letter)

    async def unpublished(self, after_sequence: int) -> list[OutboxRow]:
        """See `PartitionStore.unpublished`."""
        await self.seam()
        rows = [row for key, row in self.current().scan("outbox") if key[0] == self.partition and row.last_sequence > after_sequence]
        return sorted(rows, key=lambda row: row.first_sequence)

    async def committed(self, batch_no: int, token: str) -> bool:
        """See `PartitionStore.committed`."""
        batch = self.current().get("batch", (self.partition, batch_no))
        return batch is not None and batch.token == token

    async def note_published(self, epoch: int, sequence: int) -> None:
        """See `PostgresPartitionStore.note_published`."""
        await self.begin()
        transaction = await self._locked(self.partition)
        row = transaction.get("partition", self.partition)
        if row is not None and row["epoch"] == epoch and row["published_sequence"] < sequence:
            transaction.put("partition", self.partition, row | {"published_sequence": sequence})
        await self.commit()

    async def forget_published(self, most: int = FORGET_AT_ONCE) -> int:
        """See `PostgresPartitionStore.forget_published`."""
        await self.begin()
        transaction = self.through.open()
        row = transaction.get("partition", self.partition)
        assert row is not None, "claim comes first"
        found = [(one.first_sequence, key) for key, one in transaction.scan("outbox") if self._is_published(row, key, one)]
        for _, key in sorted(found)[:most]:
            transaction.delete("outbox", key)
        await self.commit()
        return min(len(found), most)

    def _is_published(self, row: Mapping[str, Any], key: Any, outbox: OutboxRow) -> bool:
        return bool(key[0] == self.partition and outbox.last_sequence <= row["published_sequence"])

    async def forget_history(self, epoch: int, keep: timedelta, most: int = FORGET_AT_ONCE) -> int:
        """See `PostgresPartitionStore.forget_history`."""
        await self.begin()
        transaction = await self._locked(self.partition)
        row = transaction.get("partition", self.partition)
        before = self.database.clock() - keep
        oldest = sorted((key[1], batch) for key, batch in transaction.scan("batch") if key[0] == self.partition)[:most]
        found = [number for number, batch in oldest if row is not None and row["epoch"] == epoch and _is_over(batch, row, before)]
        for number in found:
            transaction.delete("batch", (self.partition, number))
        await self.commit()
        return len(found)


def _is_over(batch: Batch, row: Mapping[str, Any], before: datetime) -> bool:
    is_newest = batch.batch_no == row["batch_no"]
    return not is_newest and batch.logical_time < before and batch.last_sequence <= row["published_sequence"]
