"""The first yardstick: what a careful team writes without Earmark.

asyncpg, 16 connections, one transaction for an order: a conditional UPDATE, an INSERT of the reservation and an INSERT of the event.
No Kafka, no queue, no explanation.
"""

import asyncio
import itertools
import json
import time
from contextlib import AsyncExitStack
from random import Random

import asyncpg

from tests.benchmarks import yardstick_tables
from tests.benchmarks.measuring import Measurement, Stopwatch, percentile_ms
from tests.benchmarks.workloads import Picker, picker

CONNECTIONS = 16
WARM_SECONDS = 0.5
SECONDS = 2.0
_RESERVE = "UPDATE stock SET reserved = reserved + $2, version = version + 1 WHERE sku = $1 AND on_hand - reserved >= $2"
_LINE = "INSERT INTO reservation (order_id, line_no, sku, qty) VALUES ($1, $2, $3, $4)"
_EVENT = "INSERT INTO outbox (key, payload) VALUES ($1, $2::jsonb)"


class _Clients:
    """Counts what the sixteen did: everything for the CPU, what lies within the measured time for the rate."""

    def __init__(self, seconds: float) -> None:
        self._from = time.perf_counter() + WARM_SECONDS
        self._until = self._from + seconds
        self.total = 0
        self.latencies: list[float] = []

    async def run(self, number: int, connection: asyncpg.Connection, pick: Picker) -> None:
        for counter in itertools.count():
            start = time.perf_counter()
            if start >= self._until:
                return
            await place_order(connection, f"order-{number:03d}-{counter:08d}", pick())
            self.total += 1
            end = time.perf_counter()
            if self._from <= start and end <= self._until:
                self.latencies.append(end - start)


async def place_order(connection: asyncpg.Connection, order_id: str, skus: list[str]) -> None:
    """One order, one transaction."""
    async with connection.transaction():
        for line_no, sku in enumerate(skus):
            done = await connection.execute(_RESERVE, sku, 1)
            assert done == "UPDATE 1", "the shelves are full"
            await connection.execute(_LINE, order_id, line_no, sku, 1)
        await connection.execute(_EVENT, order_id, _event(order_id, skus))


def _event(order_id: str, skus: list[str]) -> str:
    lines = [{"sku": sku, "qty": 1, "line_no": line_no} for line_no, sku in enumerate(skus)]
    return json.dumps({"type": "StockReserved", "order_id": order_id, "at": "2026-11-21T00:00:00Z", "lines": lines})


async def measure(dsn: str, workload: str, lines: int, seconds: float = SECONDS) -> Measurement:
    """Run it once."""
    await yardstick_tables.prepare(dsn)
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(yardstick_tables.connected(dsn)) for _ in range(CONNECTIONS)]
        clients, watch = _Clients(seconds), Stopwatch()
        pickers = [picker(workload, lines, Random(number)) for number in range(CONNECTIONS)]
        await asyncio.gather(*map(clients.run, range(CONNECTIONS), connections, pickers))
        cpu = watch.measured(clients.total).cpu_us_per_order
    await yardstick_tables.check_books(dsn, lines)
    rate = len(clients.latencies) / seconds
    return Measurement(rate, cpu, percentile_ms(clients.latencies, 0.5), percentile_ms(clients.latencies, 0.99))
