"""`PartitionStore` on Postgres: one dedicated asyncpg connection per state partition, no pool, no ORM. Schema `allocator`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from msgspec import structs

from shared.database import older_code_refused
from shared.partitions.batch_sql import FENCE, FINISH, Fence, Finish
from shared.partitions.framing import frame, unframe
from shared.partitions.link import Link
from shared.partitions.model import Batch, DeadLetter, OutboxRow, PartitionId, PartitionRow, Position
from shared.partitions.ports import FORGET_AT_ONCE, FenceLost

_CLAIM = """
INSERT INTO allocator.state_partition AS p (side, number, epoch, owner, owner_backend) VALUES ($1, $2, 1, $3, pg_backend_pid())
ON CONFLICT (side, number) DO UPDATE
   SET epoch = p.epoch + 1, owner = excluded.owner, owner_backend = excluded.owner_backend, claimed_at = clock_timestamp()
RETURNING incarnation, epoch, owner, batch_no, logical_time, positions, out_sequence, published_sequence
"""
_END_OWNER = """
SELECT pg_terminate_backend(a.pid, 2000)
  FROM allocator.state_partition p
  JOIN pg_stat_activity a ON a.backend_xid = p.xmax OR (a.pid = p.owner_backend AND a.backend_start <= p.claimed_at)
 WHERE p.side = $1 AND p.number = $2 AND a.datname = current_database() AND a.pid <> pg_backend_pid()
"""
"""Whoever holds the row, by the transaction that has changed it, and whoever claimed it last. Its process may have been frozen inside a
batch. Postgres does not give up on that where the client stopped between the messages of one statement (asyncpg flushes after Parse):
neither statement_timeout nor idle_in_transaction_session_timeout ends it."""
_DEAD = """
INSERT INTO allocator.dead_letter (topic, partition, record_offset, written_at, key, value, headers, field, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
"""
_UNPUBLISHED = """
SELECT batch_no, topic, destination, first_sequence, last_sequence, records FROM allocator.outbox
 WHERE side = $1 AND number = $2 AND last_sequence > $3 ORDER BY first_sequence
"""
_NOTE = """
UPDATE allocator.state_partition SET published_sequence = $4 WHERE side = $1 AND number = $2 AND epoch = $3 AND published_sequence < $4
"""
_PUBLISHED = """
DELETE FROM allocator.outbox
 WHERE side = $1 AND number = $2 AND first_sequence IN (
       SELECT o.first_sequence FROM allocator.outbox o JOIN allocator.state_partition p USING (side, number)
        WHERE o.side = $1 AND o.number = $2 AND o.last_sequence <= p.published_sequence ORDER BY o.first_sequence LIMIT $3)
"""
_HISTORY = """
DELETE FROM allocator.batch b
 USING allocator.state_partition p,
       (SELECT batch_no FROM allocator.batch WHERE side = $1 AND number = $2 ORDER BY batch_no LIMIT $5) AS oldest
 WHERE p.side = $1 AND p.number = $2 AND p.epoch = $3
   AND b.side = $1 AND b.number = $2 AND b.batch_no = oldest.batch_no
   AND b.batch_no < p.batch_no AND b.logical_time < clock_timestamp() - $4::interval AND b.last_sequence <= p.published_sequence
"""
_SETTLED = """
DELETE FROM allocator.dead_letter
 WHERE (topic, partition, record_offset) IN (
       SELECT d.topic, d.partition, d.record_offset
         FROM allocator.state_partition p JOIN allocator.dead_letter d ON d.partition = p.number AND p.positions ? d.topic
        WHERE p.side = $1 AND p.number = $2 AND p.epoch = $3 AND d.settled_at < clock_timestamp() - $4::interval LIMIT $5)
"""


class PostgresPartitionStore:
    """See `shared.partitions.ports.PartitionStore`. Not safe for two tasks at once: one state partition, one connection, one task."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection, self.link = connection, Link(connection)
        self._partition = PartitionId("", -1)

    async def claim(self, partition: PartitionId, owner: str) -> PartitionRow:
        """See the port. Waits at most the connection's lock_timeout for a batch that the old owner has open, then ends that connection.
        Raises CodeTooOld."""
        try:
            found = await self._claimed(partition, owner)
        except asyncpg.LockNotAvailableError:
            await self.connection.execute(_END_OWNER, *partition)
            found = await self._claimed(partition, owner)
        assert found is not None
        self._partition = partition
        fields = dict(found) | {"positions": {topic: Position(**one) for topic, one in json.loads(found["positions"]).items()}}
        return PartitionRow(partition=partition, **fields)

    async def _claimed(self, partition: PartitionId, owner: str) -> asyncpg.Record | None:
        with older_code_refused():
            return await self.connection.fetchrow(_CLAIM, *partition, owner)

    async def marks(self) -> dict[tuple[str, str], int]:
        """See the port."""
        query = "SELECT topic, source, sequence FROM allocator.high_water_mark WHERE side = $1 AND number = $2"
        return {(row["topic"], row["source"]): row["sequence"] for row in await self.connection.fetch(query, *self._partition)}

    async def sources(self) -> dict[PartitionId, tuple[int, int]]:
        """Incarnation and last number used of every state partition, not of this one only."""
        rows = await self.connection.fetch("SELECT side, number, incarnation, out_sequence FROM allocator.state_partition")
        return {PartitionId(row["side"], row["number"]): (row["incarnation"], row["out_sequence"]) for row in rows}

    async def begin(self) -> None:
        """See the port."""
        await self.link.through.begin()

    async def commit(self) -> None:
        """See the port. An error leaves it open whether it took effect: claim again and read."""
        await self.link.through.commit()

    async def rollback(self) -> None:
        """See the port."""
        await self.link.through.rollback()

    async def advance(self, epoch: int, batch_no: int, positions: Mapping[str, Position], published_sequence: int) -> datetime:
        """See the port."""
        stored = json.dumps({topic: structs.asdict(position) for topic, position in positions.items()})
        passed = await self.link.through.fetch(FENCE, [Fence(*self._partition, epoch, batch_no, stored, published_sequence)])
        if not passed:
            raise FenceLost(f"{self._partition}: expected epoch {epoch} and batch {batch_no}")
        now: datetime = passed[0]["logical_time"]
        return now.astimezone(UTC)

    async def finish(
        self, batch: Batch, outbox: Sequence[OutboxRow], marks: Mapping[tuple[str, str], int], dead: Sequence[DeadLetter]
    ) -> None:
        """See the port. One statement, and one more where there are dead letters."""
        told = [(row.topic, row.destination, row.first_sequence, row.last_sequence, frame(row.records)) for row in outbox]
        read = [(topic, source, sequence) for (topic, source), sequence in marks.items()]
        await self.link.through.write(FINISH, [Finish(self._partition, batch, told, read)])
        if dead:
            await self.link.through.serially(lambda connection: connection.executemany(_DEAD, list(map(_dead_row, dead))))

    async def unpublished(self, after_sequence: int) -> list[OutboxRow]:
        """See the port."""
        rows = await self.connection.fetch(_UNPUBLISHED, *self._partition, after_sequence)
        return [_outbox_row(row) for row in rows]

    async def committed(self, batch_no: int, token: str) -> bool:
        """See the port."""
        query = "SELECT token = $4 FROM allocator.batch WHERE side = $1 AND number = $2 AND batch_no = $3"
        return bool(await self.connection.fetchval(query, *self._partition, batch_no, token))

    async def note_published(self, epoch: int, sequence: int) -> None:
        """Housekeeping, outside a batch: what came of the last batch before a rest, so that a takeover does not publish it again. Nothing
        where the partition has been taken over since."""
        await self.connection.execute(_NOTE, *self._partition, epoch, sequence)

    async def forget_published(self, most: int = FORGET_AT_ONCE) -> int:
        """Housekeeping, outside a batch: outbox rows at or below the stored watermark are of no more use. Returns how many went."""
        return _count(await self.connection.execute(_PUBLISHED, *self._partition, most))

    async def forget_history(self, epoch: int, keep: timedelta, most: int = FORGET_AT_ONCE) -> int:
        """Housekeeping, outside a batch, by the owner alone: the oldest batch rows go when their log is gone, too. Never the newest one,
        which settles a doubt, nor one whose outputs are not published. Returns how many went."""
        return _count(await self.connection.execute(_HISTORY, *self._partition, epoch, keep, most))

    async def forget_settled(self, epoch: int, keep: timedelta, most: int = FORGET_AT_ONCE) -> int:
        """Housekeeping, outside a batch, by the owner alone: dead letters of its inputs that people settled so long ago. Those that
        wait for somebody stay. Returns how many went."""
        return _count(await self.connection.execute(_SETTLED, *self._partition, epoch, keep, most))


def _count(done: str) -> int:
    return int(done.removeprefix("DELETE "))


def _outbox_row(row: asyncpg.Record) -> OutboxRow:
    first, last = row["first_sequence"], row["last_sequence"]
    return OutboxRow(row["batch_no"], row["topic"], row["destination"], first, last, unframe(row["records"]))


def _dead_row(letter: DeadLetter) -> tuple[Any, ...]:
    record = letter.record
    headers = json.dumps([[name, (value or b"").hex()] for name, value in record.headers])
    written_at = datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC)
    reason = letter.reason.replace("\x00", "\\0")
    field = letter.field.replace("\x00", "\\0")
    return (record.topic, record.partition, record.offset, written_at, record.key, record.value, headers, field, reason)
