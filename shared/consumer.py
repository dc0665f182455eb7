"""The consumer that everything here reads with: no record can stop it.

aiokafka decodes the names of headers while it hands records out. A name that is not UTF-8 raises out of every poll from then on, for
everybody who reads that partition; and what the same poll had taken from other partitions is lost to its caller, whose next commit skips
it. Such a poll is done again by hand here. The record comes with the name escaped, so that its reader judges it like any other.
"""

import logging
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import CorruptRecordException, NotLeaderForPartitionError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.util import calc_crc32c

from shared import metrics

log = logging.getLogger("earmark.consumer")

HAND_BYTES = 1024 * 1024
"""What is fetched of a partition at a time by hand; a single larger batch comes whole."""
_LOG = struct.Struct(">qi")
_BATCH = struct.Struct(">qiibIhiqqqhii")
_CHECKED_FROM = 21
"""The checksum is over everything behind it."""
_CONTROL = 0x20
_APPEND_TIME = 0x08
_CODECS: dict[int, Callable[[bytes], bytes]] = {0: bytes, 1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """As AIOKafkaConsumer, for `getmany`."""

    def __init__(self, *topics: str, **settings: Any) -> None:
        super().__init__(*topics, **settings)
        self._reached: dict[TopicPartition, int] = {}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on there."""
        super().seek(partition, offset)
        self._reached[partition] = offset

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Records by partition; those that aiokafka can not read are read by hand."""
        try:
            found: dict[TopicPartition, list[Any]] = await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        except (UnicodeDecodeError, CorruptRecordException) as error:
            found = await self._by_hand(partitions or self.assignment(), max_records)
            if not found:
                raise CorruptRecordException(f"a record can not be read: {error}") from error
        self._reached |= {partition: records[-1].offset + 1 for partition, records in found.items()}
        return found

    async def _by_hand(self, wanted: Iterable[TopicPartition], max_records: int | None) -> dict[TopicPartition, list[Any]]:
        """One poll. Every partition is put back to what the caller has seen: the poll that failed may have gone on in others."""
        offsets = {one: await self._seen(one) for one in self.assignment()}
        for one, offset in offsets.items():
            super().seek(one, offset)
        found: dict[TopicPartition, list[Any]] = {}
        left = max_records or 500
        for one in set(wanted) - self.paused():
            records = await self._fetch(one, offsets[one])
            if left and records:
                found[one] = records[:left]
                left -= len(found[one])
                super().seek(one, found[one][-1].offset + 1)
        return found

    async def _seen(self, partition: TopicPartition) -> int:
        """Where the caller goes on: behind what it was given, or where its group or the partition begins."""
        if partition in self._reached:
            return self._reached[partition]
        committed = await self.committed(partition)
        if committed is not None:
            return int(committed)
        return int((await self.beginning_offsets([partition]))[partition])

    async def _fetch(self, partition: TopicPartition, offset: int) -> list[Any]:
        leader = self._client.cluster.leader_for_partition(partition)
        if leader is None or leader < 0:
            raise NotLeaderForPartitionError(f"nobody leads {partition.topic}/{partition.partition} at the moment")
        wanted = [(partition.topic, [(partition.partition, offset, HAND_BYTES)])]
        response = await self._client.send(leader, FetchRequest(0, 0, HAND_BYTES, 0, wanted))
        ((_, ((_, code, *_, batches),)),) = response.topics
        if code:
            raise for_code(code)(f"{partition.topic}/{partition.partition} at {offset}")
        records = [record for record in records_in(batches or b"", partition) if record.offset >= offset]
        self._tell(records)
        return records

    def _tell(self, records: Iterable[Any]) -> None:
        for record in records:
            if strange := [name for name, _ in record.headers if "\\x" in name]:
                metrics.STRANGE_HEADERS.labels(topic=record.topic).inc()
                log.warning(
                    "%s/%s@%s has a header whose name is not UTF-8, read as %r", record.topic, record.partition, record.offset, strange[0]
                )


def watch(consumer: Any, partitions: Collection[TopicPartition]) -> None:
    """Take these partitions, besides those that it has, and read none of them before it is resumed. For whoever asks where they begin and
    end: aiokafka pauses `retry_backoff_ms` for each topic that it is asked about and has not been given."""
    had = consumer.assignment()
    if had.issuperset(partitions):
        return
    consumer.assign([*{*had, *partitions}])
    consumer.pause(*consumer.assignment())


async def behind(consumer: Any) -> dict[TopicPartition, int]:
    """Where records wait, and how far is read there, for every partition that a member of a group has.

    A member that has none looks at what its group has committed: whether others read, or nobody does. A topic of which no partition is
    known stands as partition -1. Raises KafkaError; waits for ever where the member never learns its position.
    """
    mine = consumer.assignment()
    if mine:
        read = {place: await consumer.position(place) for place in mine}
    else:
        places = [TopicPartition(topic, n) for topic in consumer.subscription() for n in consumer.partitions_for_topic(topic) or (-1,)]
        if unknown := [place for place in places if place.partition < 0]:
            return dict.fromkeys(unknown, 0)
        read = {place: await consumer.committed(place) or 0 for place in places}
    ends = await consumer.end_offsets(list(read))
    return {place: at for place, at in read.items() if at < ends[place]}


def records_in(batches: bytes, partition: TopicPartition) -> Iterator[Any]:
    """The records of whole batches in format 2, which every broker since 0.11 stores; names of headers that are not UTF-8 are escaped.
    Raises CorruptRecordException."""
    at = 0
    while at + _BATCH.size <= len(batches):
        end = at + _LOG.size + _LOG.unpack_from(batches, at)[1]
        if end > len(batches):
            return  # the last one was cut off
        try:
            yield from _batch(batches[at:end], partition)
        except (LookupError, ValueError, struct.error) as error:
            raise CorruptRecordException(f"a batch of {partition.topic}/{partition.partition} can not be read: {error!r}") from error
        at = end


def _batch(batch: bytes, partition: TopicPartition) -> Iterator[Any]:
    base, _, _, version, checksum, attributes, _, first_ms, last_ms, *_, count = _BATCH.unpack_from(batch)
    if version != 2 or calc_crc32c(batch[_CHECKED_FROM:]) != checksum:
        raise CorruptRecordException(f"a batch of {partition.topic}/{partition.partition} at {base} is damaged")
    if attributes & _CONTROL:
        return
    body, at = memoryview(_CODECS[attributes & 0x07](batch[_BATCH.size :])), 0
    kind = int(bool(attributes & _APPEND_TIME))
    for _ in range(count):
        size, at = _number(body, at)
        if size < 0:
            raise ValueError("a record of negative size")
        delta_ms, delta, key, value, headers = _record(body[at : at + size])
        at += size
        time_ms = last_ms if kind else first_ms + delta_ms
        sizes = tuple(-1 if part is None else len(part) for part in (key, value))
        yield ConsumerRecord(partition.topic, partition.partition, base + delta, time_ms, kind, key, value, None, *sizes, headers)


def _record(body: memoryview) -> tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]:
    delta_ms, at = _number(body, 1)  # behind the attributes, which nobody uses
    delta, at = _number(body, at)
    key, at = _bytes(body, at)
    value, at = _bytes(body, at)
    count, at = _number(body, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(body, at)
        content, at = _bytes(body, at)
        headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
    return delta_ms, delta, key, value, tuple(headers)


def _bytes(body: memoryview, at: int) -> tuple[bytes | None, int]:
    size, at = _number(body, at)
    if at + size > len(body):
        raise ValueError("it is shorter than it says")
    return (None, at) if size < 0 else (bytes(body[at : at + size]), at + size)


def _number(body: memoryview, at: int) -> tuple[int, int]:
    """A zigzag varint. Not aiokafka's own, which reads behind the end of what it is given: damage would end the process."""
    found = shift = 0
    while True:
        byte = body[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at
        shift += 7
