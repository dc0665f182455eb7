"""Records with a header whose name is not UTF-8: clients in other languages write any bytes, ours can not, so the batch is spoiled after
it was built."""

import struct
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from shared.kafka import producer_settings, stop_client

PLACEHOLDER = "strange-name"
SPOILED = b"\xff\xfe\xfa" + PLACEHOLDER[3:].encode()
READ_AS = "\\xff\\xfe\\xfa" + PLACEHOLDER[3:]
_CHECKSUM_AT, _CHECKED_FROM = 17, 21

Headers = tuple[tuple[str, bytes | None], ...]


def spoiled(batch: bytes) -> bytes:
    """An uncompressed batch with its placeholder made unreadable and its checksum right."""
    found = bytearray(batch.replace(PLACEHOLDER.encode(), SPOILED))
    struct.pack_into(">I", found, _CHECKSUM_AT, calc_crc32c(bytes(found[_CHECKED_FROM:])))
    return bytes(found)


async def say_strangely(kafka: str, topic: str, key: bytes, value: bytes, headers: Headers = (), partition: int = 0) -> int:
    """Write one record with such a header before its others; returns its offset."""
    producer: Any = AIOKafkaProducer(**producer_settings(kafka) | {"compression_type": None})
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=key, value=value, timestamp=None, headers=[(PLACEHOLDER, b"x"), *headers])
        build = batch._build
        batch._build = lambda: spoiled(bytes(build()))
        written = await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await stop_client(producer)
    return int(written.offset)
