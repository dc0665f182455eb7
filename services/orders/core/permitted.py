"""Which action an order's status permits, and what a refusal says. One table: the server refuses by it and every screen shows by it."""

from collections.abc import Mapping
from enum import StrEnum

from services.orders.core.model import OrderStatus, Refused, Standing, Step
from shared.schemas.values import AllocationStatus, Wish


class Action(StrEnum):
    """What may be done to an order, in the words of the API's addresses."""

    EDIT = "edit"
    CANCEL = "cancel"
    ALLOCATE = "allocate"
    DEALLOCATE = "deallocate"
    START_PROCESSING = "start-processing"
    STOP_PROCESSING = "stop-processing"
    SHIP = "ship"
    DROPSHIP = "dropship"
    SPLIT = "split"


_AWAITING = OrderStatus.AWAITING_FULFILLMENT
PERMITTED: Mapping[Action, OrderStatus] = {
    Action.EDIT: _AWAITING,
    Action.CANCEL: _AWAITING,
    Action.ALLOCATE: _AWAITING,
    Action.DEALLOCATE: _AWAITING,
    Action.START_PROCESSING: _AWAITING,
    Action.STOP_PROCESSING: OrderStatus.PROCESSING,
    Action.SHIP: OrderStatus.PROCESSING,
    Action.DROPSHIP: _AWAITING,
    Action.SPLIT: _AWAITING,
}
"""The one status in which each action is permitted. Cancel looks at nothing else (ruling R3)."""

_WAITS_FOR_AN_ANSWER: Mapping[Action, Step] = {
    Action.EDIT: Step.PICKING,
    Action.ALLOCATE: Step.PICKING,
    Action.START_PROCESSING: Step.PICKING,
    Action.SPLIT: Step.PICKING,
    Action.STOP_PROCESSING: Step.CONSUMPTION,
    Action.SHIP: Step.CONSUMPTION,
}
"""Actions that would contradict a step under way. Cancel, dropship and deallocate are not among them: they end it."""

_NOT_READY: Mapping[AllocationStatus, tuple[str, str]] = {
    AllocationStatus.PARTIALLY_ALLOCATED: (
        "only some of its lines have stock",
        "wait for the remaining stock, or split the order and process what is ready",
    ),
    AllocationStatus.COULD_NOT_ALLOCATE: (
        "there is not enough stock for it",
        "wait for a restock, or edit the order down to what there is",
    ),
    AllocationStatus.OVERALLOCATED: (
        "stock that was reserved for it is no longer there",
        "correct the inventory, or deallocate the order and allocate it again",
    ),
}

_REMEDIES: Mapping[OrderStatus, str] = {
    OrderStatus.AWAITING_FULFILLMENT: "start processing first",
    OrderStatus.PROCESSING: "a picker is handling it: stop processing first, then try again",
    OrderStatus.SHIPPED: "it has left; take it back as a return and make a new order",
    OrderStatus.DROPSHIPPED: "the supplier ships it; settle it with the supplier, or make a new order",
    OrderStatus.CANCELED: "a cancellation can not be undone; make a new order",
}


def refusal(standing: Standing, action: Action) -> Refused | None:
    """Why the action is not permitted now, or null where it is."""
    if standing.status is not PERMITTED[action]:
        detail = f"an order that is {standing.status.value.replace('_', ' ')} can not take the action {action.value}"
        return Refused("status_forbids", detail, _REMEDIES[standing.status], "status")
    pending = standing.pending
    if pending and _WAITS_FOR_AN_ANSWER.get(action) is pending.step:
        what = "start of processing" if pending.step is Step.PICKING else "shipping"
        return Refused("answer_pending", f"the {what} has been asked for and is not answered yet", "try again in a moment", "pending")
    match action:
        case Action.START_PROCESSING:
            return _not_ready(standing)
        case Action.SPLIT:
            return _not_splittable(standing)
        case Action.DEALLOCATE if standing.wish is Wish.NOTHING:
            return Refused("nothing_reserved", "no stock is reserved for the order", "nothing needs to be done", "allocation_status")
        case _:
            return None


def permitted_actions(standing: Standing) -> tuple[Action, ...]:
    """What may be done to the order now; a screen offers these and no others."""
    return tuple(action for action in Action if refusal(standing, action) is None)


def _not_ready(standing: Standing) -> Refused | None:
    if standing.wish is Wish.NOTHING:
        return Refused("not_allocated", "no stock is reserved for the order", "allocate it first", "allocation_status")
    known = _NOT_READY.get(standing.allocation_status)
    if known is None or standing.allocation_demand_version < standing.version:
        return None  # ready, or not known yet: the allocator will say.
    return Refused("not_ready", known[0], known[1], "allocation_status")


def _not_splittable(standing: Standing) -> Refused | None:
    if standing.allocation_status is AllocationStatus.PARTIALLY_ALLOCATED and standing.pending is None:
        return None
    return Refused(
        "not_partially_allocated",
        "only an order of which some lines have stock and others have not can be split",
        "wait until it is partially allocated, or edit it",
        "allocation_status",
    )
