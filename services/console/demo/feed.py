"""The live feed of a demo: what the allocator tells, read from Kafka as any consumer may, with no group and no memory.

Repeats are dropped by version, as the topics document: the reader of a tally does it per order, here command ids are a set.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.console.demo.tally import Tally, Telling
from shared.consumer import Consumer
from shared.kafka import KafkaUnreachable, consumer_settings, stop_client
from shared.schemas.events import AllocationChanged, StockCommandRefused, StockMoved
from shared.schemas.topics import ALLOCATIONS, MOVEMENTS
from shared.schemas.wire import decode, header_map

_ACCEPTED = frozenset({"allocation_changed", "stock_moved", "stock_command_refused"})
POLL_MS = 200


class Feed:
    """Folds the allocator's events into a tally, and wakes whoever waits for something to have been told."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.moved: set[str] = set()
        self.refused: dict[str, str] = {}
        self.on_telling: Callable[[Telling], None] = lambda telling: None
        self._news = asyncio.Event()
        self._failure: KafkaUnreachable | None = None

    def take(self, message: object, at: float) -> None:
        """One message of the allocator."""
        match message:
            case AllocationChanged():
                if telling := self.tally.told(message, at):
                    self.on_telling(telling)
            case StockMoved():
                self.moved.add(message.command_id)
            case StockCommandRefused():
                self.refused[message.command_id] = f"{message.field}: {message.remedy}"

    def wake(self) -> None:
        """Something was told: those that wait look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def ended(self, pumping: "asyncio.Task[None]") -> None:
        """The reading has ended: nobody waits in vain."""
        if not pumping.cancelled() and (error := pumping.exception()) is not None:
            self._failure = KafkaUnreachable(f"the events could not be read any further ({error}): run the demo again")
        self.wake()

    async def until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait for events until it is so; False when no event came for so many seconds and it is not."""
        while not is_so():
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return is_so()
            if self._failure is not None:
                raise self._failure
        return True

    async def until_quiet(self, seconds: float, at_most: float) -> None:
        """Wait until nothing was told for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                while await self._told_within(seconds):
                    pass

    async def _told_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
                return True
        return False


@contextlib.asynccontextmanager
async def reading(bootstrap: str, counts: Mapping[str, int], feed: Feed) -> AsyncIterator[Feed]:
    """Read both topics from their beginning while the block runs; `counts`: their partitions. Raises KafkaUnreachable, here or from
    whoever waits for the feed."""
    consumer = Consumer(**consumer_settings(bootstrap) | {"fetch_max_wait_ms": 50})
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await stop_client(consumer)
        raise KafkaUnreachable(f"Kafka at {bootstrap} does not answer ({error}): run the demo again") from error
    consumer.assign([TopicPartition(topic.name, number) for topic in (ALLOCATIONS, MOVEMENTS) for number in range(counts[topic.name])])
    pumping = asyncio.create_task(_pump(consumer, feed), name="demo feed")
    pumping.add_done_callback(feed.ended)
    try:
        yield feed
    finally:
        pumping.cancel()
        await asyncio.wait([pumping])
        await stop_client(consumer)


async def _pump(consumer: Consumer, feed: Feed) -> None:
    while True:
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        at = time.monotonic()
        for records in fetched.values():
            for record in records:
                for message in decode(record.value, header_map(record.headers), _ACCEPTED):
                    feed.take(message, at)
        if fetched:
            feed.wake()
