"""Is the log still the one that was read? Checked when a state partition is taken over, and again from time to time.

begin ≤ next ≤ end for every input, and a record that was applied is read again and compared: aiokafka cannot tell a topic that was
deleted and made anew, only its records can.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from shared.consumer import Consumer, watch
from shared.kafka import WorldChanged, consumer_settings, stop_client
from shared.partitions.model import PartitionId, Position
from shared.partitions.partition import digest
from shared.partitions.reader import input_record

READ_SECONDS = 10
SECOND_LOOK_SECONDS = 1.0


class Inspector:
    """One consumer for the checks of all state partitions of a process, one check at a time."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: Any = None
        self._lock = asyncio.Lock()

    async def check(self, partition: PartitionId, positions: Mapping[str, Position], known: Mapping[str, Position]) -> None:
        """`positions`: how far every input was applied. `known`: for each input a record applied earlier, to be read again; one that
        retention has deleted is passed over. Raises WorldChanged with the remedy where the log is not the one that was read."""
        newest, older = _of_inputs(partition, positions), _of_inputs(partition, known)
        if not newest:
            return
        try:
            await self._look(newest, older)
        except WorldChanged:  # it stops everything, so a broker that has only just come back is asked twice
            await asyncio.sleep(SECOND_LOOK_SECONDS)
            await self._look(newest, older)

    async def _look(self, newest: Mapping[TopicPartition, Position], older: Mapping[TopicPartition, Position]) -> None:
        async with self._lock:
            consumer = await self._open()
            watch(consumer, {*newest, *older})
            begins = await consumer.beginning_offsets(list(newest))
            ends = await consumer.end_offsets(list(newest))
            for one, position in newest.items():
                _check_range(one, position, begins[one], ends[one])
            kept = {one: position for one, position in older.items() if begins[one] <= position.last_offset}
            if kept:
                await self._compare(consumer, kept)

    async def _open(self) -> Any:
        if self._consumer is None:
            consumer = Consumer(**consumer_settings(self._bootstrap))
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def _compare(self, consumer: Any, positions: Mapping[TopicPartition, Position]) -> None:
        left = dict(positions)
        for one, position in left.items():
            consumer.seek(one, position.last_offset)
        consumer.resume(*left)
        try:
            async with asyncio.timeout(READ_SECONDS):
                while left:
                    fetched = await consumer.getmany(*left, timeout_ms=500)
                    for one, records in fetched.items():
                        _check_same(one, left.pop(one), input_record(records[0]))
        finally:
            consumer.pause(*positions)

    async def close(self) -> None:
        """Stop the consumer."""
        if self._consumer is not None:
            await stop_client(self._consumer)


def _of_inputs(partition: PartitionId, positions: Mapping[str, Position]) -> dict[TopicPartition, Position]:
    return {TopicPartition(topic, partition.number): position for topic, position in positions.items()}


def _check_range(one: TopicPartition, position: Position, begin: int, end: int) -> None:
    if begin <= position.next_offset <= end:
        return
    raise WorldChanged(
        f"{one.topic} partition {one.partition} holds offsets {begin} to {end}, but {position.next_offset} is the next to read: records "
        "were lost or the topic was made anew. Follow docs/runbooks.md#offset-out-of-range."
    )


def _check_same(one: TopicPartition, position: Position, record: Any) -> None:
    if (record.offset, record.timestamp_ms, digest(record)) == (position.last_offset, position.last_timestamp_ms, position.last_digest):
        return
    raise WorldChanged(
        f"{one.topic} partition {one.partition} holds another record at offset {position.last_offset} than the one that was applied: the "
        "topic was made anew. Follow docs/runbooks.md#topic-recreated."
    )
