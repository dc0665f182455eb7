"""The writer of outbox rows to Kafka: big batches, one under way to each destination, a new producer after any error."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.kafka import producer_settings, stop_client
from shared.partitions.crash import crash_point, is_armed
from shared.partitions.model import OutboxRow
from shared.schemas.wire import Record

ACKNOWLEDGED_SECONDS = 60


class KafkaLogWriter:
    """Publishes outbox rows by the producer's batch builder, the partition chosen by us. Implements `LogWriter`.

    What many callers have for one destination while it is busy goes out together in the next batch: aiokafka's own queue for it holds
    one batch and makes the others wait, each with a clock of its own. After any produce error the producer is closed and made anew:
    its sequence may have a gap that it would never get over.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._destinations: dict[tuple[str, int], _Destination] = {}

    async def _open(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(**producer_settings(self._bootstrap))
                try:
                    await producer.start()
                except BaseException:
                    await stop_client(producer)
                    raise
                self._producer = producer
            return self._producer

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """See the port. Rows for one destination keep their order. Raises KafkaError or TimeoutError; publish all rows again then."""
        producer = await self._open()
        try:
            by_destination: dict[tuple[str, int], list[Record]] = {}
            for row in rows:
                by_destination.setdefault((row.topic, row.destination), []).extend(row.records)
            waiting: list[asyncio.Future[None]] = []
            for number, (destination, records) in enumerate(by_destination.items()):
                if number * 2 >= len(by_destination) > 1:
                    await _half_published(waiting)
                waiting.append(self._destination(producer, destination).put(records))
            async with asyncio.timeout(ACKNOWLEDGED_SECONDS):
                await asyncio.gather(*waiting)
            crash_point("published")
        except BaseException:
            await self._discard(producer)
            raise

    def _destination(self, producer: AIOKafkaProducer, name: tuple[str, int]) -> "_Destination":
        found = self._destinations.get(name)
        if found is None or found.producer is not producer:
            if found is not None:
                found.give_up()  # its producer is being stopped, and nobody would find it here any more
            found = self._destinations[name] = _Destination(producer, *name)
        return found

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            try:
                await stop_client(producer)
            finally:
                self._give_up(producer)

    def _give_up(self, producer: AIOKafkaProducer) -> None:
        """Whoever still waits is told to publish again. A stopped producer may forget a batch without a word: what waited for one
        stood still for the whole time that an acknowledgement may take."""
        for name in [name for name, found in self._destinations.items() if found.producer is producer]:
            self._destinations.pop(name).give_up()

    async def close(self) -> None:
        """Stop the producer."""
        if self._producer is not None:
            await self._discard(self._producer)


class _Destination:
    """One topic partition: records in the order in which they were put, one produce batch under way at a time."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self.producer, self._topic, self._partition = producer, topic, partition
        self._records: deque[tuple[Record, asyncio.Future[None] | None]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, records: Sequence[Record]) -> "asyncio.Future[None]":
        """Done when the last of them is acknowledged."""
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._records.extend((record, None) for record in records[:-1])
        self._records.append((records[-1], acknowledged))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return acknowledged

    def give_up(self) -> None:
        """Fail what is not acknowledged."""
        if self._sending is not None:
            self._sending.cancel()  # what it has in hand it fails itself
        _fail([one for _, one in self._records if one is not None], KafkaError("the producer was stopped"))
        self._records.clear()

    async def _send(self) -> None:
        while self._records:
            batch, told = self._batch()
            try:
                await (await self.producer.send_batch(batch, self._topic, partition=self._partition))
            except BaseException as error:
                told += [one for _, one in self._records if one is not None]
                self._records.clear()
                _fail(told, error)
                return
            for one in told:
                if not one.done():
                    one.set_result(None)

    def _batch(self) -> tuple[Any, list["asyncio.Future[None]"]]:
        batch, told = self.producer.create_batch(), []
        while self._records:
            record, acknowledged = self._records[0]
            if batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers)) is None:
                assert batch.record_count(), "a record is smaller than a batch: the wire limits it"
                break
            self._records.popleft()
            if acknowledged is not None:
                told.append(acknowledged)
        return batch, told


def _fail(waiting: Sequence["asyncio.Future[None]"], error: BaseException) -> None:
    reason = error if isinstance(error, Exception) else KafkaError("the producer was stopped")
    for one in waiting:
        if not one.done():
            one.set_exception(reason)
            one.exception()  # its waiter may be gone: then nobody is told, and that is no error


async def _half_published(waiting: Sequence["asyncio.Future[None]"]) -> None:
    """A seam for tests only: with a crash point armed, half of the rows are acknowledged before the others are sent."""
    if is_armed("half_published"):
        await asyncio.gather(*waiting)
        crash_point("half_published")
