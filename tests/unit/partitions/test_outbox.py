"""From sends to outbox rows: one per destination, numbered without a gap, readable by whoever gets them."""

from datetime import UTC, datetime

from shared.partitions.model import DeadLetter, InputRecord, Send
from shared.partitions.outbox import outbox_of
from shared.schemas import wire
from shared.schemas.commands import Release
from shared.schemas.events import AllocationChanged, StockCommandRefused
from shared.schemas.topics import ALLOCATIONS, DEAD_LETTERS, MOVEMENTS, RESERVATIONS
from shared.schemas.wire import Envelope, envelope_of, header_map, partition_of

NOW = datetime(2026, 3, 4, tzinfo=UTC)
COUNTS = {RESERVATIONS.name: 4, ALLOCATIONS.name: 2, MOVEMENTS.name: 4, DEAD_LETTERS.name: 2}


def release(sku: str, attempt: int = 1) -> Send:
    """An internal command to a SKU."""
    return Send(RESERVATIONS.name, f"acme/{sku}", Release(demand="sales-order/acme/1", merchant="acme", sku=sku, attempt=attempt))


def refusal(command: str) -> Send:
    """A public answer."""
    event = StockCommandRefused(
        command_id=command, merchant="acme", sku="A", reason="zero_change", field="change", remedy="name a change", refused_at=NOW
    )
    return Send(MOVEMENTS.name, "acme/A", event)


def allocation(demand: str) -> Send:
    """A public event of a demand."""
    event = AllocationChanged(
        demand=demand, merchant="acme", version=1, demand_version=1, attempt=1, outcome="released", lines=(), decided_at=NOW
    )
    return Send(ALLOCATIONS.name, demand, event)


def test_nothing_said_is_nothing_stored() -> None:
    assert outbox_of([], COUNTS, "stock/0/1", 41, 7, NOW) == ([], 41)


def test_every_destination_partition_gets_one_row_with_its_messages_in_order() -> None:
    sends = [release(f"S{number}", attempt) for attempt in (1, 2) for number in range(20)]
    rows, last = outbox_of(sends, COUNTS, "demand/0/1", 0, 3, NOW)
    assert len({(row.topic, row.destination) for row in rows}) == len(rows) == 4
    assert last == 4, "a pack is one record"
    for row in rows:
        got = [message for record in row.records for message in decoded(record, {"reservations.pack"})]
        assert got == [send.message for send in sends if partition_of(send.key, 4) == row.destination]


def decoded(record: wire.Record, accepted: set[str]) -> tuple[object, ...]:
    """As a reader decodes it."""
    return wire.decode(record.value, header_map(record.headers), accepted)


def test_numbers_go_on_without_a_gap_and_stand_in_the_headers() -> None:
    sends = [refusal("c1"), allocation("sales-order/acme/1"), refusal("c2"), release("A"), allocation("sales-order/acme/2")]
    rows, last = outbox_of(sends, COUNTS, "stock/2/1", 100, 9, NOW)
    numbers = [envelope_of(header_map(record.headers)) for row in rows for record in row.records]
    assert numbers == [Envelope("stock/2/1", number) for number in range(101, last + 1)]
    assert last == 105
    assert all(row.last_sequence - row.first_sequence + 1 == len(row.records) for row in rows)
    assert {row.batch_no for row in rows} == {9}


def test_rows_do_not_depend_on_the_order_in_which_destinations_were_first_named() -> None:
    one, other = allocation("sales-order/acme/1"), refusal("c1")
    assert outbox_of([one, other], COUNTS, "stock/0/1", 0, 1, NOW) == outbox_of([other, one], COUNTS, "stock/0/1", 0, 1, NOW)


def test_a_trace_goes_into_the_headers_of_its_event_and_of_no_other() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sends = [allocation("sales-order/acme/1").but(traceparent=trace), allocation("sales-order/acme/2")]
    rows, _ = outbox_of(sends, COUNTS, "demand/0/1", 0, 1, NOW)
    found = {record.key: header_map(record.headers).get("traceparent") for row in rows for record in row.records}
    assert found == {b"sales-order/acme/1": trace, b"sales-order/acme/2": None}


def test_a_public_event_is_a_record_of_its_own_under_its_key() -> None:
    rows, _ = outbox_of([allocation("sales-order/acme/1")], COUNTS, "demand/0/1", 0, 1, NOW)
    (record,) = rows[0].records
    assert record.key == b"sales-order/acme/1"
    assert rows[0].destination == partition_of("sales-order/acme/1", 2)
    assert header_map(record.headers)["ce_id"] == "demand/0/1:1", "the same record has the same id when it is published again"


def test_a_pack_holds_at_most_so_many_messages() -> None:
    sends = [release("A", attempt) for attempt in range(1, 2 * wire.MAX_PACKED + 2)]
    rows, last = outbox_of(sends, COUNTS, "demand/0/1", 0, 1, NOW)
    assert (len(rows), last) == (1, 3)
    assert [len(decoded(record, {"reservations.pack"})) for record in rows[0].records] == [wire.MAX_PACKED, wire.MAX_PACKED, 1]


def test_a_pack_that_would_be_too_large_is_split_in_order() -> None:
    long = "sales-order/acme/" + "x" * 64
    messages = [Release(demand=long, merchant="m" * 64, sku="s" * 64, alternative="w" * 64, attempt=2**62 - n) for n in range(400)]
    before, wire.MAX_VALUE_BYTES = wire.MAX_VALUE_BYTES, 20_000
    try:
        records = wire.packs("reservations", messages, source="demand/0/1", first_sequence=7, time=NOW)
    finally:
        wire.MAX_VALUE_BYTES = before
    assert len(records) > 1
    assert all(len(record.value) <= 20_000 for record in records)
    assert [message for record in records for message in decoded(record, {"reservations.pack"})] == messages
    assert [envelope_of(header_map(record.headers)).sequence for record in records] == list(range(7, 7 + len(records)))


def test_a_dead_letter_travels_with_its_bytes_and_with_where_and_why() -> None:
    record = InputRecord("earmark.orders", 1, 17, 5, b"\xffkey", b"\x00\xff", (("h", None),))
    rows, _ = outbox_of([Send(DEAD_LETTERS.name, "k", DeadLetter(record, "not JSON é", "value"))], COUNTS, "demand/1/1", 0, 1, NOW)
    (sent,) = rows[0].records
    told = header_map(sent.headers)
    assert (sent.key, sent.value) == (b"\xffkey", b"\x00\xff")
    assert told["earmark_dead_topic"] == "earmark.orders"
    assert (told["earmark_dead_partition"], told["earmark_dead_offset"]) == ("1", "17")
    assert (told["earmark_dead_field"], told["earmark_dead_reason"]) == ("value", "not JSON é")
    assert told["ce_type"] == "earmark.dead_letter.v1"


def test_a_dead_letter_without_key_and_value_travels_too() -> None:
    record = InputRecord("earmark.orders", 1, 17, 5, None, None, ())
    rows, _ = outbox_of([Send(DEAD_LETTERS.name, "", DeadLetter(record, "a tombstone", "value"))], COUNTS, "demand/1/1", 0, 1, NOW)
    assert (rows[0].records[0].key, rows[0].records[0].value) == (b"", b"")
