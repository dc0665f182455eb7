"""What was once written is read for ever, and what we write is read back as it was."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.schemas import wire
from shared.schemas.wire import Envelope, decode, encode, envelope_of, header_map, packs
from tests.builders.messages import messages
from tests.contract.golden_records import Golden, golden_files

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOLDEN = golden_files()
KINDS = sorted(wire.ADAPTERS)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_a_golden_record_still_decodes_and_still_says_the_same(golden: Golden) -> None:
    for raw, value in zip(golden.raw_values, golden.values, strict=True):
        decoded = decode(raw, dict(golden.headers), {golden.kind})
        said = [json.loads(wire.ADAPTERS[message.type].dump_json(message)) for message in decoded]
        written = value if isinstance(value, list) else [value]
        assert len(said) == len(written)
        for one, other in zip(written, said, strict=True):
            assert _contains(other, one), f"{one} became {other}"


def _contains(said: Any, written: Any) -> bool:
    """Everything written is still said; fields that have a default since may have joined."""
    if isinstance(written, dict):
        return isinstance(said, dict) and all(_contains(said.get(name), value) for name, value in written.items())
    if isinstance(written, list):
        return isinstance(said, list) and len(said) == len(written) and all(map(_contains, said, written))
    return bool(said == written and type(said) is type(written))


def test_every_kind_of_record_has_a_golden_file() -> None:
    kinds = {*wire.ADAPTERS, *(f"{name}.pack" for name in wire.PACKS)}
    missing = {f"{kind}.{wire.SCHEMA}" for kind in kinds} - set(GOLDEN)
    assert not missing, f"write tests/contract/golden/ {', '.join(sorted(missing))}.json: headers, and values at their smallest and fullest"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(data=st.data())
def test_any_message_comes_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    record = encode(message, key="key", envelope=Envelope("stock/3/1", 17), time=NOW)
    found = header_map(record.headers)
    assert decode(record.value, found, {kind}) == (message,)
    assert envelope_of(found) == Envelope("stock/3/1", 17)


@pytest.mark.parametrize("name", sorted(wire.PACKS))
@settings(max_examples=20)
@given(data=st.data())
def test_packed_messages_come_back_in_order_and_numbered_without_a_gap(name: str, data: st.DataObject) -> None:
    kinds = [one for one in KINDS if one in PACKED[name]]
    written = data.draw(st.lists(st.sampled_from(kinds).flatmap(messages), min_size=1, max_size=6))
    records = packs(name, written, source="demand/5/1", first_sequence=40, time=NOW)
    read = [message for record in records for message in decode(record.value, header_map(record.headers), {f"{name}.pack"})]
    assert read == written
    assert [envelope_of(header_map(record.headers)).sequence for record in records] == list(range(40, 40 + len(records)))


@pytest.mark.parametrize(("name", "kind"), [("reservations", "reserve_line"), ("outcomes", "outcome")])
@settings(max_examples=50)
@given(data=st.data())
def test_a_pack_that_is_read_quickly_says_the_same_to_whoever_reads_it_by_the_schema(name: str, kind: str, data: st.DataObject) -> None:
    written = data.draw(st.lists(messages(kind), min_size=1, max_size=4))
    (record,) = packs(name, written, source="stock/3/1", first_sequence=1, time=NOW)
    assert wire._quickly(f"{name}.pack", record.value) == tuple(written) == wire.PACKS[name].validate_json(record.value)


@pytest.mark.parametrize("kind", ["allocation_changed", "order_changed", "order_intake"])
@settings(max_examples=50)
@given(data=st.data())
def test_a_message_that_is_read_quickly_says_the_same_to_whoever_reads_it_by_the_schema(kind: str, data: st.DataObject) -> None:
    written = data.draw(messages(kind))
    value = wire.value_of(written)
    assert wire.ADAPTERS[kind].validate_json(value) == written
    assert wire._quickly(kind, value) in {None, (written,)}
    assert (wire._quickly(kind, value) is None) == (not value.isascii() or b"\\" in value)


PACKED = {
    "reservations": {
        "reserve_line",
        "reserve_chain",
        "release",
        "return_baton",
        "activate",
        "mark_picking",
        "unmark_picking",
        "consume",
        "forget",
    },
    "outcomes": {"outcome", "wake", "forgotten"},
}


def test_many_messages_are_cut_at_the_number_and_at_the_size_that_a_record_may_have() -> None:
    golden = GOLDEN["outcome.v1"]
    (big,) = decode(golden.raw_values[1], dict(golden.headers), {"outcome"})
    records = packs("outcomes", [big] * 1_001, source="stock/3/1", first_sequence=1, time=NOW)
    counts = [len(decode(record.value, header_map(record.headers), {"outcomes.pack"})) for record in records]
    assert sum(counts) == 1_001
    assert max(counts) == wire.MAX_PACKED
    fat = packs("reservations", [_fat_chain()] * 40, source="demand/5/1", first_sequence=1, time=NOW)
    assert len(fat) > 1
    assert max(len(record.value) for record in fat) <= wire.MAX_VALUE_BYTES


def _fat_chain() -> Any:
    golden = GOLDEN["reserve_chain.v1"]
    stops = [{"sku": f"SKU-{number:060d}", "units": 1} for number in range(1_000)]
    (chain,) = decode(json.dumps(golden.values[0] | {"stops": stops}).encode(), dict(golden.headers), {"reserve_chain"})
    return chain


@pytest.mark.parametrize(
    ("key", "partition"),
    [("123456789", 6), ("acme/85123A", 4), ("sales-order/acme/SO-2611-0042", 6), ("", 0), ("acme/BANK CHARGES", 7)],
)
def test_a_key_has_its_partition_for_ever(key: str, partition: int) -> None:
    """`123456789` is the check value that every description of CRC-32 gives: 0xCBF43926."""
    assert wire.partition_of(key, 8) == partition
    assert wire.partition_of(key.encode(), 8) == partition


@pytest.mark.parametrize(
    ("stem", "key"),
    [("receive_stock.v1", "acme/85123A"), ("adjust_stock.v1", "acme/85123A"), ("order_changed.v1", "sales-order/acme/SO-2611-0042")],
)
def test_a_message_of_others_must_lie_in_the_partition_of_its_key(stem: str, key: str) -> None:
    golden = GOLDEN[stem]
    (message,) = decode(golden.raw_values[0], dict(golden.headers), {golden.kind})
    right = wire.partition_of(key, 8)
    wire.require_partition(message, right, 8)
    with pytest.raises(wire.BadRecord, match=f"{key} belongs in partition {right} of 8"):
        wire.require_partition(message, (right + 1) % 8, 8)
