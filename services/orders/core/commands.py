"""What an order is told. Imperative names. `by` is who tells it: the name of an API key, or the intake topic."""

from typing import ClassVar

from services.orders.core.model import DetailChanges, Details, Key
from services.orders.core.permitted import Action
from shared.schemas.message import Value


class CreateOrder(Value, frozen=True, kw_only=True):
    """Make a new order. `allocate` false: it stays unallocated until told otherwise (002-10). `digest` is over what the caller gave:
    the same number with the same content is a repeat, with other content it is refused."""

    key: Key
    details: Details
    allocate: bool = True
    digest: str = ""
    channel_version: int | None = None
    by: str = ""


class EditOrder(Value, frozen=True, kw_only=True):
    """Change the named details. Allocation is run again by itself where it was wanted (002-08)."""

    action: ClassVar[Action] = Action.EDIT
    changes: DetailChanges
    by: str = ""


class CancelOrder(Value, frozen=True, kw_only=True):
    """Cancel for good; what the order reserved is released (000-23 to 000-27)."""

    action: ClassVar[Action] = Action.CANCEL
    reason: str = ""
    by: str = ""


class AllocateOrder(Value, frozen=True, kw_only=True):
    """Reserve stock for the order, or try again."""

    action: ClassVar[Action] = Action.ALLOCATE
    by: str = ""


class DeallocateOrder(Value, frozen=True, kw_only=True):
    """Free what the order reserved; it stays open (002-19)."""

    action: ClassVar[Action] = Action.DEALLOCATE
    by: str = ""


class StartProcessing(Value, frozen=True, kw_only=True):
    """Ask that picking may start; the status changes when the allocator has confirmed it."""

    action: ClassVar[Action] = Action.START_PROCESSING
    by: str = ""


class StopProcessing(Value, frozen=True, kw_only=True):
    """Put the order back: the picker has stopped. Then it can be edited or canceled again (the order-side flow of 000-21)."""

    action: ClassVar[Action] = Action.STOP_PROCESSING
    by: str = ""


class ShipOrder(Value, frozen=True, kw_only=True):
    """It leaves: take its stock off hand; the status changes when the allocator has done so."""

    action: ClassVar[Action] = Action.SHIP
    by: str = ""


class DropshipOrder(Value, frozen=True, kw_only=True):
    """A supplier ships it: nothing is taken from stock, and its allocation is removed (ruling R13)."""

    action: ClassVar[Action] = Action.DROPSHIP
    by: str = ""


OrderCommand = EditOrder | CancelOrder | AllocateOrder | DeallocateOrder | StartProcessing | StopProcessing | ShipOrder | DropshipOrder
"""Everything that an existing order may be told on its own."""
