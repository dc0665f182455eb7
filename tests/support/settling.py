"""Wait until an allocator has nothing left to do, and then hold it to everything that it promises."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.console.verify import verify
from shared.database import hot_connection
from tests.support.careful_reader import INPUTS, CarefulReader

_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError)
_UNDER_WAY = """
SELECT concat(demand, ' is ', status, ' until ', deadline_at) FROM allocator.demand WHERE deadline_at IS NOT NULL
UNION ALL SELECT concat('waiters of ', sku, ' are to be served at ', continue_at) FROM allocator.sku_queue WHERE continue_at IS NOT NULL
UNION ALL SELECT concat(demand, ' has a baton of ', sku) FROM allocator.baton
UNION ALL SELECT concat('levels of ', sku, ' are to be told')
            FROM allocator.stock_record r LEFT JOIN allocator.levels_told t USING (partition)
           WHERE t.told_at IS NULL OR r.changed_at > t.told_at
"""


async def until_settled(dsn: str, reader: CarefulReader, seconds: float = 60, partitions: int = 8) -> None:
    """Read until every input is read to its end, everything committed is published, and no deadline is pending. Servers may be away
    meanwhile. Fails with what is left."""
    left = "nothing was asked yet"
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left:
                await reader.read()
                with suppress(*_AWAY):
                    left = await _left(dsn, reader, partitions)
    assert not left, f"not settled within {seconds} s: {left}"


async def _left(dsn: str, reader: CarefulReader, partitions: int) -> str:
    connection = await hot_connection(dsn, "test")
    try:
        rows = await connection.fetch("SELECT side, number, positions FROM allocator.state_partition")
        if pending := [row[0] for row in await connection.fetch(_UNDER_WAY)]:
            return f"{len(pending)} deadlines: {'; '.join(pending[:10])}"
        if not await reader.has_read_everything(connection):
            return "not everything that was committed is published"
    finally:
        await connection.close()
    inputs = [TopicPartition(topic.name, number) for topic in INPUTS for number in range(partitions)]
    ends = await reader.consumer.end_offsets(inputs)
    read = {
        TopicPartition(topic, row["number"]): position["next_offset"]
        for row in rows
        for topic, position in json.loads(row["positions"]).items()
    }
    behind = [f"{one.topic}/{one.partition} {read.get(one, 0)} of {ends[one]}" for one in inputs if read.get(one, 0) < ends[one]]
    return f"not read to the end: {', '.join(behind)}" if behind else ""


async def prove(dsn: str, reader: CarefulReader) -> None:
    """Once settled: the books balance, and a reader that drops repeats as documented missed nothing and saw nothing twice."""
    report = await verify(dsn, settled=True)
    assert report.ok, [check for check in report.checks if check.problems]
    connection = await hot_connection(dsn, "test")
    try:
        faults = await reader.faults(connection)
    finally:
        await connection.close()
    assert not faults, faults[:20]


def whole(allocation: Any) -> bool:
    """Whether the order has every unit of every line."""
    return allocation is not None and allocation.outcome == "allocated"
