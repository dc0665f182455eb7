"""The relay of an outbox: one lock holder per shard among all processes, which publishes all the shards that it holds together.

What many commands wrote to several shards goes out with one look, one publication and one deletion. With a task for each shard there were
more of all three: at 180 orders a second over HTTP p99 until the answer was told was 453 instead of 414 ms.

One connection holds the advisory locks and listens. Its `idle_session_timeout` frees the shards of a process that is frozen, since a
living one speaks every second; where it froze between the messages of one statement, Postgres would wait for ever, and another relay
ends that connection. A frozen relay that comes back may publish its last rows once more and late: readers keep versions.
"""

import asyncio
import logging
import random
import time
from collections import Counter
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
    shard: int
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
    _shards: range = range(0)
    _due: set[int] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
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
                self._look_at(shard)
            else:
                self._elsewhere.add(shard)
                self._tell.set()

    def _look_at(self, shard: int) -> None:
        self._due.add(shard)
        self._wake.set()

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
            # Along the primary key, whatever was planned while the table was empty.
            enable_seqscan="off",
            enable_bitmapscan="off",
            enable_hashjoin="off",
            enable_mergejoin="off",
        )
        try:
            await connection.add_listener(self.outbox.channel, self._woken)
            self._shards = await self._known_shards(connection)
            await _first_failure([self._serve(connection), self._beat(connection), self._tell_others(connection)])
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

    async def _known_shards(self, connection: asyncpg.Connection) -> range:
        """Every shard of the settings, and those that rows still carry from a time when there were more."""
        highest = await connection.fetchval(f"SELECT max(shard) FROM {self.outbox.schema}.outbox")
        return range(max(self.outbox.shards, (highest if highest is not None else -1) + 1))

    def _woken(self, _connection: Any, _pid: int, _channel: str, shard: Any) -> None:
        if shard.isdecimal() and int(shard) in self._shards:
            self._look_at(int(shard))

    async def _beat(self, connection: asyncpg.Connection) -> None:
        while True:
            sql = f"SELECT coalesce(sum(record_count), 0) FROM (SELECT record_count FROM {self.outbox.schema}.outbox LIMIT $1) AS waiting"
            async with self._sql:
                self.backlog_rows = await connection.fetchval(sql, self.max_rows)
                if len(self.held) < len(self._shards):
                    await connection.execute(_END_FROZEN, LOCKS, self._application, self.frozen_seconds)
            metrics.RELAY_BACKLOG.labels(service=self.outbox.schema).set(self.backlog_rows)
            await asyncio.sleep(POLL_SECONDS)

    async def _serve(self, connection: asyncpg.Connection) -> None:
        self._due = set(self._shards)
        while True:
            self._wake.clear()
            due, self._due = self._due, set()
            for shard in due - self.held:
                await self._take(connection, shard)
            if here := due & self.held:
                self._due |= await self._pass_on(connection, sorted(here))
            if self._due:
                continue
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._due = set(self._shards)

    async def _take(self, connection: asyncpg.Connection, shard: int) -> bool:
        sql = "SELECT pg_try_advisory_lock($1, hashtext($2))"
        async with self._sql:
            taken: bool = await connection.fetchval(sql, LOCKS, f"{self.outbox.schema}/{shard}")
        if taken:
            self.held.add(shard)
        return taken

    async def _pass_on(self, connection: asyncpg.Connection, shards: Sequence[int]) -> set[int]:
        """Publish one batch and delete it. Returns the shards that may have more."""
        rows, more = await self._visible(connection, shards)
        if rows:
            started = time.monotonic()
            await self.writer.publish(self._by_destination(rows))
            crash_point("relay_published")
            await self._delete(connection, rows)
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
        ids = [row.id for row in rows]
        return [OutboxRow(0, topic, number, min(ids), max(ids), tuple(records)) for (topic, number), records in found.items()]

    async def _visible(self, connection: asyncpg.Connection, shards: Sequence[int]) -> tuple[list[_Waiting], set[int]]:
        """The next rows to publish, as many of each shard, and the shards that have more, which a wake would not tell of."""
        schema, most = self.outbox.schema, max(1, BATCH_ROWS // len(shards))
        sql = f"""
SELECT o.shard, o.id, o.topic, o.headers::text, o.record_count, o.records
  FROM unnest($1::smallint[]) AS s (shard)
 CROSS JOIN LATERAL (SELECT * FROM {schema}.outbox AS w WHERE w.shard = s.shard ORDER BY w.id LIMIT $2) AS o
 ORDER BY o.shard, o.id
"""
        async with self._sql:
            found = await connection.fetch(sql, shards, most)
        rows: list[_Waiting] = []
        size = 0
        for row in found:
            if size > BATCH_BYTES:
                break
            records = records_of(schema, row["id"], row["headers"], row["record_count"], row["records"])
            rows.append(_Waiting(row["shard"], row["id"], row["topic"], records))
            size += sum(len(record.value) for record in records)
        counts = Counter(row["shard"] for row in found)
        return rows, {row["shard"] for row in found[len(rows) :]} | {shard for shard, count in counts.items() if count == most}

    async def _delete(self, connection: asyncpg.Connection, rows: Sequence[_Waiting]) -> None:
        sql = f"""
DELETE FROM {self.outbox.schema}.outbox AS o USING unnest($1::smallint[], $2::bigint[]) AS n (shard, id)
 WHERE o.shard = n.shard AND o.id = n.id
"""
        async with self._sql:
            await connection.execute(sql, [row.shard for row in rows], [row.id for row in rows])


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
