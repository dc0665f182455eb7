"""Whatever lies in Kafka: it decodes, or it is refused by name. Never another exception, never a text that Postgres would not take."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.schemas import wire
from shared.schemas.wire import BadRecord, Envelope, decode, envelope_of, header_map, packs, traceparent_of, value_of
from tests.contract.golden_records import golden_files
from tests.contract.hostile_records import HOSTILE, RECEIPT, Hostile
from tests.fuzz.verdicts import has_doubled_name, is_storable, require_sound

GOLDEN = golden_files()
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
TYPE = {"ce_type": "earmark.receive_stock.v1"}
ACCEPTED = {"receive_stock"}


def refusal(value: bytes | None, headers: dict[str, str] | None = None) -> BadRecord:
    with pytest.raises(BadRecord) as caught:
        decode(value, TYPE if headers is None else headers, ACCEPTED)
    return caught.value


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda one: one.name)
def test_a_hostile_value_is_refused_with_the_name_of_the_field(hostile: Hostile) -> None:
    refused = refusal(hostile.value)
    assert (refused.field, refused.newer) == (hostile.field, False)
    assert hostile.reason in refused.reason
    require_sound(refused)


def test_the_receipt_that_the_hostile_ones_are_made_of_is_good() -> None:
    assert len(decode(json.dumps(RECEIPT).encode(), TYPE, ACCEPTED)) == 1


@pytest.mark.parametrize(
    ("name", "newer"),
    [
        ("earmark.receive_stock.v2", True),
        ("earmark.receive_stock.v10", True),
        ("earmark.receive_stock.v0", False),
        ("earmark.receive_stock.v01", False),
        ("earmark.receive_stock.v1.v1", False),
        ("earmark.receive_stock.v²", False),
        ("earmark.receive_stock.v٣", False),
        ("earmark.receive_stock.v" + "9" * 5_000, False),
        ("earmark.receive_stock", False),
        ("earmark.adjust_stock.v1", False),
        ("earmark.adjust_stock.v2", False),
        ("earmark.new_thing.v1", False),
        ("earmark.\ud800.v1", False),
        ("receive_stock.v1", False),
        ("", False),
    ],
)
def test_only_a_higher_version_of_a_kind_that_belongs_here_counts_as_newer(name: str, newer: bool) -> None:
    refused = refusal(json.dumps(RECEIPT).encode(), {"ce_type": name})
    assert (refused.field, refused.newer) == ("ce_type", newer)
    require_sound(refused)


def test_a_record_without_headers_is_refused_and_told_what_belongs_there() -> None:
    assert "receive_stock" in refusal(json.dumps(RECEIPT).encode(), {}).reason


def test_headers_that_are_not_text_are_as_good_as_absent() -> None:
    raw = [("ce_type", b"\xff\xfe"), ("ce_id", None), ("ce_type", b"earmark.receive_stock.v1"), ("ce_type", b"other")]
    assert header_map(raw) == {"ce_type": "earmark.receive_stock.v1"}


@pytest.mark.parametrize("sequence", ["", "0", "-1", "+1", " 1", "1_0", "1.0", "٣", "1e3", "9" * 19, "9" * 5_000])
def test_a_sequence_is_a_plain_number_that_eight_bytes_hold(sequence: str) -> None:
    with pytest.raises(BadRecord, match="not written by the allocator"):
        envelope_of({"earmark_source": "stock/3/1", "earmark_sequence": sequence})


@pytest.mark.parametrize("source", ["", "a\x00b", " stock/3/1", "x" * 101, "stock/3/1\n", "ü"])
def test_a_source_is_a_short_plain_name(source: str) -> None:
    with pytest.raises(BadRecord, match="not written by the allocator"):
        envelope_of({"earmark_source": source, "earmark_sequence": "1"})


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "given",
    [
        TRACE.upper(),
        TRACE + "\n",
        TRACE + "-more",
        TRACE[:-1],
        "ff" + TRACE[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        "",
    ],
)
def test_a_trace_that_is_not_in_order_is_none(given: str) -> None:
    assert traceparent_of({"traceparent": given}) is None
    assert traceparent_of({"traceparent": TRACE}) == TRACE
    assert traceparent_of({}) is None


def test_an_envelope_without_headers_is_refused() -> None:
    with pytest.raises(BadRecord):
        envelope_of({})
    assert envelope_of({"earmark_source": "stock/3/1", "earmark_sequence": "17"}) == Envelope("stock/3/1", 17)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"attempt": True}, "1.release.attempt"),
        ({"type": "receive_stock"}, "1"),
        ({"demand": "sales-order/acme/é"}, "1.release.demand"),
    ],
)
def test_one_bad_message_of_a_pack_is_named_by_its_place(changed: dict[str, Any], field: str) -> None:
    release = GOLDEN["release.v1"].values[0]
    with pytest.raises(BadRecord) as caught:
        decode(json.dumps([release, release | changed]).encode(), {"ce_type": "earmark.reservations.pack.v1"}, {"reservations.pack"})
    assert caught.value.field == field


def _pack_of(name: str, *changes: dict[str, Any]) -> tuple[bytes, dict[str, str], set[str]]:
    """A pack of one kind as the allocator writes it, of as many messages as there are changes."""
    kind, pack = {"reservations": ("reserve_line", "reservations.pack"), "outcomes": ("outcome", "outcomes.pack")}[name]
    (message,) = decode(GOLDEN[f"{kind}.v1"].raw_values[-1], {"ce_type": f"earmark.{kind}.v1"}, {kind})
    written = json.loads(packs(name, [message], source="stock/3/1", first_sequence=1, time=AT)[0].value)
    value = json.dumps([written[0] | change for change in changes], separators=(",", ":"), ensure_ascii=False).encode()
    return value, {"ce_type": f"earmark.{pack}.v1"}, {pack}


@pytest.mark.parametrize("name", ["reservations", "outcomes"])
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"attempt": 0}, "attempt"),
        ({"attempt": True}, "attempt"),
        ({"attempt": 2**63}, "attempt"),
        ({"demand": "sales-order/acme/\x00"}, "demand"),
        ({"demand": "sales-order/acme/é"}, "demand"),
        ({"sku": None}, "sku"),
        ({"type": "wake"}, ""),
        ({"price": 5}, "price"),
    ],
)
def test_a_pack_of_one_kind_is_read_quickly_and_judged_as_any_other(name: str, changed: dict[str, Any], field: str) -> None:
    assert len(decode(*_pack_of(name, {}, {}))) == 2
    with pytest.raises(BadRecord) as caught:
        decode(*_pack_of(name, {}, changed))
    assert caught.value.field.startswith("1")
    assert caught.value.field.endswith(field)


def test_a_line_without_a_warehouse_is_refused_in_a_pack_of_lines() -> None:
    with pytest.raises(BadRecord) as caught:
        decode(*_pack_of("reservations", {}, {"warehouses": []}))
    assert caught.value.field.endswith("warehouses")


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"price": 5}, "price"), ({"version": True}, "version"), ({"version": 0}, "version"), ({"outcome": "more"}, "outcome")],
)
def test_an_answer_is_read_quickly_and_judged_as_any_other_message(changed: dict[str, Any], field: str) -> None:
    headers, accepted = {"ce_type": "earmark.allocation_changed.v1"}, {"allocation_changed"}
    (answer,) = decode(GOLDEN["allocation_changed.v1"].raw_values[0], headers, accepted)
    written = json.loads(value_of(answer))
    assert decode(json.dumps(written, separators=(",", ":")).encode(), headers, accepted) == (answer,)
    with pytest.raises(BadRecord) as caught:
        decode(json.dumps(written | changed, separators=(",", ":")).encode(), headers, accepted)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("demand", "id"), "sales-order/acme/a b", "demand.id"),
        (("demand", "id"), "sales-order/acme/1\n", "demand.id"),
        (("demand", "merchant"), "a/b", "demand.merchant"),
        (("demand", "merchant"), "x" * 65, "demand.merchant"),
        (("demand", "lines"), [], "demand.lines"),
        (("demand", "lines", 0, "sku"), " MUG", "demand.lines.0.sku"),
        (("demand", "lines", 0, "sku"), "x" * 65, "demand.lines.0.sku"),
        (("demand", "lines", 0, "units"), 0, "demand.lines.0.units"),
        (("demand", "lines", 0, "units"), 1_000_000_001, "demand.lines.0.units"),
        (("demand", "lines", 0, "warehouses"), ["W 1"], "demand.lines.0.warehouses.0"),
        (("demand", "warehouses"), ["W"] * 17, "demand.warehouses"),
        (("demand", "warehouses"), [""], "demand.warehouses.0"),
        (("demand", "priority"), 1_000_001, "demand.priority"),
        (("demand", "demanded_at"), "1969-12-31T23:59:59Z", "demand.demanded_at"),
        (("demand", "demanded_at"), "3000-01-01T00:00:00Z", "demand.demanded_at"),
        (("demand", "demanded_at"), "2026-11-21T12:00:00", "demand.demanded_at"),
        (("changed_at",), "3000-01-01T00:00:00Z", "changed_at"),
        (("channel",), "x" * 501, "channel"),
        (("receiver",), "x" * 501, "receiver"),
        (("tags",), ["x" * 501], "tags.0"),
        (("tags",), ["x"] * 51, "tags"),
        (("status",), "sold", "status"),
        (("value_minor_units",), -1, "value_minor_units"),
        (("price",), 5, "price"),
        (("demand", "price"), 5, "demand.price"),
    ],
)
def test_an_order_is_read_quickly_and_judged_as_any_other_message(place: tuple[Any, ...], value: Any, field: str) -> None:
    kind = "order_changed"
    (order,) = decode(GOLDEN["order_changed.v1"].raw_values[0], {"ce_type": "earmark.order_changed.v1"}, {kind})
    written = json.loads(value_of(order))
    assert wire._quickly(kind, _compact(written)) == (order,)
    at = written
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    assert wire._quickly(kind, _compact(written)) is None
    with pytest.raises(BadRecord) as caught:
        decode(_compact(written), {"ce_type": "earmark.order_changed.v1"}, {kind})
    assert caught.value.field == field


def test_a_name_that_stands_twice_in_an_order_is_found_however_it_is_read() -> None:
    (order,) = decode(GOLDEN["order_changed.v1"].raw_values[0], {"ce_type": "earmark.order_changed.v1"}, {"order_changed"})
    value = value_of(order)
    doubled = value[:-1] + b',"number":"other"}'
    with pytest.raises(BadRecord, match="stands twice"):
        decode(doubled, {"ce_type": "earmark.order_changed.v1"}, {"order_changed"})


INTAKE: dict[str, Any] = {
    "type": "order_intake",
    "merchant": "acme",
    "number": "A-1",
    "version": 1,
    "lines": [{"sku": "MUG", "units": 2}, {"sku": "CUP", "units": 1, "warehouses": ["main"]}],
    "demanded_at": "2026-11-21T12:00:00Z",
}
_INTAKE = {"ce_type": "earmark.order_intake.v1"}, {"order_intake"}


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("merchant",), "a/b", "merchant"),
        (("number",), "A 1", "number"),
        (("number",), "x" * 65, "number"),
        (("version",), True, "version"),
        (("version",), 0, "version"),
        (("version",), 2**63, "version"),
        (("lines",), [], "lines"),
        (("lines", 0, "sku"), "MUG ", "lines.0.sku"),
        (("lines", 0, "units"), 2.0, "lines.0.units"),
        (("lines", 0, "units"), "2", "lines.0.units"),
        (("lines", 0, "price"), 5, "lines.0.price"),
        (("lines", 1, "warehouses"), ["W 1"], "lines.1.warehouses.0"),
        (("lines", 1, "warehouses"), ["W"] * 17, "lines.1.warehouses"),
        (("demanded_at",), "2026-11-21T12:00:00", "demanded_at"),
        (("demanded_at",), "3000-01-01T00:00:00Z", "demanded_at"),
        (("demanded_at",), 1_700_000_000, "demanded_at"),
        (("reason",), "x" * 501, "reason"),
        (("tags",), ["x" * 501], "tags.0"),
        (("tags",), ["x"] * 51, "tags"),
        (("canceled",), 1, "canceled"),
        (("fill",), "some", "fill"),
        (("value_minor_units",), -1, "value_minor_units"),
        (("price",), 5, "price"),
    ],
)
def test_an_order_of_a_channel_is_read_quickly_and_judged_as_any_other_message(place: tuple[Any, ...], value: Any, field: str) -> None:
    written = json.loads(json.dumps(INTAKE))
    assert wire._quickly("order_intake", _compact(written)) == decode(json.dumps(written).encode(), *_INTAKE)
    at = written
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    assert wire._quickly("order_intake", _compact(written)) is None
    with pytest.raises(BadRecord) as caught:
        decode(_compact(written), *_INTAKE)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"version":1', '"version":1,"version":2'),
        ('"version":1', '"version":1,"version" :2'),
        ('"version":1', '"version":1,"version"\n:2'),
        ('"units":2', '"units":2,"units":3'),
        ('"sku":"CUP"', '"sku":"POT","sku":"CUP"'),
        ('"warehouses":["main"]', '"warehouses":[],"warehouses":["main"]'),
        ('"warehouses":["main"]', '"warehouses":["main"],"warehouses":[]'),
        ('"type":"order_intake"', '"type":"order_intake","type":"order_intake"'),
    ],
)
def test_a_name_that_stands_twice_in_an_order_of_a_channel_is_found_wherever_it_stands(once: str, twice: str) -> None:
    value = _compact(INTAKE).decode()
    assert once in value
    with pytest.raises(BadRecord, match="stands twice"):
        decode(value.replace(once, twice, 1).encode(), *_INTAKE)


def _compact(written: Any) -> bytes:
    """JSON as we write it."""
    return json.dumps(written, separators=(",", ":")).encode()


def test_a_pack_holds_nothing_that_belongs_into_the_other() -> None:
    value, _, _ = _pack_of("outcomes", {})
    with pytest.raises(BadRecord):
        decode(value, {"ce_type": "earmark.reservations.pack.v1"}, {"reservations.pack"})


def test_a_chain_can_not_stand_behind_its_last_stop() -> None:
    golden = GOLDEN["reserve_chain.v1"]
    with pytest.raises(BadRecord, match="beyond the stops"):
        decode(json.dumps(golden.values[0] | {"stop": 1}).encode(), dict(golden.headers), {"reserve_chain"})


# ---------------------------------------------------------------- anything at all


def tried(value: bytes | None, headers: dict[str, str], accepted: Iterable[str]) -> None:
    """Decodes to what a database takes, or is refused in words that a database takes."""
    answer: BadRecord | tuple[Any, ...]
    try:
        answer = decode(value, headers, frozenset(accepted))
    except BadRecord as refused:
        answer = refused
    if isinstance(answer, BadRecord):
        require_sound(answer)
    else:
        assert all(map(is_storable, answer))


@given(value=st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(value: bytes) -> None:
    tried(value, TYPE, ACCEPTED)


@given(name=st.text(max_size=60) | st.from_regex(r"earmark\.[a-z_]+\.v.{0,5}\Z"))
def test_any_type_is_taken_or_refused(name: str) -> None:
    tried(json.dumps(RECEIPT).encode(), {"ce_type": name}, {*wire.ADAPTERS})


NAMES = st.sampled_from(["a", "b", "", '"', ":", "\\", "é"])
TEXTS = st.recursive(
    st.sampled_from(["1", "-0.5e3", "null", "true", '"a"', '":"', '"{\\"a\\":1}"', '"\\u0061"', "NaN", " "]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(NAMES, inner), max_size=4).map(
            lambda pairs: "{" + " ,".join(f"{json.dumps(name, ensure_ascii=False)}: {item}" for name, item in pairs) + "}"
        )
    ),
    max_leaves=10,
)
"""Texts like JSON in which names are doubled at any depth."""


@given(text=TEXTS)
@example(text='{"a": {"b": [{"c": 1, "c": 2}]}}')
@example(text='{"a": "x", "x": "a", "a": "x"}')
def test_a_name_that_stands_twice_is_found_at_any_depth_and_nothing_else_is(text: str) -> None:
    try:
        doubled = has_doubled_name(text)
    except ValueError:
        return
    refused = None
    try:
        decode(text.encode(), TYPE, ACCEPTED)
    except BadRecord as error:
        refused = error
    assert refused is not None, "none of them is a receipt"
    assert ("twice" in refused.reason) == doubled
