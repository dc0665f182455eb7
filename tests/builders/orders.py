"""Orders in the states that tests start from, made by the commands and answers that lead there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.orders.core.commands import (
    AllocateOrder,
    CancelOrder,
    CreateOrder,
    DeallocateOrder,
    DropshipOrder,
    EditOrder,
    OrderCommand,
    ShipOrder,
    StartProcessing,
    StopProcessing,
)
from services.orders.core.decider import create, decide
from services.orders.core.model import Changed, Details, Key, Order, Refused
from services.orders.core.projector import apply, line_allocation, project
from shared.schemas.events import AllocatedLine, AllocationChanged, Holder, Remedy, Shortage
from shared.schemas.values import Line

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KEY = Key("acme", "SO-2611-0001")
COMMANDS: dict[str, OrderCommand] = {
    "edit": EditOrder(changes={"receiver": "Ada"}, by="key"),
    "cancel": CancelOrder(reason="the customer asked", by="key"),
    "allocate": AllocateOrder(by="key"),
    "deallocate": DeallocateOrder(by="key"),
    "start-processing": StartProcessing(by="key"),
    "stop-processing": StopProcessing(by="key"),
    "ship": ShipOrder(by="key"),
    "dropship": DropshipOrder(by="key"),
}


def lines(**units: int) -> tuple[Line, ...]:
    """lines(CUP=2, POT=1)"""
    return tuple(Line(sku=sku, units=count) for sku, count in units.items())


def details(**given: Any) -> Details:
    """Details of an order for two cups, unless said otherwise."""
    return Details(**{"lines": lines(CUP=2), "demanded_at": NOW, **given})


def new(allocate: bool = True, **given: Any) -> Order:
    """An order as it is created."""
    made = create(CreateOrder(key=KEY, details=details(**given), allocate=allocate, by="key"), NOW)
    assert isinstance(made, Changed)
    return made.order


def told(order: Order, action: str) -> Order:
    """The order after a command that must be accepted."""
    changed = decide(order, COMMANDS[action], LATER)
    assert isinstance(changed, Changed), changed
    return changed.order


def refused(order: Order, action: str) -> Refused:
    """The refusal of a command that must be refused."""
    answer = decide(order, COMMANDS[action], LATER)
    assert isinstance(answer, Refused), answer
    return answer


def answer_of(order: Order, outcome: str, **given: Any) -> AllocationChanged:
    """What the allocator would say next of the order, as it stands."""
    held = outcome in {"allocated", "overallocated"}
    told_lines = tuple(
        AllocatedLine(
            sku=line.sku,
            wanted_units=line.units,
            reserved_units=line.units if held else 0,
            flagged_units=line.units if outcome == "overallocated" else 0,
            waiting_units=line.units if outcome == "could_not_allocate" else 0,
            consumed_units=line.units if outcome == "consumed" else 0,
        )
        for line in order.details.lines
    )
    return AllocationChanged(
        **{
            "demand": order.key.demand,
            "merchant": order.key.merchant,
            "version": order.standing.allocation_version + 1,
            "demand_version": order.version,
            "attempt": 1,
            "outcome": outcome,
            "lines": told_lines,
            "decided_at": LATER,
            **given,
        }
    )


def answered(order: Order, answer: AllocationChanged) -> Order:
    """The order after an answer of the allocator."""
    projected = project(order.standing, answer)
    if projected is None:
        return order
    known = order.but(standing=projected.standing, allocated_lines=tuple(map(line_allocation, answer.lines)))
    return apply(known, projected.transition, answer, LATER).order if projected.transition else known


def after(*steps: str) -> Order:
    """after("allocated", "start-processing", "confirmed"): the order after commands and answers, in turn."""
    order = new()
    for step in steps:
        order = _after(order, step)
    return order


def _after(order: Order, step: str) -> Order:
    if step in COMMANDS:
        return told(order, step)
    if step in {"confirmed", "refused"}:
        refusal = "CUP: 2 units are flagged; receive 2 units" if step == "refused" else None
        return answered(order, answer_of(order, "allocated", picking=step, refusal=refusal))
    if step == "not consumed":
        return answered(order, answer_of(order, "overallocated", picking="confirmed", refusal="CUP: not enough on hand; count it"))
    return answered(order, answer_of(order, step))


SHORTAGE = Shortage(
    missing_units=1,
    on_hand_units=4,
    held_units=1,
    expired_units=0,
    allocated_units=3,
    claimed_units=0,
    elsewhere_units=0,
    holders=(Holder(demand="sales-order/acme/SO-2611-0009", units=3),),
    remedies=(Remedy(action="receive", units=1, warehouse="EAST"),),
    ledger_version=7,
)
"""Why one unit is missing."""
