"""Which process owns how many state partitions."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.database import hot_connection
from shared.settings import Settings

EVERYTHING = {"stock": 8, "demand": 8}
HALF = {"stock": 4, "demand": 4}


@asynccontextmanager
async def connected(world: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database of this world."""
    connection = await hot_connection(world.dsn, "test")
    try:
        yield connection
    finally:
        await connection.close()


async def _shares(world: Settings) -> dict[str, Counter[str]]:
    """Owner to how many partitions of each side are its own."""
    async with connected(world) as connection:
        rows = await connection.fetch("SELECT owner, side, count(*)::integer AS number FROM allocator.state_partition GROUP BY 1, 2")
    shares: dict[str, Counter[str]] = {}
    for row in rows:
        shares.setdefault(row["owner"], Counter())[row["side"]] = row["number"]
    return shares


async def until_shared(world: Settings, wanted: dict[str, dict[str, int]], seconds: float) -> float:
    """Wait until the partitions are owned like that; returns how long it took."""
    began = time.monotonic()
    found = await _shares(world)
    while found != wanted:
        assert time.monotonic() - began < seconds, f"after {seconds} s: {found}, should be {wanted}"
        await asyncio.sleep(0.05)
        found = await _shares(world)
    return time.monotonic() - began
