"""The demand side as a state partition's business: decoding, addresses, deadlines, what is loaded and what is saved."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from services.allocator.core.demand.fold import Trace
from services.allocator.core.demand.state import DemandState
from services.allocator.core.policy import DemandSettings
from services.allocator.demand_side import DUE_AT_ONCE, DemandSide
from services.allocator.demand_under_way import UnderWay
from services.allocator.store.demand_encoding import from_row
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.demand_ports import DemandRow, newest, not_outdated
from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import InputRecord, PartitionId
from shared.partitions.partition import Halted
from shared.schemas import topics
from shared.schemas.events import Demand, DemandEvent, OrderChanged, Outcome, Wake
from shared.schemas.values import Fill, Line, Wish
from shared.schemas.wire import BadRecord, Envelope, Record, encode, pack
from tests.unit.allocator.demand_script import NOON, SETTINGS

HERE = PartitionId("demand", 3)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def order(number: int, *lines: Line, version: int = 1, fill: Fill | None = None, **given: str) -> OrderChanged:
    name = f"SO-{number:05d}"
    demand = Demand(
        id=given.get("id", f"sales-order/acme/{name}"),
        merchant="acme",
        version=version,
        wish=Wish.STOCK,
        lines=lines or (Line(sku="A", units=1),),
        fill=fill,
        demanded_at=NOON,
    )
    return OrderChanged(demand=demand, number=name, status="awaiting_fulfillment", changed_at=NOON)


def reserved(number: int, units: int = 1) -> Outcome:
    return Outcome(demand=f"sales-order/acme/SO-{number:05d}", merchant="acme", sku="A", attempt=1, version=1, reserved_units=units)


def name(number: int) -> str:
    return f"sales-order/acme/SO-{number:05d}"


async def of_a_successor(storage: MemoryDemandStorage, demand: str) -> DemandState | None:
    """The demand as somebody finds it who takes over now."""
    found = newest(await storage.pages(3))
    waiting = UnderWay(1_000, (), not_outdated(found, await storage.outdated_to(3, list(found)))).get(demand)
    return waiting or next((from_row(row) for row in await storage.load(3, [demand])), None)


class Counted(MemoryDemandStorage):
    """Real storage in memory that also says what it was asked."""

    def __init__(self, transaction: MemoryTransaction) -> None:
        super().__init__(lambda: transaction)
        self.loaded: list[str] = []

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        self.loaded += demands
        return await super().load(partition, demands)


async def a_side(settings: DemandSettings = SETTINGS) -> tuple[DemandSide, Counted]:
    storage = Counted(MemoryTransaction(MemoryDatabase(clock=lambda: NOON)))
    side = DemandSide(storage, settings)
    await side.resume(HERE)
    return side, storage


async def batch(side: DemandSide, messages: list[DemandEvent], now: datetime = NOON) -> list[tuple[str, str, str]]:
    sends = await side.decide(messages, now)
    await side.save()
    return [(send.topic, send.key, send.message.type) for send in sends]


def as_input(record: Record, topic: topics.Topic) -> InputRecord:
    return InputRecord(topic.name, 3, 0, 0, record.key, record.value, record.headers)


async def test_commands_go_by_sku_and_events_by_demand() -> None:
    side, _ = await a_side()
    assert await batch(side, [order(1)]) == [("earmark.reservations", "acme/A", "reserve_line")]
    assert await batch(side, [reserved(1)]) == [("earmark.allocations", "sales-order/acme/SO-00001", "allocation_changed")]


async def test_both_inputs_are_decoded() -> None:
    side, _ = await a_side()
    changed = encode(order(1), key="k", envelope=Envelope("orders/1", 1), time=NOON)
    assert side.decode(as_input(changed, topics.ORDERS)) == (order(1),)
    wake = Wake(demand="sales-order/acme/SO-00001", merchant="acme", sku="A", alternative="w", attempt=1, baton=4)
    packed = pack("outcomes", [reserved(1), wake], envelope=Envelope("stock/0/1", 1), time=NOON)
    assert side.decode(as_input(packed, topics.OUTCOMES)) == (reserved(1), wake)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (order(1, id="work-order/acme/WO-1"), "demand.id"),
        (order(1, id="sales-order/other/SO-1"), "demand.id"),
        (order(1, Line(sku="A", units=10**9), Line(sku="A", units=1)), "demand.lines"),
    ],
)
async def test_an_order_that_the_schema_lets_through_and_that_means_nothing_is_a_bad_record(bad: OrderChanged, field: str) -> None:
    side, _ = await a_side()
    with pytest.raises(BadRecord) as refused:
        side.decode(as_input(encode(bad, key="k", envelope=Envelope("orders/1", 1), time=NOON), topics.ORDERS))
    assert refused.value.field == field


async def test_an_answer_to_an_unknown_demand_halts_the_partition_and_names_the_runbook() -> None:
    side, _ = await a_side()
    with pytest.raises(Halted, match=r"demand/3: sales-order/acme/SO-00001.*runbooks\.md#forgotten-demand"):
        await side.decide([reserved(1)], NOON)


async def test_what_is_told_of_a_demand_belongs_to_the_trace_of_its_present_version() -> None:
    side, storage = await a_side()
    await side.decide(traced(order(1)), NOON)
    await side.save()
    successor = DemandSide(storage, SETTINGS)
    await successor.resume(HERE)
    assert await told_in(successor, [reserved(1)]) == [TRACE], "it is stored with the demand"
    again = traced(order(1), TRACE.replace("4bf9", "5bf9"))
    assert await told_in(successor, [*again, reserved(1).but(version=2, reserved_units=0, waiting_units=1)]) == [TRACE]
    edited = order(1, Line(sku="A", units=2), version=2)
    assert await told_in(successor, [edited, reserved(1).but(attempt=2, version=3, reserved_units=2)]) == [None], "no trace, no header"


async def test_orders_without_a_trace_are_decoded_to_themselves_and_bad_traces_are_none() -> None:
    assert traced(order(1), None) == [order(1)]
    assert traced(order(1), "00-00000000000000000000000000000000-00f067aa0ba902b7-01") == [order(1)]


def traced(changed: OrderChanged, traceparent: str | None = TRACE) -> list[DemandEvent | Trace]:
    """As the side decodes it from a record with this header."""
    side = DemandSide(MemoryDemandStorage(lambda: MemoryTransaction(MemoryDatabase(clock=lambda: NOON))), SETTINGS)
    record = encode(changed, key="k", envelope=Envelope("orders/1", 1), time=NOON, traceparent=traceparent)
    return list(side.decode(as_input(record, topics.ORDERS)))


async def told_in(side: DemandSide, messages: list[DemandEvent | Trace]) -> list[str | None]:
    """The traces of what one batch tells everyone; commands to the stock side belong to none."""
    sends = await side.decide(messages, NOON)
    await side.save()
    assert {send.traceparent for send in sends if send.topic == topics.RESERVATIONS.name} <= {None}
    return [send.traceparent for send in sends if send.topic == topics.ALLOCATIONS.name]


async def test_recent_demands_are_not_loaded_again_and_others_are() -> None:
    side, storage = await a_side(DemandSettings(cached_lines=20))
    for first in (0, 11, 22):
        await batch(side, [order(number) for number in range(first, first + 11)])
        await batch(side, [reserved(number) for number in range(first, first + 11)])
    storage.loaded.clear()
    await batch(side, [order(number, version=2) for number in (32, 3)])
    assert storage.loaded == ["sales-order/acme/SO-00003"]


async def test_after_a_takeover_everything_comes_from_storage() -> None:
    side, storage = await a_side()
    await batch(side, [order(1)])
    await batch(side, [reserved(1)])
    storage.loaded.clear()
    successor = DemandSide(storage, SETTINGS)
    await successor.resume(HERE)
    assert await batch(successor, [order(1, version=2)]) == [("earmark.allocations", "sales-order/acme/SO-00001", "allocation_changed")]
    assert storage.loaded == ["sales-order/acme/SO-00001"]


async def test_a_demand_that_waits_for_answers_stands_on_a_page_and_gets_a_row_when_they_are_there() -> None:
    side, storage = await a_side()
    both = Line(sku="A", units=1), Line(sku="B", units=1)
    await batch(side, [order(1, *both)])
    await batch(side, [reserved(1)])
    assert [(page.number, len(page.rows)) for page in await storage.pages(3)] == [(2, 1)]
    assert await storage.load(3, [name(1)]) == []
    successor = DemandSide(storage, SETTINGS)
    await successor.resume(HERE)
    assert [kind for *_, kind in await batch(successor, [reserved(1).but(sku="B")])] == ["allocation_changed"]
    assert await storage.outdated_to(3, [name(1)]) == {name(1): 2}
    assert await of_a_successor(storage, name(1)) == from_row((await storage.load(3, [name(1)]))[0])


async def test_a_deadline_in_the_row_of_a_demand_that_stands_on_a_newer_page_is_none() -> None:
    side, storage = await a_side()
    await batch(side, [order(1, fill=Fill.ALL_OR_NOTHING)])
    await batch(side, [order(1, version=2, fill=Fill.PARTIAL)])
    assert await storage.deadlines(3), "the row is as old as that"
    successor = DemandSide(storage, SETTINGS)
    await successor.resume(HERE)
    assert successor.next_deadline() is None
    assert await batch(successor, [], NOON + timedelta(hours=1)) == []


async def test_where_no_lines_are_kept_in_memory_every_demand_has_its_row_at_once() -> None:
    side, storage = await a_side(DemandSettings(cached_lines=0))
    await batch(side, [order(1)])
    assert await storage.pages(3) == []
    assert len(await storage.load(3, [name(1)])) == 1


async def test_what_was_decided_and_not_committed_is_forgotten_by_resuming() -> None:
    side, _ = await a_side()
    await side.decide([order(1, fill=Fill.ALL_OR_NOTHING)], NOON)
    await side.resume(HERE)
    assert side.next_deadline() is None
    assert [kind for _, _, kind in await batch(side, [order(1)])] == ["reserve_line"]


async def test_deadlines_survive_a_takeover_and_fall_due_without_a_message() -> None:
    side, storage = await a_side()
    await batch(side, [order(1, fill=Fill.ALL_OR_NOTHING), order(2)])
    successor = DemandSide(storage, SETTINGS)
    await successor.resume(HERE)
    assert side.next_deadline() == successor.next_deadline() == NOON + timedelta(seconds=30)
    due = NOON + timedelta(seconds=30)
    assert await batch(successor, [], due) == [("earmark.reservations", "acme/A", "release")]
    assert successor.next_deadline() == due + timedelta(seconds=10)


async def test_deadlines_of_another_partition_are_not_ours() -> None:
    side, storage = await a_side()
    await batch(side, [order(1, fill=Fill.ALL_OR_NOTHING)])
    neighbour = DemandSide(storage, SETTINGS)
    await neighbour.resume(PartitionId("demand", 4))
    assert neighbour.next_deadline() is None


async def test_a_deadline_that_was_met_is_not_taken() -> None:
    side, _ = await a_side()
    await batch(side, [order(1, fill=Fill.ALL_OR_NOTHING)])
    await batch(side, [order(1, version=2, fill=Fill.PARTIAL)])
    assert side.next_deadline() is None
    assert await batch(side, [], NOON + timedelta(hours=1)) == []


async def test_after_an_outage_the_deadlines_are_taken_in_portions_the_longest_passed_first() -> None:
    side, storage = await a_side(DemandSettings(cached_lines=0, timing=SETTINGS.timing))
    late = NOON + timedelta(seconds=1)
    await batch(side, [order(9_999, fill=Fill.ALL_OR_NOTHING)])
    await batch(side, [order(number, fill=Fill.ALL_OR_NOTHING) for number in range(DUE_AT_ONCE)], late)
    storage.loaded.clear()
    after = NOON + timedelta(hours=1)
    assert len(await batch(side, [], after)) == DUE_AT_ONCE
    assert storage.loaded[0] == "sales-order/acme/SO-09999"
    assert side.next_deadline() == late + timedelta(seconds=30)
    assert len(await batch(side, [], after)) == 1


async def test_only_what_changed_is_saved() -> None:
    side, storage = await a_side()
    await batch(side, [order(1)])
    await batch(side, [reserved(1)])
    saved = await storage.load(3, ["sales-order/acme/SO-00001"])
    await batch(side, [reserved(1), order(1)])
    assert await storage.load(3, ["sales-order/acme/SO-00001"]) == saved
