"""A sales order and its parts, as values. Two axes of status that are never merged (ruling R1): what was done with the order, and
what stock it has."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypedDict

from shared.schemas.events import OrderChanged
from shared.schemas.message import Value
from shared.schemas.values import AllocationStatus, DemandKind, Fill, Line, Piece, Strategy, Wish, demand_id


class OrderStatus(StrEnum):
    """The first axis: what was done with the order."""

    AWAITING_FULFILLMENT = "awaiting_fulfillment"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DROPSHIPPED = "dropshipped"
    CANCELED = "canceled"


class Step(StrEnum):
    """What has been asked of the allocator and not been answered yet."""

    ALLOCATION = "allocation"
    RELEASE = "release"
    PICKING = "picking"
    CONSUMPTION = "consumption"


class Happening(StrEnum):
    """What an entry of an order's history tells."""

    CREATED = "created"
    EDITED = "edited"
    CANCELED = "canceled"
    DROPSHIPPED = "dropshipped"
    SPLIT = "split"
    ALLOCATION_REQUESTED = "allocation_requested"
    DEALLOCATION_REQUESTED = "deallocation_requested"
    PROCESSING_REQUESTED = "processing_requested"
    PROCESSING_STARTED = "processing_started"
    PROCESSING_REFUSED = "processing_refused"
    PROCESSING_STOPPED = "processing_stopped"
    SHIPPING_REQUESTED = "shipping_requested"
    SHIPPED = "shipped"
    SHIPPING_REFUSED = "shipping_refused"
    ALLOCATION_CHANGED = "allocation_changed"


class Key(NamedTuple):
    """An order's name: unique within its merchant."""

    merchant: str
    number: str

    @property
    def demand(self) -> str:
        """The id under which the allocator knows this order."""
        return demand_id(DemandKind.SALES_ORDER, self.merchant, self.number)


class Pending(Value, frozen=True):
    """A step under way; an answer counts when it is about `version` of the order or a later one."""

    step: Step
    version: int


class Details(Value, frozen=True, kw_only=True):
    """What a caller gives and may edit. `fill` and `strategy` null: the allocator's policy decides. `warehouses` in order of
    preference, empty: any, by policy. Lower `priority` is served first, then the earlier `demanded_at`."""

    lines: tuple[Line, ...]
    demanded_at: datetime
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: int = 0
    warehouses: tuple[str, ...] = ()
    channel: str = ""
    country: str = ""
    receiver: str = ""
    tags: tuple[str, ...] = ()
    value_minor_units: int | None = None
    currency: str = ""


class DetailChanges(TypedDict, total=False):
    """The details that an edit names; the others stay."""

    lines: tuple[Line, ...]
    demanded_at: datetime
    fill: Fill | None
    strategy: Strategy | None
    priority: int
    warehouses: tuple[str, ...]
    channel: str
    country: str
    receiver: str
    tags: tuple[str, ...]
    value_minor_units: int | None
    currency: str


class Cancellation(Value, frozen=True, kw_only=True):
    """The record that a cancellation leaves on its order (000-26)."""

    at: datetime
    by: str
    reason: str


class LineAllocation(Value, frozen=True, kw_only=True):
    """What the allocator last said of one line. `shortage` and `pieces` are passed on as they came."""

    sku: str
    reserved_units: int = 0
    flagged_units: int = 0
    waiting_units: int = 0
    consumed_units: int = 0
    pieces: tuple[Piece, ...] = ()
    shortage: object | None = None


class Standing(Value, frozen=True, kw_only=True):
    """The part of an order that answers of the allocator are judged by and change: small, so that a batch of answers is cheap."""

    version: int
    status: OrderStatus
    wish: Wish
    pending: Pending | None = None
    allocation_status: AllocationStatus = AllocationStatus.UNALLOCATED
    allocation_version: int = 0
    allocation_demand_version: int = 0
    picking: str = "none"
    refusal: str | None = None


class Order(Value, frozen=True, kw_only=True):
    """A sales order, whole. `standing.version` rises by one with every accepted command; the allocator's answers alone do not raise it."""

    key: Key
    standing: Standing
    details: Details
    created_at: datetime
    changed_at: datetime
    cancellation: Cancellation | None = None
    split_from: str | None = None
    channel_version: int | None = None
    digest: str = ""
    allocated_lines: tuple[LineAllocation, ...] = ()

    @property
    def version(self) -> int:
        """The entity's version."""
        return self.standing.version

    @property
    def status(self) -> OrderStatus:
        """What was done with the order."""
        return self.standing.status


class Entry(Value, frozen=True, kw_only=True):
    """One entry of an order's history."""

    happening: Happening
    version: int
    at: datetime
    by: str
    details: dict[str, object] = {}  # noqa: RUF012 - msgspec makes each a new one


class Changed(Value, frozen=True):
    """An accepted change: the order as it is now, the entry it leaves, the event that tells it. `before` is null for a new order.
    `traceparent`: the trace in which it was asked for, which decides nothing and goes with the event."""

    before: Order | None
    order: Order
    entry: Entry
    event: OrderChanged
    traceparent: str | None = None

    def in_trace(self, traceparent: str | None) -> "Changed":
        """The same change, asked for in this trace; most are in none."""
        return self.but(traceparent=traceparent) if traceparent else self


class Refused(Value, frozen=True):
    """The command may not be done. `reason` is of a closed set, `detail` says what is the matter, `remedy` what helps, `field` where."""

    reason: str
    detail: str
    remedy: str
    field: str = ""
