"""What `earmark verify --from-log` reads of a record: the few fields that are compared, of messages as the wire writes them; and which
records count."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from services.console.log_records import INPUTS, OUTPUTS, NotReadable, digest, row_of
from services.console.log_sorting import TOPICS, Sorter, Source
from shared.schemas import events, topics
from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.values import AdjustmentReason, Line, Piece, Wish
from shared.schemas.wire import Envelope, Record, encode, pack, value_of
from tests.unit.console.test_log_reading import place

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
STOCK_3 = "stock/3"


def allocation(version: int = 1) -> events.AllocationChanged:
    """An order of two lines, one of them short."""
    piece = Piece(record=1, warehouse="main", bin="A-1", units=2)
    return events.AllocationChanged(
        demand="sales-order/acme/1", merchant="acme", version=version, demand_version=2, attempt=1, outcome="partially_allocated",
        lines=(
            events.AllocatedLine(
                sku="A", wanted_units=2, reserved_units=2, flagged_units=1, waiting_units=0, consumed_units=0, pieces=(piece,)
            ),
            events.AllocatedLine(sku="B", wanted_units=4, reserved_units=0, flagged_units=0, waiting_units=4, consumed_units=0),
        ),
        decided_at=NOON,
    )  # fmt: skip


MOVED = events.StockMoved(
    command_id="r-1", merchant="acme", sku="A", record=1, warehouse="main", bin="A-1", kind="receive", change=5, on_hand_before=1,
    on_hand_after=6, record_version=2, ledger_version=3, moved_at=NOON,
)  # fmt: skip
REFUSED = events.StockCommandRefused(
    command_id="a-1", merchant="acme", sku="A", reason="below_zero", field="change", remedy="less", refused_at=NOON
)
LEVELS = events.StockLevelChanged(
    merchant="acme", sku="A", ledger_version=3, changed_at=NOON,
    warehouses=(events.WarehouseLevel(warehouse="main", on_hand_units=6, held_units=0, allocated_units=2, available_units=4),),
)  # fmt: skip
ORDER = events.OrderChanged(
    demand=events.Demand(
        id="sales-order/acme/1", merchant="acme", version=2, wish=Wish.STOCK, demanded_at=NOON,
        lines=(Line(sku="B", units=1), Line(sku="A", units=2), Line(sku="B", units=3)),
    ),
    number="1", status="awaiting_fulfillment", changed_at=NOON,
)  # fmt: skip
RUN = events.AllocationRunChanged(merchant="acme", run="r", version=1, action="allocate", total=1, ended=0, refused=0, changed_at=NOON)
RECEIPT = ReceiveStock(command_id="r-1", merchant="acme", sku="A", warehouse="main", bin="A-1", units=5, issued_at=NOON)
ADJUSTMENT = AdjustStock(
    command_id="a-1", merchant="acme", sku="A", warehouse="main", bin="A-1", change=-9, reason=AdjustmentReason.LOST, issued_at=NOON
)


@pytest.mark.parametrize(
    ("topic", "message", "row"),
    [
        (topics.ALLOCATIONS, allocation(), ("sales-order/acme/1", 1, 2, "partially_allocated", '[["A",2,2,1,0,0],["B",4,0,0,4,0]]')),
        (topics.MOVEMENTS, MOVED, ("acme", "A", "r-1", "receive", None, 1, 5, 1, 6, 2, 3)),
        (topics.MOVEMENTS, REFUSED, ("acme", "A", "a-1", None, "below_zero", None, None, None, None, None, None)),
        (topics.STOCK_LEVELS, LEVELS, ("acme", "A", 3, '[["main",6,0,2]]')),
        (topics.ORDERS, ORDER, ("sales-order/acme/1", 2, "stock", '[["A",2],["B",4]]')),
        (topics.ORDERS, RUN, (None, None, None, None)),
        (topics.INVENTORY, RECEIPT, ("acme", "A", "r-1", "receive", 5)),
        (topics.INVENTORY, ADJUSTMENT, ("acme", "A", "a-1", "adjust", -9)),
    ],
)
def test_a_message_as_the_wire_writes_it_is_the_row_that_is_compared(topic: topics.Topic, message: Any, row: tuple[Any, ...]) -> None:
    _, parse = {**OUTPUTS, **INPUTS}[topic.name]
    assert row_of(value_of(message), parse) == row


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"no order", b"[]", b"{}", b"\xff", b'{"type":"receive_stock"}', value_of(RECEIPT).replace(b"5", b"5e999"),
        value_of(RECEIPT).replace(b":5", b":" + b"9" * 30), value_of(RECEIPT).replace(b"r-1", b"r\\u0000"),
        value_of(RECEIPT).replace(b"r-1", b"r\\ud800"),
    ],
)  # fmt: skip
def test_what_is_no_command_is_not_readable_and_never_reaches_postgres(value: bytes | None) -> None:
    with pytest.raises(NotReadable):
        row_of(value, INPUTS[topics.INVENTORY.name][1])


def test_a_dead_letter_may_quote_what_postgres_does_not_take() -> None:
    value = b'{"reason":"the name \\u0000 stands twice"}'
    assert row_of(value, OUTPUTS[topics.DEAD_LETTERS.name][1]) == ()
    with pytest.raises(NotReadable, match="NUL"):
        row_of(value, OUTPUTS[topics.ALLOCATIONS.name][1])


def test_the_digest_tells_key_value_and_kind_apart() -> None:
    assert len({digest(b"k", b"v", b"t"), digest(b"k2", b"v", b"t"), digest(b"k", b"v2", b"t"), digest(b"k", b"v", b"t2")}) == 4
    assert digest(None, None, b"") == digest(b"", b"", b"")


# ---------------------------------------------------------------- which records count


def sorter(out_sequence: int = 10, incarnation: int = 2, position: int = 5) -> Sorter:
    """At a snapshot where stock/3 has given ten numbers, and five orders were applied in partition 0."""
    return Sorter({STOCK_3: Source(7, incarnation, out_sequence)}, {(topics.ORDERS.name, 0): position})


def told(sequence: int, source: str = "stock/3/2", topic: topics.Topic = topics.MOVEMENTS, offset: int = 0) -> Any:
    """A movement as a consumer gives it."""
    record = encode(MOVED, key="acme/A", envelope=Envelope(source, sequence), time=NOON)
    return consumed(record, topic.name, offset)


def consumed(record: Record, topic: str, offset: int) -> Any:
    return SimpleNamespace(**place(topic, 0, offset), key=record.key, value=record.value, headers=record.headers)


def tables(sorted_: Sorter) -> dict[str, int]:
    return {table: len(rows) for table, rows in sorted_.taken()}


def test_of_the_outputs_those_count_that_were_committed_at_the_snapshot() -> None:
    one = sorter()
    for sequence in (9, 10, 11):
        one.sort(told(sequence))
    assert (one.sources[STOCK_3].reached, one.sources[STOCK_3].highest) == (10, 11)
    ((table, rows),) = one.taken()
    assert (table, [row[1] for row in rows]) == ("log_movement", [9, 10])
    assert {row[4:7] for row in rows} == {(7, TOPICS[topics.MOVEMENTS.name], 0)}
    assert tables(one) == {}, "they are given once"


@pytest.mark.parametrize(
    ("source", "topic", "found"),
    [
        ("stock/3/1", topics.MOVEMENTS, {}),
        ("stock/3/3", topics.MOVEMENTS, {"log_unread": 1}),
        ("stock/9/1", topics.MOVEMENTS, {"log_unread": 1}),
        ("stock/3/" + 5_000 * "9", topics.MOVEMENTS, {"log_unread": 1}),
        ("orders", topics.ALLOCATIONS, {"log_unread": 1}),
        ("orders", topics.DEAD_LETTERS, {}),
        ("orders", topics.RESERVATIONS, {}),
    ],
)
def test_records_of_others_do_not_count_and_stand_out_where_nobody_else_may_write(
    source: str, topic: topics.Topic, found: dict[str, int]
) -> None:
    one = sorter()
    one.sort(told(1, source, topic))
    assert tables(one) == found


@pytest.mark.parametrize("number", [b"", b"x", b"1" * 19, None])
def test_a_record_without_a_number_stands_out(number: bytes | None) -> None:
    one, record = sorter(), told(1)
    record.headers = tuple((name, number if name == "earmark_sequence" else value) for name, value in record.headers)
    one.sort(record)
    assert tables(one) == {"log_unread": 1}


def test_an_output_that_can_not_be_read_keeps_its_number() -> None:
    one, record = sorter(), told(1)
    record.value = b"{}"
    one.sort(record)
    assert tables(one) == {"log_unread": 1, "log_other": 1}


def test_of_the_inputs_those_count_that_were_applied() -> None:
    one = sorter()
    for offset in (4, 5):
        one.sort(consumed(Record(b"k", value_of(ORDER), ()), topics.ORDERS.name, offset))
    one.sort(consumed(Record(b"k", b"no order", ()), topics.ORDERS.name, 3))
    one.sort(consumed(Record(b"k", value_of(RECEIPT), ()), topics.INVENTORY.name, 0))
    assert tables(one) == {"log_order": 1, "log_unread": 1}


def test_what_the_outbox_owes_counts_like_what_is_published() -> None:
    one = sorter()
    record = pack("outcomes", [], envelope=Envelope("stock/3/2", 10), time=NOON)
    one.owed(topics.OUTCOMES.name, 1, record, 0)
    ((table, rows),) = one.taken()
    assert (table, rows[0][0], one.sources[STOCK_3].reached) == ("log_other", None, 10)
