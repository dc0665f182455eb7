"""What a subscriber reads in its tests: a consumer with one partition, which belongs to it."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

PLACE = TopicPartition("t", 0)


def records(offsets: Iterable[int]) -> list[Any]:
    """One at each offset."""
    return [SimpleNamespace(topic="t", partition=0, offset=n, timestamp=0, key=None, value=b"x", headers=()) for n in offsets]


class OnePartition:
    """A consumer that is always there. What it gives and how it commits is said by those who are made of it."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def commit(self, offsets: dict[TopicPartition, int]) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}
