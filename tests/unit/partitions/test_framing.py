"""Encoded records of an outbox row survive the trip through one byte string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.partitions.framing import DamagedOutbox, frame, unframe
from shared.schemas.wire import Record

headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)
records = st.lists(st.builds(Record, st.binary(max_size=8), st.binary(max_size=8), headers), max_size=5)


@given(records)
def test_what_is_framed_comes_back(before: list[Record]) -> None:
    assert unframe(frame(before)) == tuple(before)


def test_empty_and_nul_bytes_are_kept_apart() -> None:
    before = (Record(b"", b"\x00", (("", b""),)), Record(b"\x00", b"", ()))
    assert unframe(frame(before)) == before


@given(st.data())
def test_damage_is_noticed_by_the_checksum(data: st.DataObject) -> None:
    framed = bytearray(frame([Record(b"key", b"value", (("name", b"header"),))]))
    at = data.draw(st.integers(21, len(framed) - 1))  # behind the batch's own length and checksum
    framed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedOutbox, match=r"docs/runbooks\.md#damaged-outbox"):
        unframe(bytes(framed))
