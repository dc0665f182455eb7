"""Encoded records of an outbox row survive the trip through one byte string."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from shared.partitions.framing import DamagedOutbox, frame, unframe
from shared.schemas.wire import Record

headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)
records = st.lists(st.builds(Record, st.binary(max_size=8), st.binary(max_size=8), headers), min_size=1, max_size=5)


@given(records)
def test_what_is_framed_comes_back(before: list[Record]) -> None:
    assert unframe(frame(before)) == tuple(before)


def test_empty_and_nul_bytes_are_kept_apart() -> None:
    before = (Record(b"", b"\x00", (("", b""),)), Record(b"\x00", b"", ()))
    assert unframe(frame(before)) == before


def test_rows_of_much_alike_records_are_small() -> None:
    records = [Record(b"key", b'{"type":"allocation_changed","demand":"sales-order/acme/%d"}' % number, ()) for number in range(500)]
    assert len(frame(records)) < sum(len(record.value) for record in records) / 3


def test_rows_that_were_framed_before_there_was_compression_are_read() -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=10_000
    )
    builder.append(0, timestamp=0, key=b"key", value=b"value", headers=[("name", b"header")])
    assert unframe(bytes(builder.build())) == (Record(b"key", b"value", (("name", b"header"),)),)


@given(st.data())
def test_damage_is_noticed_by_the_checksum(data: st.DataObject) -> None:
    framed = bytearray(frame([Record(b"key", b"value", (("name", b"header"),))]))
    at = data.draw(st.integers(21, len(framed) - 1))  # behind the batch's own length and checksum
    framed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedOutbox, match=r"docs/runbooks\.md#damaged-outbox"):
        unframe(bytes(framed))
