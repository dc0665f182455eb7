"""Batches read by hand: what aiokafka reads is read the same, and what it can not read is."""

import contextlib
import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from shared.consumer import records_in
from tests.support.strange_headers import PLACEHOLDER, READ_AS, spoiled

PLACE = TopicPartition("t", 3)
RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"k", b"v", [("ce_type", b"earmark.x.v1"), ("empty", None)]),
    (None, b"w" * 300, []),
    (b"", None, [(PLACEHOLDER, b"\xff"), ("ünter", b"")]),
]


def _batch(codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=100_000
    )
    for offset, (key, value, headers) in enumerate(RECORDS):
        builder.append(offset, timestamp=1_700_000_000_000 + offset, key=key, value=value, headers=headers)
    return bytes(builder.build())


def _as_aiokafka(batches: bytes) -> list[Any]:
    records, found = MemoryRecords(batches), []
    while records.has_next():
        found += [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in records.next_batch()]
    return found


def _by_hand(batches: bytes) -> list[Any]:
    return [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in records_in(batches, PLACE)]


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=["plain", "gzip", "snappy", "lz4", "zstd"])
def test_what_aiokafka_reads_is_read_the_same(codec: int) -> None:
    assert _by_hand(_batch(codec) + _batch()) == _as_aiokafka(_batch(codec) + _batch())


def test_a_name_that_is_not_utf8_is_escaped_and_everything_else_is_as_it_was() -> None:
    with pytest.raises(UnicodeDecodeError):
        _as_aiokafka(spoiled(_batch()))
    expected = _as_aiokafka(_batch())
    expected[2][4][0] = (READ_AS, b"\xff")
    assert _by_hand(spoiled(_batch())) == expected


def test_a_batch_that_the_broker_cut_off_is_left_for_the_next_fetch() -> None:
    assert _by_hand(_batch() + _batch()[:-1]) == _by_hand(_batch())


@pytest.mark.parametrize("place", [16, 30, 70], ids=["version", "checked header", "body"])
def test_damage_is_not_taken_for_records(place: int) -> None:
    batch = bytearray(_batch())
    batch[place] ^= 0x55
    with pytest.raises(CorruptRecordException):
        _by_hand(bytes(batch))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_records_or_damage(anything: bytes, signed: bool) -> None:
    """`signed`: as the body of a batch whose checksum is right."""
    with contextlib.suppress(CorruptRecordException):
        _by_hand(spoiled(_batch()[:8] + struct.pack(">i", 49 + len(anything)) + _batch()[12:61] + anything) if signed else anything)
