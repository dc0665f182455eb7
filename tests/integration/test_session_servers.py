"""The fixtures that every other integration test stands on."""

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.kafka import consumer_settings, describe_world, producer_settings
from shared.schemas.topics import TOPICS

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("time", [1, 2])
async def test_a_database_of_a_test_is_migrated_and_nobody_else_wrote_to_it(database: str, time: int) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM allocator.state_partition") == 0, f"time {time}"
        await connection.execute("INSERT INTO allocator.state_partition (side, number) VALUES ('stock', 0)")
    finally:
        await connection.close()


async def test_an_empty_database_has_no_table(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')") == 0
    finally:
        await connection.close()


async def test_fresh_topics_hold_no_record_of_an_earlier_test(fresh_topics: str) -> None:
    world = await describe_world(fresh_topics)
    assert {name: world[f"partitions of {name}"] for name in (topic.name for topic in TOPICS)} == {topic.name: "8" for topic in TOPICS}


async def test_a_record_comes_back_as_it_was_written(kafka_bootstrap: str, topic: str) -> None:
    async with AIOKafkaProducer(**producer_settings(kafka_bootstrap)) as producer:
        await producer.send_and_wait(topic, b"value", key=b"key", headers=[("name", b"content")])
    async with AIOKafkaConsumer(topic, **consumer_settings(kafka_bootstrap)) as consumer:
        record = await consumer.getone()
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("name", b"content"),))
