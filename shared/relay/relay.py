"""The relay: one task per shard of an outbox, one lock holder per shard among all processes.

One connection holds the advisory locks and listens. Its `idle_session_timeout` frees the shards of a process that is frozen, since a
living one speaks every second; where it froze between the messages of one statement, Postgres would wait for ever, and another relay
ends that connection. A frozen relay that comes back may publish its last rows once more and late: readers keep versions.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import metrics
from shared.database import Fault, classify, hot_connection
from shared.partitions.crash import crash_point
from shared.partitions.model import OutboxRow
from shared.partitions.ports import LogWriter
from shared.relay.outbox import WRITTEN, Outbox, records_of
from shared.schemas.wire import Record, partition_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FROZEN_SECONDS = 15.0
BATCH_ROWS = 200
BATCH_BYTES = 4 * 1024 * 1024
CALM_SECONDS = 30.0
"""A session that lasted this long was a good one: the next failure is a new one."""
LOCKS = 0x0E4B
_END_FROZEN = """
SELECT pg_terminate_backend(a.pid)
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objsubid = 2 AND a.datname = current_database() AND a.application_name = $2
   AND a.pid <> pg_backend_pid() AND a.state_change < clock_timestamp() - make_interval(secs => $3)
"""


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    topic: str
    records: Sequence[Record]


@dataclass
class Relay:
    """Publishes an outbox until stopped. `healthy`: Postgres and Kafka answered the last time they were needed. `backlog_rows` are
    the events that wait, counted up to `max_rows` or a little above, every second."""

    outbox: Outbox
    dsn: str
    writer: LogWriter
    partitions: Mapping[str, int]
    max_rows: int = 100_000
    frozen_seconds: float = FROZEN_SECONDS
    healthy: bool = True
    backlog_rows: int = 0
    held: set[int] = field(default_factory=set)
    _wakes: dict[int, asyncio.Event] = field(default_factory=dict)
    _elsewhere: set[int] = field(default_factory=set)
    _tell: asyncio.Event = field(default_factory=asyncio.Event)
    _sql: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def full(self) -> bool:
        """More events wait than may: take no new commands."""
        return self.backlog_rows >= self.max_rows

    def follow(self, pool: AsyncEngine) -> None:
        """Be woken whenever a connection that wrote to the outbox comes back to its pool: its transaction has ended then."""

        def returned(_: Any, record: Any) -> None:
            self.wake(record.info.pop(WRITTEN, ()))

        event.listen(pool.sync_engine, "checkin", returned)

    def wake(self, shards: Iterable[int]) -> None:
        """Look at these shards now: here, or where they are held."""
        for shard in shards:
            if shard in self.held:
                self._wakes[shard].set()
            else:
                self._elsewhere.add(shard)
                self._tell.set()

    @property
    def _application(self) -> str:
        """How its connection calls itself."""
        return f"{self.outbox.schema} relay"

    async def run(self) -> None:
        """Relay until cancelled; what was published and not yet deleted is published again by the next holder."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._session()
            except (KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                failures = failures + 1 if time.monotonic() - started < CALM_SECONDS else 1
                self._complain(error, failures)
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2**failures))  # noqa: S311  (jitter)

    def _complain(self, error: Exception, failures: int) -> None:
        self.healthy = False
        metrics.RELAY_FAILURES.labels(service=self.outbox.schema).inc()
        if failures == 1 or classify(error) is Fault.OTHER:
            log.warning("relay of %s: %s; nothing is lost, it tries again", self.outbox.schema, error)

    async def _session(self) -> None:
        """One connection's life: listen, hold locks, publish. Ends by an exception."""
        connection = await hot_connection(
            self.dsn,
            self._application,
            idle_session_timeout=str(int(self.frozen_seconds * 1000)),
            # A deletion that a crash of the server forgets is a row published twice, which readers ignore: wait for no flush.
            synchronous_commit="off",
        )
        try:
            await connection.add_listener(self.outbox.channel, self._woken)
            shards = await self._shards(connection)
            self._wakes = {shard: asyncio.Event() for shard in shards}
            work = [self._serve(connection, shard) for shard in shards] + [self._beat(connection), self._tell_others(connection)]
            await _first_failure(work)
        finally:
            self.held.clear()
            await _drop(connection)

    async def _tell_others(self, connection: asyncpg.Connection) -> None:
        """Pass on what was written here to shards that are held elsewhere; many commits become one notification."""
        while True:
            await self._tell.wait()
            self._tell.clear()
            shards, self._elsewhere = [str(shard) for shard in self._elsewhere - self.held], set()
            async with self._sql:
                await connection.execute("SELECT pg_notify($1, shard) FROM unnest($2::text[]) AS shard", self.outbox.channel, shards)

    async def _shards(self, connection: asyncpg.Connection) -> range:
        """Every shard of the settings, and those that rows still carry from a time when there were more."""
        highest = await connection.fetchval(f"SELECT max(shard) FROM {self.outbox.schema}.outbox")
        return range(max(self.outbox.shards, (highest if highest is not None else -1) + 1))

    def _woken(self, _connection: Any, _pid: int, _channel: str, shard: Any) -> None:
        if shard.isdecimal() and (wake := self._wakes.get(int(shard))):
            wake.set()

    async def _beat(self, connection: asyncpg.Connection) -> None:
        while True:
            sql = f"SELECT coalesce(sum(record_count), 0) FROM (SELECT record_count FROM {self.outbox.schema}.outbox LIMIT $1) AS waiting"
            async with self._sql:
                self.backlog_rows = await connection.fetchval(sql, self.max_rows)
                if len(self.held) < len(self._wakes):
                    await connection.execute(_END_FROZEN, LOCKS, self._application, self.frozen_seconds)
            metrics.RELAY_BACKLOG.labels(service=self.outbox.schema).set(self.backlog_rows)
            await asyncio.sleep(POLL_SECONDS)

    async def _serve(self, connection: asyncpg.Connection, shard: int) -> None:
        wake = self._wakes[shard]
        while True:
            wake.clear()
            if shard in self.held or await self._take(connection, shard):
                while await self._pass_on(connection, shard):
                    pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await wake.wait()

    async def _take(self, connection: asyncpg.Connection, shard: int) -> bool:
        sql = "SELECT pg_try_advisory_lock($1, hashtext($2))"
        async with self._sql:
            taken: bool = await connection.fetchval(sql, LOCKS, f"{self.outbox.schema}/{shard}")
        if taken:
            self.held.add(shard)
        return taken

    async def _pass_on(self, connection: asyncpg.Connection, shard: int) -> bool:
        """Publish one batch and delete it. True when there may be more."""
        rows, more = await self._visible(connection, shard)
        if rows:
            started = time.monotonic()
            await self.writer.publish(self._by_destination(rows))
            crash_point("relay_published")
            await self._delete(connection, shard, [row.id for row in rows])
            metrics.RELAY_PUBLISHED.labels(service=self.outbox.schema).inc(sum(len(row.records) for row in rows))
            metrics.RELAY_BATCH_SECONDS.labels(service=self.outbox.schema).observe(time.monotonic() - started)
        self.healthy = True
        return more

    def _by_destination(self, rows: Sequence[_Waiting]) -> list[OutboxRow]:
        """Records of one destination stay in order, so records of one entity do: it has one key."""
        found: dict[tuple[str, int], list[Record]] = {}
        for row in rows:
            count = self.partitions[row.topic]
            for record in row.records:
                found.setdefault((row.topic, partition_of(record.key, count)), []).append(record)
        first, last = rows[0].id, rows[-1].id
        return [OutboxRow(0, topic, number, first, last, tuple(records)) for (topic, number), records in found.items()]

    async def _visible(self, connection: asyncpg.Connection, shard: int) -> tuple[list[_Waiting], bool]:
        """The next rows to publish, and whether there are more that a wake would not tell of."""
        schema = self.outbox.schema
        sql = f"SELECT id, topic, headers::text, record_count, records FROM {schema}.outbox WHERE shard = $1 ORDER BY id LIMIT $2"
        async with self._sql:
            found = await connection.fetch(sql, shard, BATCH_ROWS)
        rows: list[_Waiting] = []
        size = 0
        for row in found:
            if size > BATCH_BYTES:
                break
            records = records_of(schema, row["id"], row["headers"], row["record_count"], row["records"])
            rows.append(_Waiting(row["id"], row["topic"], records))
            size += sum(len(record.value) for record in records)
        return rows, len(rows) < len(found) or len(found) == BATCH_ROWS

    async def _delete(self, connection: asyncpg.Connection, shard: int, ids: list[int]) -> None:
        async with self._sql:
            await connection.execute(f"DELETE FROM {self.outbox.schema}.outbox WHERE shard = $1 AND id = ANY($2)", shard, ids)


async def _first_failure(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all, raise what the first raises, leave none behind. Not a task group: in Python 3.11 one that fails leaves its parent marked
    as cancelled, and one that fails while its parent is being cancelled swallows the cancellation."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    raise next((error for error in ended if isinstance(error, Exception)), asyncio.CancelledError())


async def _drop(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2.0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError):
        connection.terminate()
