"""Decides a command on one order: the present order in; the changed order, its history entry and its event out, or a refusal."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from services.orders.core.announcing import changed
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
from services.orders.core.model import Cancellation, Changed, Details, Happening, Order, OrderStatus, Pending, Refused, Standing, Step
from services.orders.core.permitted import Action, refusal
from shared.schemas.values import Wish

_OF_NEW = {
    True: Standing(version=1, status=OrderStatus.AWAITING_FULFILLMENT, wish=Wish.STOCK, pending=Pending(Step.ALLOCATION, 1)),
    False: Standing(version=1, status=OrderStatus.AWAITING_FULFILLMENT, wish=Wish.NOTHING),
}
"""How an order begins, by whether it is to be allocated."""


def create(command: CreateOrder, now: datetime) -> Changed | Refused:
    """A new order at version 1. Refused when its details contradict themselves."""
    if fault := fault_of(command.details):
        return fault
    order = Order(
        key=command.key,
        standing=_OF_NEW[command.allocate],
        details=command.details,
        created_at=now,
        changed_at=now,
        channel_version=command.channel_version,
        digest=command.digest,
    )
    return changed(None, order, Happening.CREATED, command.by, {"lines": len(command.details.lines), "allocate": command.allocate})


def decide(order: Order, command: OrderCommand, now: datetime) -> Changed | Refused:
    """What the command makes of the order. Its version rises by one when it is accepted and stays when it is refused."""
    if refused := refusal(order.standing, command.action):
        return refused
    match command:
        case EditOrder():
            return _edit(order, command, now)
        case CancelOrder():
            return _cancel(order, command, now)
        case DropshipOrder():
            return _close(order, OrderStatus.DROPSHIPPED, Happening.DROPSHIPPED, now, command.by)
        case StopProcessing():
            return _stop(order, command, now)
        case AllocateOrder() | DeallocateOrder() | StartProcessing() | ShipOrder():
            return _ask(order, command.action, now, command.by)
        case _:
            assert_never(command)


def fault_of(details: Details) -> Refused | None:
    """What contradicts itself in otherwise well-formed details: the same SKU in two lines."""
    if len({line.sku for line in details.lines}) == len(details.lines):
        return None
    first_at: dict[str, int] = {}
    position, sku = next((at, line.sku) for at, line in enumerate(details.lines) if first_at.setdefault(line.sku, at) != at)
    return Refused(
        "duplicate_sku",
        f"lines {first_at[sku] + 1} and {position + 1} both want SKU {sku}",
        "merge them into one line with the sum of their units",
        f"lines.{position}.sku",
    )


def next_standing(
    order: Order, *, wish: Wish, step: Step | None, status: OrderStatus | None = None, refused: str | None = None
) -> Standing:
    """The standing one version on. A step that is already under way keeps the version since when it is: its answer may be coming."""
    present = order.standing
    version = present.version + 1
    pending = None if step is None else Pending(step, version)
    if step is Step.RELEASE and present.pending and present.pending.step is step:
        pending = present.pending
    return present.but(version=version, status=status or present.status, wish=wish, pending=pending, refusal=refused)


_ASKS: Mapping[Action, tuple[Wish, Step, Happening]] = {
    Action.ALLOCATE: (Wish.STOCK, Step.ALLOCATION, Happening.ALLOCATION_REQUESTED),
    Action.DEALLOCATE: (Wish.NOTHING, Step.RELEASE, Happening.DEALLOCATION_REQUESTED),
    Action.START_PROCESSING: (Wish.PICKING, Step.PICKING, Happening.PROCESSING_REQUESTED),
    Action.STOP_PROCESSING: (Wish.STOCK, Step.ALLOCATION, Happening.PROCESSING_STOPPED),
    Action.SHIP: (Wish.CONSUMPTION, Step.CONSUMPTION, Happening.SHIPPING_REQUESTED),
}
"""What each of these asks of the allocator; its answer decides the rest."""


def _ask(order: Order, action: Action, now: datetime, by: str) -> Changed:
    wish, step, happening = _ASKS[action]
    asked = order.but(standing=next_standing(order, wish=wish, step=step), changed_at=now)
    return changed(order, asked, happening, by, {})


def _edit(order: Order, command: EditOrder, now: datetime) -> Changed | Refused:
    details = order.details.but(**command.changes)
    if fault := fault_of(details):
        return fault
    wish = order.standing.wish
    step = Step.ALLOCATION if wish is Wish.STOCK else _release_under_way(order)
    wanted = {line.sku for line in details.lines}
    edited = order.but(
        details=details,
        standing=next_standing(order, wish=wish, step=step),
        changed_at=now,
        allocated_lines=tuple(line for line in order.allocated_lines if line.sku in wanted),
    )
    return changed(order, edited, Happening.EDITED, command.by, _differences(order.details, details))


def _stop(order: Order, command: StopProcessing, now: datetime) -> Changed | Refused:
    gone = next((line for line in order.allocated_lines if line.consumed_units), None)
    if gone:
        detail = f"{gone.consumed_units} units of {gone.sku} have left already"
        return Refused("leaving", detail, "correct the stock of what is missing, then ship again", "status")
    back = order.but(standing=order.standing.but(status=OrderStatus.AWAITING_FULFILLMENT))
    return _ask(back, command.action, now, command.by).but(before=order)


def _cancel(order: Order, command: CancelOrder, now: datetime) -> Changed:
    closed = _close(order, OrderStatus.CANCELED, Happening.CANCELED, now, command.by, {"reason": command.reason})
    return closed.but(order=closed.order.but(cancellation=Cancellation(at=now, by=command.by, reason=command.reason)))


def _close(
    order: Order, status: OrderStatus, happening: Happening, now: datetime, by: str, details: dict[str, object] | None = None
) -> Changed:
    step = Step.RELEASE if order.standing.wish is not Wish.NOTHING else _release_under_way(order)
    standing = next_standing(order, wish=Wish.CLOSED, step=step, status=status)
    return changed(order, order.but(standing=standing, changed_at=now), happening, by, details or {})


def _release_under_way(order: Order) -> Step | None:
    pending = order.standing.pending
    return Step.RELEASE if pending and pending.step is Step.RELEASE else None


def _differences(before: Details, after: Details) -> dict[str, object]:
    """Field to [before, after], of the fields that differ; lines as SKU to units."""
    names = [name for name in Details.__struct_fields__ if name != "lines" and getattr(before, name) != getattr(after, name)]
    found: dict[str, object] = {name: [_plain(getattr(before, name)), _plain(getattr(after, name))] for name in names}
    had = {line.sku: line.units for line in before.lines}
    has = {line.sku: line.units for line in after.lines}
    lines = {sku: [had.get(sku, 0), has.get(sku, 0)] for sku in {**had, **has} if had.get(sku) != has.get(sku)}
    return {**found, "lines": lines} if lines else found


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
