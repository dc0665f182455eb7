"""The writer of outbox rows, beside a producer that forgets."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from shared.kafka import stop_client
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


class Slow(Forgetful):
    """One that takes its time to stop, and takes a cancellation meanwhile for one of its own tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()

    async def stop(self) -> None:
        self.stopping.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


ROW = OutboxRow(1, "topic", 0, 1, 1, (Record(b"key", b"value", ()),))


async def test_whoever_waits_for_a_producer_that_another_has_stopped_is_told_at_once() -> None:
    producer: Any = Forgetful()
    writer = KafkaLogWriter("nowhere:1")
    writer._producer = producer
    waiting = asyncio.create_task(writer.publish([ROW]))
    await producer.taken.wait()
    await writer._discard(producer)
    with pytest.raises(KafkaError, match="stopped"):
        await asyncio.wait_for(waiting, 5)


async def test_whoever_waits_for_a_producer_whose_place_another_has_taken_is_told_at_once() -> None:
    old: Any = Slow()
    new: Any = Forgetful()
    writer = KafkaLogWriter("nowhere:1")
    writer._producer = old
    waiting = asyncio.create_task(writer.publish([ROW]))
    await old.taken.wait()
    discarding = asyncio.create_task(writer._discard(old))
    await old.stopping.wait()
    writer._producer = new
    later = asyncio.create_task(writer.publish([ROW]))
    await new.taken.wait()
    with pytest.raises(KafkaError, match="stopped"):
        await asyncio.wait_for(waiting, 5)
    for task in (discarding, later):
        task.cancel()
        await asyncio.wait({task})


async def test_a_cancellation_that_a_client_took_for_its_own_is_not_lost() -> None:
    """A publisher went on for ever behind one, and its partition waited for its end: it stood still until the process was restarted."""
    client = Slow()
    stopping = asyncio.create_task(stop_client(client))
    await client.stopping.wait()
    stopping.cancel()
    await asyncio.wait({stopping}, timeout=5)
    assert stopping.cancelled()


async def test_a_client_that_cancels_itself_stops_nobody_else() -> None:
    class Cancelling:
        async def stop(self) -> None:
            raise asyncio.CancelledError

    await stop_client(Cancelling())
