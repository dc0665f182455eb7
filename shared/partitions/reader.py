"""One consumer that reads the inputs of all state partitions of a process, by `assign` and `seek` to the offsets in their rows.

A partition without room is not polled, so that its records wait in the broker and not in our memory.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.consumer import Consumer
from shared.kafka import consumer_settings, stop_client
from shared.partitions.model import InputRecord

logger = logging.getLogger("earmark.reader")

POLL_MS = 200
FULL_POLL_MS = 10
READ_AT_ONCE = 100
"""Records of one poll. Whether there is room is asked before it: all that a fetch had brought was ten thousand of them, decoded, where
there was room for two."""
STUCK_SECONDS = 5.0


class ReaderStuck(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """Records wait at the broker and the consumer does not fetch them: it is made anew."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the reader needs of one state partition: where to read on, whether there is room, where to put records."""

    topics: tuple[str, ...]
    number: int
    read_from: Callable[[str], int]
    has_room: Callable[[], bool]
    offer: Callable[[Iterable[InputRecord]], None]

    def inputs(self) -> list[TopicPartition]:
        """Its partitions of every input topic."""
        return [TopicPartition(topic, self.number) for topic in self.topics]


class LogReader:
    """Run it as one task. `attach` and `detach` take effect with the next poll. `on_doubt`: an offset that we read to is not there."""

    def __init__(self, bootstrap: str, on_doubt: Callable[[], None] = lambda: None) -> None:
        self._bootstrap, self._on_doubt = bootstrap, on_doubt
        self._attached: dict[TopicPartition, Attachment] = {}
        self._changed = asyncio.Event()

    def attach(self, attachment: Attachment) -> None:
        """Start reading for a state partition that has been taken over."""
        self._attached.update(dict.fromkeys(attachment.inputs(), attachment))
        self._changed.set()

    def detach(self, attachment: Attachment) -> None:
        """Stop reading for it; nothing more is offered after this returns."""
        for one in attachment.inputs():
            if self._attached.get(one) is attachment:
                del self._attached[one]
        self._changed.set()

    async def run(self) -> None:
        """Read until cancelled. A consumer that fails is thrown away and made anew."""
        while True:
            consumer = Consumer(**reader_settings(self._bootstrap))
            try:
                await consumer.start()
                self._changed.set()
                await self._read(consumer)
            except OffsetOutOfRangeError as error:
                logger.error("the log is shorter or longer ago than what was read of it: %s", error)
                self._on_doubt()
                await asyncio.sleep(0.5)
            except (KafkaError, OSError) as error:
                logger.warning("reading failed (%s: %s); starting anew", type(error).__name__, error)
                await asyncio.sleep(0.5)
            finally:
                await stop_client(consumer)

    async def _read(self, consumer: Any) -> None:
        looked_at, behind = monotonic(), dict[TopicPartition, int]()
        while True:
            if self._changed.is_set():
                self._changed.clear()
                self._assign(consumer)
            open_inputs = [one for one, attachment in self._attached.items() if attachment.has_room()]
            if not open_inputs:
                await self._wait_for_change(FULL_POLL_MS if self._attached else POLL_MS)
                continue
            timeout = POLL_MS if len(open_inputs) == len(self._attached) else FULL_POLL_MS
            fetched = await consumer.getmany(*open_inputs, timeout_ms=timeout, max_records=READ_AT_ONCE)
            self._hand_out(fetched)
            if fetched:
                looked_at, behind = monotonic(), {}
            elif monotonic() - looked_at > STUCK_SECONDS:
                looked_at, behind = monotonic(), await self._check_progress(consumer, open_inputs, behind)

    async def _check_progress(
        self, consumer: Any, inputs: list[TopicPartition], before: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Where records wait that are not fetched. The only sign of a consumer that is stuck is that it makes no progress: raises
        ReaderStuck where nothing has moved since the look before."""
        ends = await consumer.end_offsets(inputs)
        reached = {one: self._attached[one].read_from(one.topic) for one in inputs if one in self._attached}
        behind = {one: offset for one, offset in reached.items() if offset < ends[one]}
        if stuck := [one for one, offset in behind.items() if before.get(one) == offset]:
            raise ReaderStuck(f"{ReaderStuck.__doc__} {stuck[0].topic} partition {stuck[0].partition} at {behind[stuck[0]]}")
        return behind

    async def _wait_for_change(self, timeout_ms: int) -> None:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._changed.wait()
        except TimeoutError:
            return

    def _assign(self, consumer: Any) -> None:
        """No await between assign and seek: no record may be fetched from elsewhere."""
        consumer.assign(list(self._attached))
        for one, attachment in self._attached.items():
            consumer.seek(one, attachment.read_from(one.topic))

    def _hand_out(self, fetched: Mapping[TopicPartition, list[Any]]) -> None:
        for one, records in fetched.items():
            attachment = self._attached.get(one)
            if attachment is not None:
                attachment.offer(map(input_record, records))


def reader_settings(bootstrap: str) -> dict[str, Any]:
    """As every consumer, but an offset that is out of range is an error: to start over at the earliest record would hide what was lost."""
    return consumer_settings(bootstrap) | {"auto_offset_reset": "none"}


def input_record(record: Any) -> InputRecord:
    """aiokafka's record as ours."""
    return InputRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers or ())
    )
