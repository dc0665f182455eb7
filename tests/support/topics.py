"""Topics of a test: our eleven made anew, or one of its own."""

import asyncio
import secrets

from aiokafka.admin import NewTopic

from shared.kafka import ONE_COPY, admin, create_topics, partition_counts
from shared.schemas.topics import BY_NAME

WAIT_SECONDS = 30


async def remove(bootstrap: str) -> None:
    """Delete every topic of ours with its records."""
    async with admin(bootstrap) as client:
        known = [name for name in await client.list_topics() if name in BY_NAME]
        if known:
            await client.delete_topics(known)
        async with asyncio.timeout(WAIT_SECONDS):
            while any(name in BY_NAME for name in await client.list_topics()):
                await asyncio.sleep(0.05)


async def recreate(bootstrap: str, stock_partitions: int = 8, demand_partitions: int = 8) -> None:
    """Delete every topic of ours with its records and make all of them again, empty."""
    await remove(bootstrap)
    counts = partition_counts(stock_partitions, demand_partitions)
    await create_topics(bootstrap, counts, ONE_COPY)
    await await_leaders(bootstrap, counts)


async def unique(bootstrap: str, partitions: int = 1) -> str:
    """A new topic that no other test knows."""
    name = f"test-{secrets.token_hex(8)}"
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, partitions, 1)])
    await await_leaders(bootstrap, {name: partitions})
    return name


async def await_leaders(bootstrap: str, counts: dict[str, int]) -> None:
    """A topic that was just made is known before it can be written: wait until every partition has its leader."""
    async with admin(bootstrap) as client, asyncio.timeout(WAIT_SECONDS):
        while True:
            described = {one["topic"]: one["partitions"] for one in await client.describe_topics(list(counts))}
            led = {name: sum(part["leader"] >= 0 for part in parts) for name, parts in described.items()}
            if led == counts:
                return
            await asyncio.sleep(0.05)
