"""What a command makes of an order: its next version, what it asks of the allocator, and the event that says so."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.commands import CancelOrder, CreateOrder, EditOrder, OrderCommand
from services.orders.core.decider import create, decide
from services.orders.core.model import Changed, Happening, Order, OrderStatus, Pending, Refused, Step
from services.orders.core.numbering import month_of, order_number
from services.orders.core.permitted import Action
from shared.schemas import wire
from shared.schemas.values import AllocationStatus, Wish
from tests.builders.orders import COMMANDS, KEY, LATER, NOW, after, answer_of, answered, details, lines, new, told


def _decided(order: Order, command: OrderCommand) -> Changed:
    answer = decide(order, command, LATER)
    assert isinstance(answer, Changed), answer
    return answer


def test_a_new_order_wants_stock_and_says_so() -> None:
    made = create(CreateOrder(key=KEY, details=details(receiver="Ada", channel="shop"), by="key"), NOW)
    assert isinstance(made, Changed)
    demand = made.event.demand
    assert (demand.id, demand.version, demand.wish) == ("sales-order/acme/SO-2611-0001", 1, Wish.STOCK)
    assert (made.event.number, made.event.receiver, made.event.channel) == ("SO-2611-0001", "Ada", "shop")
    assert made.order.standing.pending == Pending(Step.ALLOCATION, 1)
    assert made.entry.happening is Happening.CREATED


@pytest.mark.accept("002-10", "002-20")
def test_a_new_order_that_is_not_to_be_allocated_is_unallocated_until_it_is_told_to() -> None:
    order = new(allocate=False)
    assert order.standing.allocation_status is AllocationStatus.UNALLOCATED
    assert order.standing.pending is None
    assert _decided(order, COMMANDS["allocate"]).event.demand.wish is Wish.STOCK


@pytest.mark.parametrize("verb", ["create", "edit"])
def test_the_same_sku_in_two_lines_is_refused_with_both_lines_and_the_remedy(verb: str) -> None:
    twice = lines(CUP=1, POT=2) + lines(CUP=3)
    if verb == "create":
        answer = create(CreateOrder(key=KEY, details=details(lines=twice)), NOW)
    else:
        answer = decide(new(), EditOrder(changes={"lines": twice}), LATER)
    assert answer == Refused(
        "duplicate_sku", "lines 1 and 3 both want SKU CUP", "merge them into one line with the sum of their units", "lines.2.sku"
    )


def test_skus_that_differ_in_case_only_are_two_products() -> None:
    made = create(CreateOrder(key=KEY, details=details(lines=lines(a=1) + lines(A=1))), NOW)
    assert isinstance(made, Changed)


@pytest.mark.accept("002-08")
def test_an_edit_of_an_allocated_order_runs_allocation_again_by_itself() -> None:
    edited = _decided(after("allocated"), EditOrder(changes={"lines": lines(CUP=3, POT=1)}))
    assert edited.event.demand.wish is Wish.STOCK
    assert edited.event.demand.version == 2
    assert edited.order.standing.pending == Pending(Step.ALLOCATION, 2)
    assert edited.entry.details == {"lines": {"CUP": [2, 3], "POT": [0, 1]}}


def test_an_edit_changes_what_it_names_and_nothing_else() -> None:
    order = new(receiver="Ada", channel="shop")
    edited = _decided(order, EditOrder(changes={"receiver": "Grace", "priority": -5}))
    assert edited.order.details == details(receiver="Grace", channel="shop", priority=-5)
    assert edited.entry.details == {"receiver": ["Ada", "Grace"], "priority": [0, -5]}


def test_a_history_tells_dates_and_lists_as_json_can() -> None:
    edited = _decided(new(), EditOrder(changes={"demanded_at": LATER, "warehouses": ("EAST",)}))
    assert edited.entry.details == {"demanded_at": [NOW.isoformat(), LATER.isoformat()], "warehouses": [[], ["EAST"]]}


def test_an_edit_of_an_order_that_is_not_allocated_leaves_it_so() -> None:
    edited = _decided(new(allocate=False), EditOrder(changes={"priority": 1}))
    assert edited.event.demand.wish is Wish.NOTHING
    assert edited.order.standing.pending is None


def test_a_line_that_is_edited_away_takes_its_allocation_with_it() -> None:
    order = answered(new(lines=lines(CUP=1, POT=1)), answer_of(new(lines=lines(CUP=1, POT=1)), "allocated"))
    edited = _decided(order, EditOrder(changes={"lines": lines(POT=1)}))
    assert [line.sku for line in edited.order.allocated_lines] == ["POT"]


@pytest.mark.accept("000-22", "000-23", "000-26", "002-06")
def test_a_cancel_closes_the_demand_and_leaves_a_record() -> None:
    canceled = _decided(after("allocated"), CancelOrder(reason="duplicate order", by="desk"))
    assert canceled.order.status is OrderStatus.CANCELED
    assert canceled.event.demand.wish is Wish.CLOSED
    record = canceled.order.cancellation
    assert record is not None
    assert (record.at, record.by, record.reason) == (LATER, "desk", "duplicate order")


@pytest.mark.accept("002-06")
def test_dropshipping_is_an_action_of_its_own_and_removes_the_allocation() -> None:
    dropshipped = _decided(after("allocated"), COMMANDS["dropship"])
    assert dropshipped.order.status is OrderStatus.DROPSHIPPED
    assert dropshipped.event.demand.wish is Wish.CLOSED
    assert dropshipped.order.standing.pending == Pending(Step.RELEASE, 2)


def test_closing_an_order_that_holds_nothing_waits_for_nobody() -> None:
    assert told(new(allocate=False), "cancel").standing.pending is None


def test_a_release_under_way_is_answered_by_its_first_asking_whatever_follows() -> None:
    order = told(after("allocated"), "deallocate")
    assert told(order, "cancel").standing.pending == Pending(Step.RELEASE, 2)
    assert told(order, "edit").standing.pending == Pending(Step.RELEASE, 2)


def test_a_cancel_ends_a_start_of_processing_that_is_not_answered() -> None:
    order = told(after("allocated", "start-processing"), "cancel")
    late = answer_of(order, "allocated", picking="confirmed", demand_version=order.version - 1)
    assert answered(order, late).status is OrderStatus.CANCELED


def test_an_event_tells_the_whole_order_and_can_be_sent() -> None:
    order = new(tags=("gift",), warehouses=("EAST",), value_minor_units=1250, currency="EUR", country="NO")
    event = _decided(order, COMMANDS["allocate"]).event
    record = wire.encode(event, key=event.demand.id, envelope=wire.Envelope("orders", 1), time=LATER)
    assert wire.decode(record.value, wire.header_map(record.headers), {"order_changed"}) == (event,)


@pytest.mark.parametrize(
    ("count", "number"), [(1, "SO-2611-0001"), (9999, "SO-2611-9999"), (10000, "SO-2611-10000")], ids=["first", "last", "grown"]
)
def test_an_order_number_counts_within_its_month_and_grows(count: int, number: str) -> None:
    assert order_number("SO", month_of(NOW), count) == number


@given(st.lists(st.sampled_from([*COMMANDS, "allocated", "partially_allocated", "overallocated", "released", "confirmed", "refused"])))
def test_whatever_is_said_versions_rise_by_one_and_a_closed_order_stays_closed(steps: list[str]) -> None:
    order = new()
    for step in steps:
        before = order
        if step in COMMANDS:
            answer = decide(order, COMMANDS[step], LATER)
            order = answer.order if isinstance(answer, Changed) else order
            assert (order.version == before.version + 1) == isinstance(answer, Changed)
        else:
            order = after_answer(order, step)
            assert order.version - before.version in {0, 1}
        if before.status in {OrderStatus.CANCELED, OrderStatus.DROPSHIPPED, OrderStatus.SHIPPED}:
            assert order.status is before.status
            assert order.version == before.version
        if order.status in {OrderStatus.CANCELED, OrderStatus.DROPSHIPPED}:
            assert order.standing.wish is Wish.CLOSED
            assert (order.cancellation is not None) == (order.status is OrderStatus.CANCELED)


def after_answer(order: Order, step: str) -> Order:
    if step in {"confirmed", "refused"}:
        return answered(order, answer_of(order, "allocated", picking=step, refusal="no" if step == "refused" else None))
    return answered(order, answer_of(order, step))


def test_every_command_has_an_action_of_the_table() -> None:
    assert {command.action for command in get_args(OrderCommand)} == set(Action) - {Action.SPLIT}
