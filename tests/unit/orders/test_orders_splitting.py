"""Splitting an order: nothing is lost and nothing is doubled, whatever the lines have."""

from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.model import LineAllocation, Order, Pending, Refused, Step
from services.orders.core.splitting import Split, split
from shared.schemas.values import AllocationStatus, Line, Wish
from tests.builders.orders import LATER, after, new


def partial(*lines: tuple[int, int, int]) -> Order:
    """An order of lines with so many units wanted, reserved, and flagged of the reserved."""
    order = new(lines=tuple(Line(sku=f"S{n}", units=wanted) for n, (wanted, _, _) in enumerate(lines)))
    told = tuple(LineAllocation(sku=f"S{n}", reserved_units=had, flagged_units=gone) for n, (_, had, gone) in enumerate(lines))
    standing = order.standing.but(allocation_status=AllocationStatus.PARTIALLY_ALLOCATED, pending=None)
    return order.but(standing=standing, allocated_lines=told)


LINES = st.lists(
    st.integers(1, 9).flatmap(
        lambda wanted: st.integers(0, wanted).flatmap(lambda had: st.tuples(st.just(wanted), st.just(had), st.integers(0, had)))
    ),
    min_size=1,
    max_size=6,
)


@given(LINES)
def test_both_halves_together_want_what_the_order_wanted(lines: list[tuple[int, int, int]]) -> None:
    order = partial(*lines)
    answer = split(order, "B", "key", LATER)
    ready = sum(had - gone for _, had, gone in lines)
    if ready in {0, sum(wanted for wanted, _, _ in lines)}:
        assert isinstance(answer, Refused)
        return
    assert isinstance(answer, Split)
    halves = [answer.kept.order.details.lines, answer.rest.order.details.lines]
    assert sum(line.units for line in halves[0]) == ready
    for wanted in order.details.lines:
        assert sum(line.units for half in halves for line in half if line.sku == wanted.sku) == wanted.units


def test_the_rest_keeps_its_place_in_the_queue_and_both_are_allocated_anew() -> None:
    order = partial((2, 1, 0))
    answer = split(order, "B", "key", LATER)
    assert isinstance(answer, Split)
    kept, rest = answer.kept.event.demand, answer.rest.event.demand
    assert (kept.version, kept.wish, rest.version, rest.wish) == (2, Wish.STOCK, 1, Wish.STOCK)
    assert (rest.priority, rest.demanded_at) == (kept.priority, kept.demanded_at)
    assert answer.rest.order.standing.pending == Pending(Step.ALLOCATION, 1)


def test_the_rest_can_not_have_the_number_of_the_order_itself() -> None:
    order = partial((2, 1, 0))
    answer = split(order, order.key.number, "key", LATER)
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.field) == ("number_taken", "number")


def test_an_order_that_is_not_partially_allocated_is_not_split() -> None:
    for state in ("allocated", "could_not_allocate", "overallocated"):
        answer = split(after(state), "B", "key", LATER)
        assert isinstance(answer, Refused)
        assert answer.reason == "not_partially_allocated"
