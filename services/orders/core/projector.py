"""What an answer of the allocator makes of an order: its allocation status always, and a new version where a step was waiting for it."""

from datetime import datetime
from enum import Enum
from typing import assert_never

from services.orders.core.announcing import changed
from services.orders.core.decider import next_standing
from services.orders.core.model import Changed, Entry, Happening, LineAllocation, Order, OrderStatus, Pending, Standing, Step
from shared.schemas.events import AllocatedLine, AllocationChanged
from shared.schemas.message import Value
from shared.schemas.values import AllocationStatus, Wish

BY = "allocator"
_STATUS = {
    "allocated": AllocationStatus.ALLOCATED,
    "partially_allocated": AllocationStatus.PARTIALLY_ALLOCATED,
    "could_not_allocate": AllocationStatus.COULD_NOT_ALLOCATE,
    "overallocated": AllocationStatus.OVERALLOCATED,
    "released": AllocationStatus.UNALLOCATED,
    "consumed": AllocationStatus.UNALLOCATED,
}


class Transition(Enum):
    """An answer that makes a new version of the order."""

    PROCESSING_STARTED = "processing_started"
    PROCESSING_REFUSED = "processing_refused"
    SHIPPED = "shipped"
    SHIPPING_REFUSED = "shipping_refused"


class Projected(Value, frozen=True):
    """The standing after an answer, the version unchanged; `entry` when the allocation status changed; `transition` when a step ended
    that changes the order itself."""

    standing: Standing
    entry: Entry | None
    transition: Transition | None


def project(standing: Standing, answer: AllocationChanged) -> Projected | None:
    """Fold one answer into an order's standing. Null for a repeat or one that was overtaken: the highest version is kept."""
    if answer.version <= standing.allocation_version:
        return None
    status, pending = _STATUS[answer.outcome], standing.pending
    transition = _transition(standing, answer)
    ended = transition is not None or (pending is not None and is_answered(pending, status, answer.demand_version))
    known = Standing(
        version=standing.version,
        status=standing.status,
        wish=standing.wish,
        pending=None if ended else pending,
        allocation_status=status,
        allocation_version=answer.version,
        allocation_demand_version=answer.demand_version,
        picking=answer.picking,
        refusal=standing.refusal,
    )
    entry = None if status is standing.allocation_status else _entry(standing, answer, status)
    return Projected(standing=known, entry=entry, transition=transition)


def is_answered(pending: Pending, status: AllocationStatus, demand_version: int) -> bool:
    """Whether the newest answer, which made that status of that version of the order, has ended a step that changes nothing but the
    allocation. A step that changes the order itself ends by a transition."""
    if demand_version < pending.version:
        return False
    return pending.step is Step.ALLOCATION or (pending.step is Step.RELEASE and status is AllocationStatus.UNALLOCATED)


def apply(order: Order, transition: Transition, answer: AllocationChanged, now: datetime) -> Changed:
    """The order one version on, as the answer decided. `order` is the one whose standing `project` returned."""
    match transition:
        case Transition.PROCESSING_STARTED:
            standing = next_standing(order, wish=Wish.PICKING, step=None, status=OrderStatus.PROCESSING)
        case Transition.PROCESSING_REFUSED:
            standing = next_standing(order, wish=Wish.STOCK, step=None, refused=_refusal(answer))
        case Transition.SHIPPED:
            standing = next_standing(order, wish=Wish.CONSUMPTION, step=None, status=OrderStatus.SHIPPED)
        case Transition.SHIPPING_REFUSED:
            standing = next_standing(order, wish=Wish.PICKING, step=None, refused=_refusal(answer))
        case _:
            assert_never(transition)
    note: dict[str, object] = {"refusal": standing.refusal} if standing.refusal else {}
    return changed(order, order.but(standing=standing, changed_at=now), Happening(transition.value), BY, note)


def line_allocation(line: AllocatedLine) -> LineAllocation:
    """What an order keeps of the allocator's view of one line."""
    return LineAllocation(
        sku=line.sku,
        reserved_units=line.reserved_units,
        flagged_units=line.flagged_units,
        waiting_units=line.waiting_units,
        consumed_units=line.consumed_units,
        pieces=line.pieces,
        shortage=line.shortage,
    )


def _transition(standing: Standing, answer: AllocationChanged) -> Transition | None:
    pending = standing.pending
    if pending is None or answer.demand_version < pending.version:
        return None
    if pending.step is Step.PICKING and answer.picking in {"confirmed", "refused"}:
        return Transition.PROCESSING_STARTED if answer.picking == "confirmed" else Transition.PROCESSING_REFUSED
    if pending.step is Step.CONSUMPTION:
        if answer.outcome == "consumed":
            return Transition.SHIPPED
        return Transition.SHIPPING_REFUSED if answer.refusal else None
    return None


def _entry(standing: Standing, answer: AllocationChanged, status: AllocationStatus) -> Entry:
    """Under the version that was answered: the order may be at a later one by now."""
    return Entry(
        happening=Happening.ALLOCATION_CHANGED,
        version=answer.demand_version,
        at=answer.decided_at,
        by=BY,
        details={"from": standing.allocation_status.value, "to": status.value, "allocation_version": answer.version},
    )


def _refusal(answer: AllocationChanged) -> str:
    return answer.refusal or "the allocator refused it: deallocate the order and allocate it again when stock is there"
