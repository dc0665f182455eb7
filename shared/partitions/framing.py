"""Encoded records of one outbox row: a Kafka record batch (magic 2, with its checksum), built and read by aiokafka's own encoder, and
compressed: a tenth of the bytes go through Postgres' log, and its tables, for 0.2 us a message.

Our own framing in Python cost as much as deciding: twenty small writes for each record's headers.
"""

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from shared.schemas.wire import Record

_NO_LIMIT = 2**31 - 1


class DamagedOutbox(Exception):
    """An outbox row does not match its checksum: Postgres' storage is damaged. Keep the processes stopped and follow
    docs/runbooks.md#damaged-outbox."""


def frame(records: Sequence[Record]) -> bytes:
    """All records of an outbox row as one byte string."""
    assert records, "a row without records is not stored"
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=DefaultRecordBatch.CODEC_SNAPPY,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=_NO_LIMIT,
    )
    for offset, record in enumerate(records):
        builder.append(offset, timestamp=0, key=record.key, value=record.value, headers=list(record.headers))
    return bytes(builder.build())


def unframe(framed: bytes) -> tuple[Record, ...]:
    """The records of `frame`. Raises DamagedOutbox."""
    batch = DefaultRecordBatch(framed)
    if not batch.validate_crc():
        raise DamagedOutbox(" ".join(str(DamagedOutbox.__doc__).split()))
    return tuple([Record(one.key, one.value, tuple(one.headers)) for one in batch])
