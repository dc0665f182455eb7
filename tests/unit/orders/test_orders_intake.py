"""What a channel's view of an order makes of ours, whatever order its versions arrive in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.intake import Unchanged, take_in
from services.orders.core.model import Order, OrderStatus, Refused
from shared.schemas.intake import OrderIntake
from shared.schemas.values import Line, Wish
from tests.builders.orders import LATER, NOW, answer_of, answered, told


def said(version: int, units: int = 1, **more: Any) -> OrderIntake:
    """The order as its channel knows it."""
    given = {"lines": (Line(sku="CUP", units=units),), "demanded_at": NOW, **more}
    return OrderIntake(merchant="acme", number="C-1", version=version, **given)


def taken(order: Order | None, message: OrderIntake) -> Order | None:
    """Our order after a message that is not refused."""
    answer = take_in(order, message, repr(message), LATER)
    assert not isinstance(answer, Refused), answer
    if isinstance(answer, Unchanged):
        return answer.order
    return answer[-1].order if answer else order


def refused(order: Order | None, message: OrderIntake) -> str:
    """Why a message is refused."""
    answer = take_in(order, message, repr(message), LATER)
    assert isinstance(answer, Refused), answer
    return answer.reason


UNITS_OF = {1: 1, 2: 2, 3: 1, 4: 1, 5: 5}
"""Versions 3 and 4 say again what version 1 said: a late version 2 must not be taken for news."""
MESSAGES = st.lists(
    st.integers(1, 5).map(lambda version: said(version, units=UNITS_OF[version], canceled=version == 5)), min_size=1, max_size=12
)


@given(MESSAGES)
def test_the_highest_version_stays_and_every_change_is_one_version_on(messages: list[OrderIntake]) -> None:
    order: Order | None = None
    for message in messages:
        before, order = order, taken(order, message)
        assert order is not None
        assert order.version - (before.version if before else 0) in {0, 1, 2}
    assert order is not None
    highest = max(message.version for message in messages)
    assert order.channel_version == highest
    assert (order.status is OrderStatus.CANCELED) == (highest == 5)
    assert order.details.lines[0].units == UNITS_OF[highest]


def test_an_order_that_comes_canceled_never_wants_stock() -> None:
    answer = take_in(None, said(1, canceled=True, reason="fraud"), "", LATER)
    assert isinstance(answer, list)
    assert [change.event.demand.wish for change in answer] == [Wish.NOTHING, Wish.CLOSED]
    assert answer[-1].order.cancellation is not None
    assert answer[-1].order.cancellation.reason == "fraud"


def test_a_cancel_that_has_overtaken_an_edit_leaves_the_order_as_its_channel_knew_it() -> None:
    order = taken(taken(None, said(1)), said(3, units=7, canceled=True))
    order = taken(order, said(2, units=7))
    assert order is not None
    assert (order.status, order.details.lines[0].units) == (OrderStatus.CANCELED, 7)


def test_a_cancel_is_taken_also_where_the_edit_that_it_overtook_would_have_been_refused() -> None:
    order = taken(None, said(1, lines=(Line(sku="CUP", units=1),)))
    order = taken(order, said(3, lines=(Line(sku="CUP", units=1), Line(sku="CUP", units=2)), canceled=True))
    assert order is not None
    assert (order.status, order.details.lines) == (OrderStatus.CANCELED, (Line(sku="CUP", units=1),))


def test_a_second_cancel_says_nothing_new() -> None:
    order = taken(None, said(1, canceled=True))
    assert order is not None
    again = said(2, canceled=True, reason="again")
    assert taken(order, again) == order.but(channel_version=2, digest=repr(again))


def test_a_version_that_changes_nothing_runs_no_allocation() -> None:
    order = taken(None, said(1))
    assert order is not None
    assert taken(order, said(2)) == order.but(channel_version=2, digest=repr(said(2)))


def test_an_edit_names_only_what_differs() -> None:
    answer = take_in(taken(None, said(1)), said(2, receiver="Ada"), "", LATER)
    assert isinstance(answer, list)
    assert answer[0].entry.details == {"receiver": ["", "Ada"]}
    assert answer[0].entry.by == "order-intake"


def test_what_is_refused_says_why() -> None:
    order = taken(None, said(1))
    assert order is not None
    assert refused(order, said(1, units=9)) == "other_content"
    assert refused(order.but(channel_version=None), said(2)) == "not_the_channels"
    assert refused(None, said(1, lines=(Line(sku="A", units=1), Line(sku="A", units=1)))) == "duplicate_sku"
    processing = answered(order, answer_of(order, "allocated"))
    processing = told(processing, "start-processing")
    processing = answered(processing, answer_of(processing, "allocated", picking="confirmed"))
    assert refused(processing, said(2, units=9)) == "status_forbids"
    assert refused(processing, said(2, canceled=True)) == "status_forbids"
