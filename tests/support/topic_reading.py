"""What lies in topics, from their beginning: followed for as long as one likes, or read to the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka import consumer_settings, stop_client


@asynccontextmanager
async def from_the_beginning(bootstrap: str, *topics: str, partitions: int = 8) -> AsyncIterator[Any]:
    """A consumer of every partition of these topics, in no group, that stands at their beginning."""
    consumer: Any = AIOKafkaConsumer(**consumer_settings(bootstrap))  # aiokafka has no types
    try:
        await consumer.start()
        consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(partitions)])
        await consumer.seek_to_beginning()
        yield consumer
    finally:
        await stop_client(consumer)


async def everything_on(bootstrap: str, *topics: str, partitions: int = 8) -> list[Any]:
    """Every record that these topics hold now; each partition's in order."""
    async with from_the_beginning(bootstrap, *topics, partitions=partitions) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Any] = []
        while [place for place, end in ends.items() if await consumer.position(place) < end]:
            found += [record for records in (await consumer.getmany(timeout_ms=200)).values() for record in records]
        return found
