"""Looks at everything, every few seconds, with few and cheap questions."""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import asyncpg
from aiokafka import TopicPartition

from services.console.settled import INPUTS, READERS
from shared.consumer import Consumer, watch
from shared.database import hot_connection
from shared.kafka import admin, consumer_settings
from tests.benchmarks.measuring import cpu_seconds, own_memory_bytes
from tests.benchmarks.stand import Stand
from tests.soak.rules import KEPT, dead_share
from tests.soak.traffic import Traffic

_TABLES = """
SELECT concat(schemaname, '.', relname) AS name, pg_table_size(relid) AS bytes, pg_indexes_size(relid) AS index_bytes, n_dead_tup AS dead,
       n_live_tup AS live
  FROM pg_stat_user_tables WHERE schemaname IN ('allocator', 'orders', 'inventory')
"""
_COUNTS = """
SELECT (SELECT count(*) FROM orders.outbox) AS "outbox/orders", (SELECT count(*) FROM inventory.outbox) AS "outbox/inventory",
       (SELECT count(*) FROM allocator.outbox) AS "outbox/allocator, published too",
       (SELECT coalesce(sum(out_sequence - published_sequence), 0) FROM allocator.state_partition) AS "outbox/allocator, to be published",
       (SELECT coalesce(sum(waiting_count), 0) FROM allocator.sku_queue) AS "queue/waiting lines",
       (SELECT count(*) FROM allocator.demand WHERE closed_at IS NOT NULL) AS "ended/demands on file",
       (SELECT coalesce(extract(epoch FROM now() - min(closed_at)), 0) FROM allocator.demand WHERE closed_at IS NOT NULL)
           AS "ended/seconds since the oldest ended",
       (SELECT coalesce(extract(epoch FROM now() - min(logical_time)), 0) FROM allocator.batch) AS "ended/seconds since the oldest batch",
       (SELECT count(*) FROM pg_ls_waldir()) * 16 * 1024 * 1024 AS "disk/write-ahead log",
       pg_database_size(current_database()) AS "disk/database"
"""


class Sampler:
    """`processes`: their names and pids. Use it as an async context manager."""

    def __init__(self, here: Stand, traffic: Traffic, processes: Mapping[str, int], kafka_folder: Path | None) -> None:
        self._here, self._traffic, self._processes, self._kafka_folder = here, traffic, processes, kafka_folder
        self.series: dict[str, list[tuple[float, float]]] = {}
        self._began = self._last_at = time.monotonic()
        self._exits = AsyncExitStack()
        self._cpu = {name: cpu_seconds([pid]) for name, pid in processes.items()}
        self._ended = self._made = 0

    async def __aenter__(self) -> Self:
        settings = self._here.settings
        self._postgres: asyncpg.Connection = await hot_connection(settings.dsn, "soak")
        self._exits.push_async_callback(self._postgres.close)
        self._admin: Any = await self._exits.enter_async_context(admin(settings.bootstrap))
        self._consumer = Consumer(**consumer_settings(settings.bootstrap))
        await self._consumer.start()
        self._exits.push_async_callback(self._consumer.stop)
        topics = {*INPUTS, *(one for some in READERS.values() for one in some)}
        watch(self._consumer, {TopicPartition(topic.name, number) for topic in topics for number in range(self._here.partitions)})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def sample(self) -> dict[str, float]:
        """Everything as it is now, also kept in `series` under the seconds since the start."""
        now = time.monotonic()
        found = self._of_processes(now) | self._of_traffic(now) | await self._of_postgres() | await self._of_kafka()
        self._last_at = now
        for name, value in found.items():
            self.series.setdefault(name, []).append((now - self._began, value))
        return found

    def _of_processes(self, now: float) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, pid in self._processes.items():
            used = cpu_seconds([pid])
            found[f"cpu/{name}"] = (used - self._cpu[name]) / (now - self._last_at)
            found[f"memory/{name}"] = own_memory_bytes(pid)
            self._cpu[name] = used
        return found

    def _of_traffic(self, now: float) -> dict[str, float]:
        traffic, seconds = self._traffic, now - self._last_at
        made, ended = traffic.made - self._made, traffic.ended - self._ended
        self._made, self._ended = traffic.made, traffic.ended
        p50, p99 = traffic.take_latencies()
        found = {"orders/made": made / seconds, "orders/ended": ended / seconds, "to be shipped/orders": float(traffic.to_be_shipped)}
        return found | ({"latency/p50": p50, "latency/p99": p99} if p50 is not None and p99 is not None else {})

    async def _of_postgres(self) -> dict[str, float]:
        counts = await self._postgres.fetchrow(_COUNTS)
        assert counts is not None, "a row of counts"
        found = {name: float(value) for name, value in counts.items()}
        for row in await self._postgres.fetch(_TABLES):
            name = row["name"]
            found |= {f"table/{name}": float(row["bytes"]), f"index/{name}": float(row["index_bytes"])}
            if name in KEPT:
                found[f"dead share/{name}"] = dead_share(row["dead"], row["live"])
            else:
                found[f"dead/{name}"] = float(row["dead"])
        return found

    async def _of_kafka(self) -> dict[str, float]:
        rows = await self._postgres.fetch("SELECT side, number, positions FROM allocator.state_partition")
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        found: dict[str, float] = {}
        for row in rows:
            read = json.loads(row["positions"])
            inputs = [(topic, TopicPartition(topic, row["number"])) for topic in read]
            found[f"lag/{row['side']} {row['number']}"] = sum(max(0, ends[one] - read[topic]["next_offset"]) for topic, one in inputs)
        for group, topics in READERS.items():
            at = await self._admin.list_consumer_group_offsets(group)
            wanted = {topic.name for topic in topics}
            found[f"lag/{group}"] = sum(max(0, ends[one] - offset.offset) for one, offset in at.items() if one.topic in wanted)
        if self._kafka_folder is not None:
            found["disk/kafka"] = await asyncio.to_thread(_size, self._kafka_folder)
        return found


def _size(folder: Path) -> float:
    """What is written of the log's files: their ends are reserved before."""
    return float(sum(one.stat().st_blocks * 512 for one in folder.rglob("*.log") if one.exists()))
