"""Which action an order's status permits: the whole table, by the commands themselves."""

import pytest

from services.orders.core.model import Order, OrderStatus
from services.orders.core.permitted import Action, permitted_actions
from services.orders.core.words import display_status
from shared.schemas.values import AllocationStatus, Wish
from tests.builders.orders import after, new, refused, told

EDITABLE = "edit cancel allocate deallocate dropship"
READY = EDITABLE + " start-processing"
# reached by | status and allocation status | the word of 000 | permitted
TABLE = (
    """
(new)                              | awaiting_fulfillment unallocated         | Pending Allocation | READY
allocated                          | awaiting_fulfillment allocated           | Allocated          | READY
could_not_allocate                 | awaiting_fulfillment could_not_allocate  | Out of Stock       | EDITABLE
partially_allocated                | awaiting_fulfillment partially_allocated | Pending Allocation | EDITABLE split
overallocated                      | awaiting_fulfillment overallocated       | Pending Allocation | EDITABLE
allocated deallocate released      | awaiting_fulfillment unallocated         | Pending Allocation | edit cancel allocate dropship
allocated start-processing         | awaiting_fulfillment allocated           | Allocated          | cancel deallocate dropship
allocated start-processing refused | awaiting_fulfillment allocated           | Allocated          | READY
allocated cancel                   | canceled allocated                       | Canceled           |
allocated cancel released          | canceled unallocated                     | Canceled           |
allocated dropship released        | dropshipped unallocated                  | Dropshipped        |
PROCESSING                         | processing allocated                     | Processing         | stop-processing ship
PROCESSING overallocated           | processing overallocated                 | Processing         | stop-processing ship
PROCESSING stop-processing         | awaiting_fulfillment allocated           | Allocated          | READY
PROCESSING ship                    | processing allocated                     | Processing         |
PROCESSING ship consumed           | shipped unallocated                      | Shipped            |
""".replace("PROCESSING", "allocated start-processing confirmed")
    .replace("READY", READY)
    .replace("EDITABLE", EDITABLE)
)
ROWS = [tuple(cell.strip() for cell in row.split("|")) for row in TABLE.strip().splitlines()]


def _reached(by: str) -> Order:
    return new() if by == "(new)" else after(*_steps(by))


def _steps(by: str) -> list[str]:
    return by.split()


@pytest.mark.accept("000-14", "000-20", "000-21", "002-05", "002-10", "002-11", "002-12", "002-13", "002-14")
@pytest.mark.parametrize(("by", "statuses", "word", "permitted"), ROWS, ids=[row[0] for row in ROWS])
def test_a_state_permits_exactly_these_actions(by: str, statuses: str, word: str, permitted: str) -> None:
    order = _reached(by)
    standing = order.standing
    assert f"{standing.status} {standing.allocation_status}" == statuses
    assert display_status(standing.status, standing.allocation_status) == word
    assert {action.value for action in permitted_actions(standing)} == set(permitted.split())


@pytest.mark.parametrize(("by", "statuses", "word", "permitted"), ROWS, ids=[row[0] for row in ROWS])
def test_the_commands_are_refused_exactly_where_the_table_says_so_and_name_the_remedy(
    by: str, statuses: str, word: str, permitted: str
) -> None:
    order = _reached(by)
    for action in set(Action) - {Action.SPLIT}:
        if action.value in permitted.split():
            assert told(order, action.value).version == order.version + 1
        else:
            answer = refused(order, action.value)
            assert answer.reason
            assert answer.remedy
            assert answer.field in {"status", "pending", "allocation_status"}


@pytest.mark.accept("002-22", "002-23", "002-24")
@pytest.mark.parametrize(
    ("word", "lacks", "helps"),
    [
        ("could_not_allocate", "not enough stock", ("wait for a restock", "edit the order")),
        ("partially_allocated", "only some of its lines", ("wait for the remaining stock", "split the order")),
        ("overallocated", "no longer there", ("correct the inventory", "deallocate the order and allocate it again")),
    ],
)
def test_an_order_that_is_not_ready_says_what_it_lacks_and_what_helps(word: str, lacks: str, helps: tuple[str, str]) -> None:
    answer = refused(after(word), "start-processing")
    assert (answer.reason, answer.field) == ("not_ready", "allocation_status")
    assert lacks in answer.detail
    assert all(way in answer.remedy for way in helps)


@pytest.mark.accept("000-20", "000-21", "000-30", "000-36")
def test_cancel_looks_at_the_status_only() -> None:
    for word in AllocationStatus:
        if word is not AllocationStatus.UNALLOCATED:
            assert told(after(word.value), "cancel").status is OrderStatus.CANCELED
    answer = refused(after("allocated", "start-processing", "confirmed"), "cancel")
    assert answer.reason == "status_forbids"
    assert "picker" in answer.remedy


@pytest.mark.accept("000-27", "000-32")
def test_nothing_brings_a_canceled_order_back() -> None:
    canceled = after("allocated", "cancel", "released")
    assert permitted_actions(canceled.standing) == ()
    assert "new order" in refused(canceled, "allocate").remedy


def test_an_order_of_which_units_have_left_does_not_go_back() -> None:
    order = after("allocated", "start-processing", "confirmed", "ship", "not consumed")
    left = order.but(allocated_lines=(order.allocated_lines[0].but(consumed_units=1),))
    answer = refused(left, "stop-processing")
    assert answer.reason == "leaving"
    assert "CUP" in answer.detail


def test_an_order_that_was_never_to_be_allocated_can_not_start_processing() -> None:
    order = new(allocate=False)
    assert order.standing.wish is Wish.NOTHING
    assert refused(order, "start-processing").reason == "not_allocated"
    assert refused(order, "deallocate").reason == "nothing_reserved"
