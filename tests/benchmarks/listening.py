"""When the answer to an order was read: what latencies end with."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.schemas import topics
from tests.benchmarks.stand import Stand
from tests.support.beside import beside

ALLOCATED = b'"outcome":"allocated"'


class Listener:
    """Reads `earmark.allocations` all the time; an order's number is the end of its demand's id, which is the key. `answer`: what stands
    in the event that is waited for."""

    def __init__(self, consumer: Any, answer: bytes = ALLOCATED) -> None:
        self._consumer, self._answer = consumer, answer
        self._waited_for: dict[bytes, asyncio.Future[float]] = {}

    def expect(self, number: str) -> "asyncio.Future[float]":
        """When the order's event was read, of the performance counter."""
        told = self._waited_for[number.encode()] = asyncio.get_running_loop().create_future()
        return told

    async def run(self) -> None:
        """For ever."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
                now = time.perf_counter()
                for record in records:
                    number = record.key.rpartition(b"/")[2]
                    if number in self._waited_for and self._answer in record.value:
                        self._waited_for.pop(number).set_result(now)


@asynccontextmanager
async def listening(here: Stand, answer: bytes = ALLOCATED) -> AsyncIterator[Listener]:
    """One that listens from now on."""
    consumer = await here.listener(topics.ALLOCATIONS)
    try:
        listener = Listener(consumer, answer)
        async with beside(listener.run()):
            yield listener
    finally:
        await consumer.stop()
