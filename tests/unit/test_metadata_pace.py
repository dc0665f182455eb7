"""A client whose broker is away asks at a pace, however often it is told that its metadata are stale."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata

from shared.kafka import consumer_settings
from shared.local.ports import free_ports
from shared.metadata_pace import PAUSE_SECONDS


async def _questions(client: AIOKafkaClient, seconds: float) -> int:
    """How often a client with nothing else to do asks when it asks again at once, as its reader and its producer do."""
    asked = 0
    until = asyncio.get_running_loop().time() + seconds
    synchronizer = asyncio.create_task(client._md_synchronizer())
    try:
        while asyncio.get_running_loop().time() < until:
            assert await client.force_metadata_update() is False
            asked += 1
    finally:
        synchronizer.cancel()
    return asked


async def test_a_broker_that_is_away_is_asked_at_a_pace() -> None:
    assert consumer_settings("kafka:9092")["retry_backoff_ms"] == PAUSE_SECONDS * 1000
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", free_ports(1)[0], None)}
    assert 1 <= await _questions(client, 5 * PAUSE_SECONDS) <= 6
