"""Every decoder keeps its promise for everything that was ever found, and for what is nearly right."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.inventory.api.words import NewReceipts
from services.orders.api.bodies import NewOrder, NewRun
from shared.http import Body
from shared.http.bodies import Json
from shared.schemas.wire import BadRecord
from tests.fuzz import verdicts
from tests.fuzz.corpus import DECODERS, Decoder, kept

CORPUS = list(kept())
EXAMPLES = 60 if settings.get_current_profile_name() == "gate" else 2_000
HUGE_BYTES = 120_000
"""What grows with the square of its input takes three seconds for so much, and an hour for what a broker takes."""
MEMORY_FACTOR = 200
"""What a parser makes of `{"u":1},`: a dictionary of Python, 184 bytes and its place, for eight bytes, several times."""


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_what_was_once_found_is_judged_as_it_was(decoder: Decoder) -> None:
    mine = [one for one in CORPUS if one.decoder is decoder]
    assert mine, "make fuzz makes a corpus for every decoder"
    judged = [(one, decoder.judge(one.content).word) for one in mine]
    assert [(one.content, word) for one, word in judged if one.word not in {None, word}] == []


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_what_is_nearly_right_is_taken_as_the_strict_schema_takes_it_or_refused_with_field_and_reason(
    decoder: Decoder, data: st.DataObject
) -> None:
    decoder.judge(data.draw(decoder.inputs))


def _filled(begin: bytes, piece: bytes, end: bytes) -> bytes:
    return begin + piece * ((HUGE_BYTES - len(begin) - len(end)) // len(piece)) + end


HUGE = {
    "brackets": b"[" * HUGE_BYTES,
    "empty lists": _filled(b"[", b"[],", b"[]]"),
    "names, one of them twice": b"{" + b"".join(b'"%x":1,' % n for n in range(HUGE_BYTES // 11)) + b'"x":1,"x":2}',
    "names, all of them twice": b"{" + b"".join(b'"%x":1,' % (n // 2) for n in range(HUGE_BYTES // 11)) + b'"y":2}',
    "wrong lines": _filled(b'{"type":"order_intake","lines":[', b'{"u":1},', b"{}]}"),
    "an endless number": _filled(b'{"units":', b"9", b"}"),
    "an endless text": _filled(b'{"sku":"', b"x", b'"}'),
    "escapes": _filled(b'{"sku":"', b"\\u0061", b'"}'),
    "blanks": _filled(b"{", b" ", b"}"),
    "commas": _filled(b"[1", b",", b"]"),
    "quotes": _filled(b"{", b'"', b"}"),
}


def _peak(decode: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        decode()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("huge", HUGE.values(), ids=list(HUGE))
def test_what_is_huge_takes_time_and_memory_by_its_size_and_no_more(huge: bytes) -> None:
    for kind in ("order_intake", "receive_stock", "reservations.pack"):
        assert isinstance(verdicts.decoded(kind, huge), BadRecord)
    verdicts.read(huge)
    for decode in (lambda: verdicts._decoded("order_intake", huge), lambda: verdicts._read(huge)):
        assert _peak(decode) < MEMORY_FACTOR * len(huge) + 2**20


FLOODS: list[tuple[type[Body], bytes]] = [
    (NewOrder, b'{"lines":[' + b'{"u":1},' * 30_000 + b"{}]}"),
    (NewOrder, b'{"lines":[{"warehouses":[' + b"1," * 100_000 + b"1]}]}"),
    (NewOrder, b'{"lines":[' + b",".join([b"{%s}" % b",".join(b'"%d":1' % n for n in range(90))] * 300) + b"]}"),
    (NewRun, b'{"filter":{"status":[' + b"1," * 100_000 + b"1]}}"),
    (NewReceipts, b'{"receipts":[' + b"{}," * 100_000 + b"{}]}"),
    (NewReceipts, b'{"receipts":[' + b'{"u":1},' * 4_000 + b"{}]}"),
]


@pytest.mark.parametrize(("body", "raw"), FLOODS)
def test_what_is_wrong_a_hundred_thousand_times_makes_no_hundred_thousand_findings(body: type[Body], raw: bytes) -> None:
    with pytest.raises(ValidationError) as refused:
        verdicts.timed(lambda: body.model_validate_json(Json(raw).raw), len(raw))
    assert 0 < refused.value.error_count() <= 100
