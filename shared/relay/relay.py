"""The relay: one task per shard of an outbox, one lock holder per shard among all processes.

One connection holds the advisory locks and listens. Its `idle_session_timeout` frees the shards of a process that is frozen, since a
living one speaks every second. A frozen relay that comes back may publish its last rows once more and late: readers keep versions.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError

from shared import metrics
from shared.database import Fault, classify, hot_connection
from shared.partitions.crash import crash_point
from shared.partitions.model import OutboxRow
from shared.partitions.ports import LogWriter
from shared.relay.outbox import Outbox, headers_from
from shared.schemas.wire import Record, partition_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FROZEN_SECONDS = 15.0
BATCH_ROWS = 500
BATCH_BYTES = 4 * 1024 * 1024
CALM_SECONDS = 30.0
"""A session that lasted this long was a good one: the next failure is a new one."""
_LOCKS = 0x0E4B


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    topic: str
    record: Record


@dataclass
class Relay:
    """Publishes an outbox until stopped. `healthy`: Postgres and Kafka answered the last time they were needed. `backlog_rows` is
    counted up to `max_rows`, every few seconds."""

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
    _sql: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def full(self) -> bool:
        """More rows wait than may: take no new commands."""
        return self.backlog_rows >= self.max_rows

    async def run(self) -> None:
        """Relay until cancelled; what was published and not yet deleted is published again by the next holder."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._session()
            except (KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from error  # a task group that fails while it is cancelled forgets the cancel
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
        connection = await hot_connection(self.dsn, f"{self.outbox.schema} relay", idle_session_timeout=str(int(self.frozen_seconds * 1000)))
        try:
            await connection.add_listener(self.outbox.channel, self._woken)
            shards = await self._shards(connection)
            self._wakes = {shard: asyncio.Event() for shard in shards}
            async with asyncio.TaskGroup() as tasks:
                for shard in shards:
                    tasks.create_task(self._serve(connection, shard), name=f"relay {self.outbox.schema}/{shard}")
                tasks.create_task(self._beat(connection), name=f"relay {self.outbox.schema} heartbeat")
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self.held.clear()
            await _drop(connection)

    async def _shards(self, connection: asyncpg.Connection) -> range:
        """Every shard of the settings, and those that rows still carry from a time when there were more."""
        highest = await connection.fetchval(f"SELECT max(shard) FROM {self.outbox.schema}.outbox")
        return range(max(self.outbox.shards, (highest if highest is not None else -1) + 1))

    def _woken(self, _connection: Any, _pid: int, _channel: str, shard: Any) -> None:
        if shard.isdecimal() and (wake := self._wakes.get(int(shard))):
            wake.set()

    async def _beat(self, connection: asyncpg.Connection) -> None:
        while True:
            sql = f"SELECT count(*) FROM (SELECT 1 FROM {self.outbox.schema}.outbox LIMIT $1) AS waiting"
            async with self._sql:
                self.backlog_rows = await connection.fetchval(sql, self.max_rows)
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
            taken: bool = await connection.fetchval(sql, _LOCKS, f"{self.outbox.schema}/{shard}")
        if taken:
            self.held.add(shard)
        return taken

    async def _pass_on(self, connection: asyncpg.Connection, shard: int) -> bool:
        """Publish one batch and delete it. True when there may be more."""
        rows = await self._visible(connection, shard)
        if rows:
            started = time.monotonic()
            await self.writer.publish(self._by_destination(rows))
            crash_point("relay_published")
            await self._delete(connection, [row.id for row in rows])
            metrics.RELAY_PUBLISHED.labels(service=self.outbox.schema).inc(len(rows))
            metrics.RELAY_BATCH_SECONDS.labels(service=self.outbox.schema).observe(time.monotonic() - started)
        self.healthy = True
        return bool(rows)

    def _by_destination(self, rows: Sequence[_Waiting]) -> list[OutboxRow]:
        """Rows of one destination stay in order, so rows of one entity do: it has one key."""
        found: dict[tuple[str, int], list[_Waiting]] = {}
        for row in rows:
            found.setdefault((row.topic, partition_of(row.record.key, self.partitions[row.topic])), []).append(row)
        return [
            OutboxRow(0, topic, number, waiting[0].id, waiting[-1].id, tuple(row.record for row in waiting))
            for (topic, number), waiting in found.items()
        ]

    async def _visible(self, connection: asyncpg.Connection, shard: int) -> list[_Waiting]:
        sql = f"SELECT id, topic, key, value, headers::text FROM {self.outbox.schema}.outbox WHERE shard = $1 ORDER BY id LIMIT $2"
        async with self._sql:
            found = await connection.fetch(sql, shard, BATCH_ROWS)
        rows: list[_Waiting] = []
        size = 0
        for row in found:
            size += len(row["value"])
            if rows and size > BATCH_BYTES:
                break
            rows.append(_Waiting(row["id"], row["topic"], Record(row["key"], row["value"], headers_from(row["headers"]))))
        return rows

    async def _delete(self, connection: asyncpg.Connection, ids: list[int]) -> None:
        async with self._sql:
            await connection.execute(f"DELETE FROM {self.outbox.schema}.outbox WHERE id = ANY($1)", ids)


async def _drop(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2.0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()
