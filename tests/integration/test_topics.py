"""Topics on the real broker, which is one alone."""

import asyncio

import pytest

from shared.kafka import ONE_COPY, Copies, TooFewBrokers, admin, create_topics, partition_counts
from shared.schemas.topics import DEAD_LETTERS
from tests.support.topics import await_leaders

pytestmark = pytest.mark.integration
COUNTS = partition_counts(8, 8)


async def test_topics_are_not_made_with_fewer_copies_than_asked_for_and_those_that_are_there_stay(fresh_topics: str) -> None:
    await create_topics(fresh_topics, COUNTS, Copies(3, 2))
    async with admin(fresh_topics) as client:
        await client.delete_topics([DEAD_LETTERS.name])
        async with asyncio.timeout(10):
            while DEAD_LETTERS.name in await client.list_topics():
                await asyncio.sleep(0.05)
        with pytest.raises(TooFewBrokers, match="3 copies and the cluster shows 1 broker"):
            await create_topics(fresh_topics, COUNTS, Copies(3, 2))
        assert DEAD_LETTERS.name not in await client.list_topics()
    await create_topics(fresh_topics, COUNTS, ONE_COPY)
    await await_leaders(fresh_topics, COUNTS)
