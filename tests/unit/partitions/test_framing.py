"""Encoded records of an outbox row survive the trip through one byte string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.partitions.framing import frame, unframe
from shared.schemas.wire import Record

headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)
records = st.lists(st.builds(Record, st.binary(max_size=8), st.binary(max_size=8), headers), max_size=5)


@given(records)
def test_what_is_framed_comes_back(before: list[Record]) -> None:
    assert unframe(frame(before)) == tuple(before)


def test_no_records_are_no_bytes() -> None:
    assert frame([]) == b""
    assert unframe(b"") == ()


def test_empty_and_nul_bytes_are_kept_apart() -> None:
    before = (Record(b"", b"\x00", (("", b""),)), Record(b"\x00", b"", ()))
    assert unframe(frame(before)) == before


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_cut_length_is_noticed(missing: int) -> None:
    import struct

    with pytest.raises(struct.error):
        unframe(frame([Record(b"k", b"v", ())])[:-missing])
