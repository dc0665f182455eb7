"""Whether nothing is under way: then `earmark verify` may also compare what was told with what was understood.

Asks Postgres and Kafka; changes nothing. The answer holds for the moment of asking: ask before and after, and compare.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.console.verify import Progress, Report, silently, verify
from shared import database
from shared.consumer import Consumer, watch
from shared.database import hot_connection
from shared.kafka import KafkaUnreachable, admin, consumer_settings, stop_client
from shared.schemas import topics
from shared.settings import SettingRefused, Settings

INPUTS = (topics.ORDERS, topics.INVENTORY, topics.RESERVATIONS, topics.OUTCOMES)
READERS = {
    "earmark-orders-intake": (topics.ORDER_INTAKE,),
    "earmark-orders-projection": (topics.ALLOCATIONS,),
    "earmark-inventory-answers": (topics.MOVEMENTS,),
    "earmark-inventory-levels": (topics.STOCK_LEVELS,),
}
"""Groups of the services that take in what was told; one that never ran is not waited for."""

_UNDER_WAY = """
SELECT 'outputs of a state partition are to be published' WHERE EXISTS (
       SELECT FROM allocator.state_partition WHERE published_sequence < out_sequence)
UNION ALL SELECT 'an event of an order waits for Kafka' WHERE EXISTS (SELECT FROM orders.outbox)
UNION ALL SELECT 'a stock command waits for Kafka' WHERE EXISTS (SELECT FROM inventory.outbox)
UNION ALL SELECT 'an attempt is under way' WHERE EXISTS (SELECT FROM allocator.demand WHERE deadline_at IS NOT NULL)
UNION ALL SELECT 'waiters are being served' WHERE EXISTS (SELECT FROM allocator.sku_queue WHERE continue_at IS NOT NULL)
UNION ALL SELECT 'waiters are being woken' WHERE EXISTS (SELECT FROM allocator.baton)
UNION ALL SELECT 'stock levels are to be told' WHERE EXISTS (
       SELECT FROM allocator.stock_record r LEFT JOIN allocator.levels_told t USING (partition)
        WHERE t.told_at IS NULL OR r.changed_at > t.told_at)
"""

Ends = Mapping[TopicPartition, int]
PATIENCE_SECONDS = 3.0
"""A state partition notes what it has published within a second of its last batch."""
PAUSE_SECONDS = 0.2


async def prove(settings: Settings, progress: Progress = silently) -> tuple[Report, list[str]]:
    """Every check that may be made now, and why the others were left out; empty where nothing is under way. Raises SchemaOlder."""
    await _require_schema(settings)
    before, under_way = await _patiently(settings)
    report = await verify(settings.dsn, settled=not under_way, progress=progress)
    if under_way:
        return report, under_way
    after, under_way = await _asked(settings)
    if under_way or after != before:
        return await verify(settings.dsn, progress=progress), under_way or ["something came in meanwhile"]
    return report, []


async def _require_schema(settings: Settings) -> None:
    """A check that asks for a column which an older schema lacks would look like a fault of ours."""
    pool = database.engine(settings, "earmark-verify")
    try:
        await database.require_schema(pool)
    finally:
        await database.dispose(pool)


async def _patiently(settings: Settings) -> tuple[Ends, list[str]]:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        ends, under_way = await _asked(settings)
        if not under_way or time.monotonic() > until:
            return ends, under_way
        await asyncio.sleep(PAUSE_SECONDS)


async def _asked(settings: Settings) -> tuple[Ends, list[str]]:
    try:
        return await settled(settings)
    except (KafkaUnreachable, KafkaError, SettingRefused) as away:
        return {}, [f"Kafka could not be asked ({away})"]


async def settled(settings: Settings) -> tuple[Ends, list[str]]:
    """How far every topic goes, and what is under way, in words; nothing is under way where that is empty. Raises KafkaUnreachable,
    KafkaError or an error of the database."""
    connection = await hot_connection(settings.dsn, "earmark-settled")
    try:
        under_way = [row[0] for row in await connection.fetch(_UNDER_WAY)]
        read = await _positions(connection)
    finally:
        await connection.close()
    inputs = [TopicPartition(topic.name, number) for topic in INPUTS for number in range(_count(topic, settings))]
    projected = await _committed(settings)
    ends = await _ends(settings.bootstrap, {*inputs, *(one for _, one in projected)})
    under_way += [
        f"{one.topic}/{one.partition} is read to {read.get(one, 0)} of {ends[one]}" for one in inputs if read.get(one, 0) < ends[one]
    ]
    under_way += [
        f"{group} has read {one.topic}/{one.partition} to {at} of {ends[one]}" for (group, one), at in projected.items() if at < ends[one]
    ]
    return ends, under_way


def _count(topic: topics.Topic, settings: Settings) -> int:
    return settings.stock_partitions if topic.side == "stock" else settings.demand_partitions


async def _positions(connection: asyncpg.Connection) -> dict[TopicPartition, int]:
    rows = await connection.fetch("SELECT number, positions FROM allocator.state_partition")
    return {
        TopicPartition(topic, row["number"]): position["next_offset"]
        for row in rows
        for topic, position in json.loads(row["positions"]).items()
    }


async def _committed(settings: Settings) -> dict[tuple[str, TopicPartition], int]:
    found: dict[tuple[str, TopicPartition], int] = {}
    async with admin(settings.bootstrap) as client:
        for group in READERS.keys() & {name for name, *_ in await client.list_consumer_groups()}:
            offsets: dict[TopicPartition, Any] = await client.list_consumer_group_offsets(group)  # aiokafka ships no types
            for topic in READERS[group]:
                parts = [TopicPartition(topic.name, number) for number in range(_count(topic, settings))]
                found |= {(group, one): max(0, offsets[one].offset) if one in offsets else 0 for one in parts}
    return found


async def _ends(bootstrap: str, partitions: set[TopicPartition]) -> Ends:
    consumer = Consumer(**consumer_settings(bootstrap))
    try:
        await consumer.start()
        watch(consumer, partitions)
        ends: Ends = await consumer.end_offsets(list(partitions))
        return ends
    finally:
        await stop_client(consumer)
