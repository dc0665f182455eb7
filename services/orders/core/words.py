"""The one word that screens show for an order, derived from its two axes (ruling R1, 000-14)."""

from services.orders.core.model import OrderStatus
from shared.schemas.values import AllocationStatus

PENDING_ALLOCATION = "Pending Allocation"
_OF_AWAITING = {AllocationStatus.ALLOCATED: "Allocated", AllocationStatus.COULD_NOT_ALLOCATE: "Out of Stock"}


def display_status(status: OrderStatus, allocation_status: AllocationStatus) -> str:
    """Pending Allocation, Allocated or Out of Stock while it awaits fulfilment; afterwards what was done with it."""
    if status is OrderStatus.AWAITING_FULFILLMENT:
        return _OF_AWAITING.get(allocation_status, PENDING_ALLOCATION)
    return status.value.capitalize()
