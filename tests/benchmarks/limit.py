"""The second yardstick: the bare pipeline.

Real Kafka in, decode, decide in memory, one transaction for a batch with the offset as its fence and COPY for reservations and
events, real Kafka out. No queue, no explanation, no state of orders: a floor under the work, not a product.
"""

import asyncio
import json
import secrets
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from shared.kafka import admin
from tests.benchmarks import yardstick_tables
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.workloads import ON_HAND_UNITS, SKUS, picker, sku

ORDERS = 100_000
BATCH = 500
PARTITIONS = 8
SETTLE_SECONDS = 0.5
_FENCE = "UPDATE consumer_offset SET next_offset = $3 WHERE topic = $1 AND part = $2 AND next_offset = $4"
_STOCK = """
UPDATE stock s SET reserved = t.reserved, version = version + 1
  FROM unnest($1::text[], $2::bigint[]) AS t (sku, reserved) WHERE s.sku = t.sku
"""


class Line(msgspec.Struct):
    sku: str
    qty: int


class Reserve(msgspec.Struct):
    order_id: str
    customer: str
    at: str
    note: str
    lines: list[Line]


class ReservedLine(msgspec.Struct):
    sku: str
    qty: int
    line_no: int


class Reserved(msgspec.Struct):
    type: str
    order_id: str
    at: str
    lines: list[ReservedLine]


_decode = msgspec.json.Decoder(Reserve).decode
_encode = msgspec.json.Encoder().encode


def _headers(number: int, kind: bytes, source: bytes) -> list[tuple[str, bytes]]:
    identity = [("ce_specversion", b"1.0"), ("ce_id", f"{number:032x}".encode()), ("ce_type", kind)]
    return [*identity, ("ce_source", source), ("ce_time", b"2026-11-21T00:00:00Z")]


class Pipeline:
    """One run: its topics, its clients, and all of its state, in memory."""

    def __init__(self, dsn: str, consumer: Any, producer: Any, orders: int) -> None:
        stamp = secrets.token_hex(6)
        self.dsn, self.consumer, self.producer, self.orders = dsn, consumer, producer, orders
        self.source, self.target = f"yardstick-in-{stamp}", f"yardstick-out-{stamp}"
        self.inputs = [TopicPartition(self.source, part) for part in range(PARTITIONS)]
        self.ends: dict[TopicPartition, int] = {}
        self.reserved = {sku(number): 0 for number in range(SKUS)}
        self.seen: set[str] = set()
        self.latencies: list[float] = []

    # ---------------------------------------------------------------- before the clock starts

    async def load(self, workload: str) -> None:
        """Put the orders into Kafka, and the positions into Postgres."""
        pick, sending = picker(workload, 1, Random(1)), []
        filling = [self.producer.create_batch() for _ in range(PARTITIONS)]
        for number in range(self.orders):
            part, record = _order_record(number, pick()[0])
            if filling[part].append(**record) is None:
                sending.append(await self.producer.send_batch(filling[part], self.source, partition=part))
                filling[part] = self.producer.create_batch()
                filling[part].append(**record)
        for part, batch in enumerate(filling):
            sending.append(await self.producer.send_batch(batch, self.source, partition=part))
        await asyncio.gather(*sending)
        async with yardstick_tables.connected(self.dsn) as connection:
            rows = [(self.source, part) for part in range(PARTITIONS)]
            await connection.executemany("INSERT INTO consumer_offset VALUES ($1, $2, 0)", rows)
        self.consumer.assign(self.inputs)
        for one in self.inputs:
            self.consumer.seek(one, 0)
        self.ends = await self.consumer.end_offsets(self.inputs)

    # ---------------------------------------------------------------- under the clock

    async def serve(self, partition: TopicPartition) -> None:
        """One partition to its end: publishing a batch overlaps deciding the next."""
        publishing, position = None, 0
        async with yardstick_tables.connected(self.dsn) as connection:
            while position < self.ends[partition]:
                fetched = await self.consumer.getmany(partition, timeout_ms=500, max_records=BATCH)
                if not (records := fetched.get(partition)):
                    continue
                start = time.perf_counter()
                after = records[-1].offset + 1
                out = await self._serve_batch(connection, partition, records, position, after)
                if publishing is not None:
                    await publishing
                publishing = await self.producer.send_batch(out, self.target, partition=partition.partition)
                position = after
                self.latencies.append(time.perf_counter() - start)
        if publishing is not None:
            await publishing

    async def _serve_batch(self, connection: asyncpg.Connection, partition: TopicPartition, records: Any, before: int, after: int) -> Any:
        rows, events, touched, out = self._decide(records)
        async with connection.transaction():
            done = await connection.execute(_FENCE, self.source, partition.partition, after, before)
            assert done == "UPDATE 1", "nobody else serves this partition"
            await connection.copy_records_to_table("reservation", records=rows, columns=("order_id", "line_no", "sku", "qty"))
            await connection.copy_records_to_table("outbox", records=events, columns=("key", "payload"))
            await connection.execute(_STOCK, list(touched), list(touched.values()))
        return out

    def _decide(self, records: Any) -> tuple[list[tuple[str, int, str, int]], list[tuple[str, str]], dict[str, int], Any]:
        rows: list[tuple[str, int, str, int]] = []
        events: list[tuple[str, str]] = []
        touched: dict[str, int] = {}
        out = self.producer.create_batch()
        for record in records:
            _ = dict(record.headers)  # part of the definition: a real reader looks at them
            order = _decode(record.value)
            if order.order_id in self.seen:
                continue
            self.seen.add(order.order_id)
            lines = self._reserve(order, rows, touched)
            event = _encode(Reserved("StockReserved", order.order_id, order.at, lines))
            events.append((order.order_id, event.decode()))
            headers = _headers(record.offset, b"reserved.v1", b"allocator")
            added = out.append(key=order.order_id.encode(), value=event, timestamp=None, headers=headers)
            assert added is not None, "a batch of orders fits into a batch of records"
        return rows, events, touched, out

    def _reserve(self, order: Reserve, rows: list[tuple[str, int, str, int]], touched: dict[str, int]) -> list[ReservedLine]:
        lines = []
        for line_no, line in enumerate(order.lines):
            if ON_HAND_UNITS - self.reserved[line.sku] < line.qty:
                continue
            self.reserved[line.sku] += line.qty
            touched[line.sku] = self.reserved[line.sku]
            rows.append((order.order_id, line_no, line.sku, line.qty))
            lines.append(ReservedLine(line.sku, line.qty, line_no))
        return lines


def _order_record(number: int, wanted: str) -> tuple[int, dict[str, Any]]:
    order = {
        "order_id": f"order-000-{number:08d}",
        "customer": f"cust-{number % 1000:06d}",
        "at": "2026-11-21T00:00:00Z",
        "note": "x" * 60,
        "lines": [{"sku": wanted, "qty": 1}],
    }
    key = wanted.encode()
    record = {"key": key, "value": json.dumps(order).encode(), "timestamp": None, "headers": _headers(number, b"reserve.v1", b"orders")}
    return zlib.crc32(key) % PARTITIONS, record


async def measure(dsn: str, bootstrap: str, workload: str, orders: int = ORDERS) -> Measurement:
    """Run it once: single-line orders, from records lying in Kafka to records acknowledged in Kafka."""
    await yardstick_tables.prepare(dsn)
    async with _pipeline(dsn, bootstrap, orders) as pipeline:
        await pipeline.load(workload)
        await asyncio.sleep(SETTLE_SECONDS)
        watch = Stopwatch()
        await asyncio.gather(*map(pipeline.serve, pipeline.inputs))
        measured = watch.measured(orders, pipeline.latencies)
    await yardstick_tables.check_books(dsn, 1, orders)
    return measured


@asynccontextmanager
async def _pipeline(dsn: str, bootstrap: str, orders: int) -> AsyncIterator[Pipeline]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(admin(bootstrap))
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=900_000)
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        for one in (producer, consumer):
            await one.start()
            stack.push_async_callback(one.stop)
        pipeline = Pipeline(dsn, consumer, producer, orders)
        names = [pipeline.source, pipeline.target]
        await client.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        stack.push_async_callback(client.delete_topics, names)
        yield pipeline
