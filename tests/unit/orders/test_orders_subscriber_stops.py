"""A subscriber that is stopped while it commits: what it has handled stays handled."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.orders import subscriber
from services.orders.subscriber import Subscriber
from tests.unit.orders.one_partition import PLACE, OnePartition, records


@dataclass
class BrokerThatDawdles(OnePartition):
    """A consumer with one record, whose first commit never comes back."""

    records: list[Any] = field(default_factory=lambda: records([6]))
    dawdles: asyncio.Event = field(default_factory=asyncio.Event)
    committed: list[dict[TopicPartition, int]] = field(default_factory=list)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        found, self.records = self.records, []
        return {PLACE: found} if found else {}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if not self.dawdles.is_set():
            self.dawdles.set()
            await asyncio.Event().wait()
        self.committed.append(dict(offsets))


async def test_offsets_of_a_commit_that_a_stop_interrupts_are_committed_by_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = BrokerThatDawdles()
    monkeypatch.setattr(subscriber, "Consumer", lambda *_, **__: broker)

    async def handle(_: Any) -> None: ...

    async def condemn(*_: Any) -> None: ...

    running = asyncio.create_task(Subscriber("nowhere:1", "group", ["t"], handle, condemn).run())
    async with asyncio.timeout(5):
        await broker.dawdles.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert broker.committed == [{PLACE: 7}]
