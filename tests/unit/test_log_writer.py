"""The writer of outbox rows, beside a producer that forgets."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas.wire import Record


class _Batch:
    def append(self, **_: Any) -> object:
        return object()

    def record_count(self) -> int:
        return 1


class Forgetful:
    """A producer that takes batches and never tells what became of them, as aiokafka's may while it is stopped."""

    def __init__(self) -> None:
        self.taken = asyncio.Event()

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, *_: Any, **__: Any) -> "asyncio.Future[None]":
        self.taken.set()
        return asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        pass


async def test_whoever_waits_for_a_producer_that_another_has_stopped_is_told_at_once() -> None:
    producer: Any = Forgetful()
    writer = KafkaLogWriter("nowhere:1")
    writer._producer = producer
    row = OutboxRow(1, "topic", 0, 1, 1, (Record(b"key", b"value", ()),))
    waiting = asyncio.create_task(writer.publish([row]))
    await producer.taken.wait()
    await writer._discard(producer)
    with pytest.raises(KafkaError, match="stopped"):
        await asyncio.wait_for(waiting, 5)
