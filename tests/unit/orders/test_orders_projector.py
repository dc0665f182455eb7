"""What the allocator's answers make of an order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.model import Happening, OrderStatus, Pending, Step
from services.orders.core.projector import Transition, apply, is_answered, project
from shared.schemas.values import AllocationStatus, Wish
from tests.builders.orders import LATER, after, answer_of, answered, new, told


@pytest.mark.accept("002-10", "002-11", "002-12", "002-13", "002-14")
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("allocated", "allocated"),
        ("partially_allocated", "partially_allocated"),
        ("could_not_allocate", "could_not_allocate"),
        ("overallocated", "overallocated"),
        ("released", "unallocated"),
        ("consumed", "unallocated"),
    ],
)
def test_an_outcome_is_one_of_the_five_words(outcome: str, status: str) -> None:
    assert answered(new(), answer_of(new(), outcome)).standing.allocation_status == AllocationStatus(status)


def test_an_answer_ends_the_wait_for_it_and_leaves_an_entry_without_a_new_version() -> None:
    projected = project(new().standing, answer_of(new(), "allocated"))
    assert projected is not None
    assert projected.transition is None
    assert projected.standing.pending is None
    assert projected.standing.version == 1
    assert projected.entry is not None
    assert projected.entry.details == {"from": "unallocated", "to": "allocated", "allocation_version": 1}


ANSWERED = """
    step         allocation status     of version  answered
    allocation   allocated             2           yes
    allocation   could_not_allocate    2           yes
    allocation   allocated             3           yes
    allocation   allocated             1           no
    release      unallocated           2           yes
    release      unallocated           1           no
    release      allocated             2           no
    picking      allocated             2           no
    consumption  unallocated           2           no
"""


@pytest.mark.parametrize("row", ANSWERED.strip().splitlines()[1:])
def test_a_step_asked_for_at_version_two_is_pending_until_the_newest_answer_ends_it(row: str) -> None:
    step, status, version, answered = row.split()
    assert is_answered(Pending(Step(step), 2), AllocationStatus(status), int(version)) == (answered == "yes")


def test_the_same_status_again_leaves_no_entry() -> None:
    order = after("allocated")
    projected = project(order.standing, answer_of(order, "allocated"))
    assert projected is not None
    assert projected.entry is None


def test_repeats_and_overtaken_answers_change_nothing() -> None:
    order = after("allocated", "overallocated")
    assert project(order.standing, answer_of(order, "allocated", version=2)) is None
    assert project(order.standing, answer_of(order, "allocated", version=1)) is None


@pytest.mark.accept("002-08")
def test_an_answer_about_the_order_before_its_edit_does_not_end_the_wait() -> None:
    order = told(after("allocated"), "edit")
    early = answered(order, answer_of(order, "overallocated", demand_version=1))
    assert early.standing.pending == Pending(Step.ALLOCATION, 2)
    assert early.standing.allocation_status is AllocationStatus.OVERALLOCATED
    assert answered(early, answer_of(early, "allocated")).standing.pending is None


@pytest.mark.accept("000-21", "000-36")
def test_processing_starts_when_the_allocator_has_confirmed_it_and_not_before() -> None:
    asked = after("allocated", "start-processing")
    assert (asked.status, asked.standing.wish) == (OrderStatus.AWAITING_FULFILLMENT, Wish.PICKING)
    under_way = answered(asked, answer_of(asked, "allocated", picking="asked"))
    assert under_way.standing.pending == Pending(Step.PICKING, 2)
    started = answered(under_way, answer_of(under_way, "allocated", picking="confirmed"))
    assert (started.status, started.version, started.standing.wish) == (OrderStatus.PROCESSING, 3, Wish.PICKING)


def test_a_refused_start_is_kept_and_shown_and_the_order_waits_for_stock_again() -> None:
    order = after("allocated", "start-processing", "refused")
    assert (order.status, order.standing.wish) == (OrderStatus.AWAITING_FULFILLMENT, Wish.STOCK)
    assert order.standing.refusal == "CUP: 2 units are flagged; receive 2 units"
    assert told(order, "allocate").standing.refusal is None


def test_an_old_refusal_does_not_answer_a_new_asking() -> None:
    order = told(after("allocated", "start-processing", "refused"), "start-processing")
    late = answer_of(order, "allocated", picking="refused", demand_version=2)
    assert answered(order, late).standing.pending == Pending(Step.PICKING, 4)


@pytest.mark.accept("002-06", "002-21")
def test_an_order_is_shipped_when_its_stock_has_left() -> None:
    asked = after("allocated", "start-processing", "confirmed", "ship")
    assert (asked.status, asked.standing.wish) == (OrderStatus.PROCESSING, Wish.CONSUMPTION)
    shipped = answered(asked, answer_of(asked, "consumed"))
    assert shipped.status is OrderStatus.SHIPPED
    assert shipped.standing.allocation_status is AllocationStatus.UNALLOCATED
    assert shipped.version == asked.version + 1


def test_a_refused_shipping_leaves_the_order_in_processing_with_the_reason() -> None:
    order = after("allocated", "start-processing", "confirmed", "ship", "not consumed")
    assert (order.status, order.standing.wish, order.standing.pending) == (OrderStatus.PROCESSING, Wish.PICKING, None)
    assert order.standing.refusal == "CUP: not enough on hand; count it"


def test_a_transition_makes_one_entry_and_one_event_of_the_new_version() -> None:
    order = after("allocated", "start-processing")
    changed = apply(order, Transition.PROCESSING_STARTED, answer_of(order, "allocated", picking="confirmed"), LATER)
    assert changed.entry.happening is Happening.PROCESSING_STARTED
    assert changed.entry.by == "allocator"
    assert (changed.event.demand.version, changed.event.status) == (3, "processing")


@pytest.mark.accept("002-14", "002-25")
def test_an_allocated_order_whose_stock_went_is_overallocated_until_it_is_reviewed() -> None:
    order = after("allocated", "overallocated")
    assert order.standing.allocation_status is AllocationStatus.OVERALLOCATED
    assert order.allocated_lines[0].flagged_units == 2


@given(st.permutations(["could_not_allocate", "partially_allocated", "allocated", "overallocated", "released"]))
def test_whatever_the_order_of_arrival_the_highest_version_stays(outcomes: list[str]) -> None:
    order = new()
    highest = dict(zip(outcomes, itertools.count(1), strict=False))
    for outcome in sorted(outcomes):
        order = answered(order, answer_of(order, outcome, version=highest[outcome]))
    last = outcomes[-1]
    assert order.standing.allocation_status == ("unallocated" if last == "released" else last)
    assert order.standing.allocation_version == len(outcomes)
