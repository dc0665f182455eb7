"""Inputs that are nearly right: golden messages with parts changed, spelled in every way that JSON allows and some that it does not."""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from shared.http.cursors import encode
from shared.schemas.wire import ADAPTERS
from tests.contract.golden_records import golden_files
from tests.fuzz.verdicts import CURSOR_KEY, SCOPE, Header

GOLDEN = {golden.kind: golden for golden in golden_files().values()}
TIMES = [
    "2026-11-21T12:00:00Z", "2026-11-21t12:00:00z", "2026-11-21 12:00:00Z", "2026-11-21T12:00Z", "2026-11-21T12:00:00.1234567Z",
    "2026-11-21T24:00:00Z", "2026-11-21T12:00:60Z", "2026-11-21T12:00:00+25:00", "2026-11-21T12:00:00-00:00", "2026-11-21T12:00:00+0100",
    "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2999-12-31T23:59:59.9999999Z", "3000-01-01T00:30:00+01:00",
    "0001-01-01T00:00:00+23:00", "20261121T120000Z", "2026-W47-6", "2026-11-21", "2026-02-30", "1700000000",
]  # fmt: skip
HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**62, 2**62 + 1, 2**63, 2**64, 10**30, 10**9, 10**9 + 1, 1.0, 0.5, -0.0, 1e308,
    "", " ", "a", "a ", "a\n", "a b", "\x00", "é", "\u2028", "\U0001f4a9", "\ufffd", "x" * 64, "x" * 65, "x" * 500, "x" * 501, "../a",
    [], {}, [[]], [None], {"a": 1}, ["a"] * 17, *TIMES,
]  # fmt: skip
WORDS = ["main", "sales-order/acme/A-1", "partial", "stock", "allocated", "CORRECTION", "fefo", "pending", "order_intake", *ADAPTERS]
TEXTS = [b"\\", b'"', b"0", b"-", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"\n", b"\xff", b"\xc3", b"\x00", b"e", b".", b"\\u0061"]

_TEXT = re.compile(r'"[^"\\]*"')

values = st.sampled_from(HOSTILE).map(deepcopy) | st.sampled_from(WORDS) | st.integers() | st.text(max_size=4) | st.floats()
"""What stands in place of something that is right."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every part of a JSON value but the whole."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inside:
        yield (*at, name)
        yield from places(part, (*at, name))


def _within(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _edited(draw: DrawFn, value: Any) -> Any:
    """One part replaced, taken out, put elsewhere, or one field more."""
    paths = list(places(value))
    if not paths:
        return draw(values)
    path = draw(st.sampled_from(paths))
    holder, last = _within(value, path[:-1]), path[-1]
    match draw(st.sampled_from(["replace", "remove", "move", "add", "repeat", "rename"])):
        case "replace":
            holder[last] = draw(values)
        case "remove":
            del holder[last]
        case "move":
            holder[last] = json.loads(json.dumps(_within(value, draw(st.sampled_from(paths)))))
        case "repeat" if isinstance(holder, list):
            holder *= draw(st.sampled_from([2, 20, 400]))
        case "rename" if isinstance(holder, dict):
            name = draw(st.sampled_from(sorted(map(str, holder))) | st.text(max_size=4))
            holder[name] = holder.pop(last)
        case _ if isinstance(holder, dict):
            holder[draw(st.text(max_size=4) | st.just("price"))] = draw(values)
        case _:
            holder.append(draw(values))
    return value


def _escaped(text: str) -> str:
    """The same with every letter of its texts written as an escape."""
    return _TEXT.sub(lambda found: "".join(f"\\u{ord(one):04x}" if one.isalpha() else one for one in found[0]), text)


SPELLINGS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: json.dumps(json.loads(text)),
    lambda text: json.dumps(json.loads(text), indent=1),
    lambda text: json.dumps(json.loads(text), ensure_ascii=False),
    lambda text: json.dumps(json.loads(text), sort_keys=True, separators=(" , ", "\t:\n")),
    _escaped,
]


def _respelled(draw: DrawFn, raw: bytes) -> bytes:
    """A name twice, a number otherwise written, or some bytes changed."""
    at = draw(st.integers(0, len(raw)))
    match draw(st.sampled_from(["double", "number", "bytes", "cut", "tail"])):
        case "double":
            name = draw(st.sampled_from(['"type":1,', '"sku":"A",', '"units" : 5,', '"\\u0073ku":"A",', '"version":2,', '"lines":[],']))
            begin = raw.find(b"{", at)
            return raw[: begin + 1] + name.encode() + raw[begin + 1 :]
        case "number":
            begin = raw.find(b":", at) + 1
            return raw[:begin] + draw(st.sampled_from([b"-", b"0", b"1e", b"0.", b"9" * 30, b"+", b"1_"])) + raw[begin:]
        case "cut":
            return raw[:at]
        case "tail":
            return raw + draw(st.sampled_from([b" ", b"\x00", b"{}", b"\n", b"]"]))
        case _:
            return raw[:at] + draw(st.binary(max_size=2) | st.sampled_from(TEXTS)) + raw[at + draw(st.integers(0, 2)) :]


@st.composite
def nearly(draw: DrawFn, kind: str) -> bytes:
    """The bytes of a record of this kind, with up to three parts changed, spelled in some way, with up to two places respelled."""
    value = json.loads(draw(st.sampled_from(GOLDEN[kind].raw_values)))
    for _ in range(draw(st.integers(0, 3))):
        value = _edited(draw, value)
    text = json.dumps(value, separators=(",", ":"))
    raw = draw(st.sampled_from(SPELLINGS))(text).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        raw = _respelled(draw, raw)
    return raw


NAMES = ["ce_type", "ce_id", "earmark_source", "earmark_sequence", "traceparent", "content-type", "CE_TYPE", ""]
CONTENTS = [
    *(f"earmark.{kind}.v1".encode() for kind in ("order_intake", "reservations.pack", "wake")),
    *(b"earmark.wake.v2", b"earmark.wake.v0", b"earmark.wake.v" + b"9" * 5_000, b"earmark..v1", b"stock/3/1", b"1", b"0", b"-1", b"1_0"),
    *(b"9" * 18, b"9" * 19, b"\xff\xfe", b"", b" ", b"\x00", "٣".encode(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]
headers: st.SearchStrategy[list[Header]] = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), st.none() | st.sampled_from(CONTENTS) | st.binary(max_size=30)), max_size=8
)
"""Headers as Kafka has them: any name, any bytes, several of a name."""

keys = st.from_regex(r"\s?[Bb]earer {1,2}em_[a-z0-9]{15,17}\.[A-Za-z0-9_-]{42,44}\s?") | st.text(max_size=80)
"""What stands in an Authorization header."""

_ROWS: list[list[str | int | None]] = [[], [None], ["SO-1"], [2**62, "a"], ["é" * 30]]
_SENT = [encode(CURSOR_KEY, SCOPE, values) for values in _ROWS]


@st.composite
def cursors(draw: DrawFn) -> str:
    """A cursor of ours, mostly spoiled."""
    sent = draw(st.sampled_from(_SENT) | st.text(max_size=60))
    at = draw(st.integers(0, len(sent)))
    return sent[:at] + draw(st.sampled_from(["", "", "=", "A", "é", "+", "/", "\x00", " "])) + sent[at + draw(st.integers(0, 1)) :]
