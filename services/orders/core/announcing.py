"""What an order tells the others: its whole self at one version."""

from services.orders.core.model import Changed, Entry, Happening, Order
from shared.schemas.events import Demand, OrderChanged


def changed(before: Order | None, order: Order, happening: Happening, by: str, details: dict[str, object]) -> Changed:
    """An accepted change with its history entry and its event. Every change is exactly one version on."""
    assert order.version == (before.version if before else 0) + 1, (before and before.version, order.version)
    entry = Entry(happening=happening, version=order.version, at=order.changed_at, by=by, details=details)
    return Changed(before=before, order=order, entry=entry, event=order_changed(order))


def order_changed(order: Order) -> OrderChanged:
    """The event that tells the order as it is now."""
    details = order.details
    return OrderChanged(
        demand=demand_of(order),
        number=order.key.number,
        status=order.status.value,
        channel=details.channel,
        country=details.country,
        receiver=details.receiver,
        tags=details.tags,
        value_minor_units=details.value_minor_units,
        currency=details.currency,
        changed_at=order.changed_at,
    )


def demand_of(order: Order) -> Demand:
    """What the allocator reads of the order."""
    details = order.details
    return Demand(
        id=order.key.demand,
        merchant=order.key.merchant,
        version=order.version,
        wish=order.standing.wish,
        lines=details.lines,
        fill=details.fill,
        strategy=details.strategy,
        priority=details.priority,
        demanded_at=details.demanded_at,
        warehouses=details.warehouses,
    )
