"""What requests say. Syntax only: whether a SKU or a warehouse exists is the allocator's to know, and its answer says so."""

from datetime import datetime
from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field, JsonValue, model_validator

from services.orders.core.model import DetailChanges, Details
from services.orders.store.listing import Filter, Sort
from shared.http import Body
from shared.schemas.values import (
    MAX_LINES,
    MAX_TAGS,
    MAX_WAREHOUSES,
    AllocationStatus,
    Count,
    Fill,
    Identifier,
    Line,
    Priority,
    Sku,
    Strategy,
    Text,
    Time,
    Warehouse,
)

MAX_BULK = 1_000
MAX_SELECTION = 10_000
FEW = Field(max_length=20, fail_fast=True)
"""As many as GET /orders takes of each."""
Status = Literal["awaiting_fulfillment", "processing", "shipped", "dropshipped", "canceled"]
Lines = Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES, fail_fast=True, description="each SKU once")]
"""What fails fast names the first that is wrong: five megabytes of wrong ones had made seven million findings, which took 7 GB."""
Warehouses = Annotated[
    tuple[Warehouse, ...], Field(max_length=MAX_WAREHOUSES, fail_fast=True, description="in order of preference; empty: any")
]
Tags = Annotated[tuple[Text, ...], Field(max_length=MAX_TAGS, fail_fast=True)]
Demanded = Annotated[Time, Field(description="the order's date: earlier is served first among equals")]
Urgency = Annotated[Priority, Field(description="lower is served first")]

NEW_ORDER: dict[str, JsonValue] = {
    "number": "SO-2611-0042",
    "demanded_at": "2026-11-21T09:30:00Z",
    "channel": "web-shop",
    "receiver": "Ada Lovelace",
    "country": "GB",
    "lines": [{"sku": "CUP-RED", "units": 2}, {"sku": "POT-1L", "units": 1, "warehouses": ["EAST", "WEST"]}],
}


class NewOrder(Body):
    """An order to make. Without a number it gets the next one of its month; without a date it is of now."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW_ORDER]})

    number: Identifier | None = None
    lines: Lines
    demanded_at: Demanded | None = None
    allocate: Annotated[bool, Field(description="false: it stays unallocated until it is told otherwise")] = True
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Urgency = 0
    warehouses: Warehouses = ()
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Tags = ()
    value_minor_units: Count | None = None
    currency: Text = ""

    def details(self, now: datetime) -> Details:
        """As the core wants it."""
        return Details(
            lines=self.lines,
            demanded_at=self.demanded_at or now,
            fill=self.fill,
            strategy=self.strategy,
            priority=self.priority,
            warehouses=self.warehouses,
            channel=self.channel,
            country=self.country,
            receiver=self.receiver,
            tags=self.tags,
            value_minor_units=self.value_minor_units,
            currency=self.currency,
        )


class NewOrders(Body):
    """Many orders to make; each is judged on its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"orders": [NEW_ORDER]}]})

    orders: Annotated[tuple[JsonValue, ...], Field(min_length=1, max_length=MAX_BULK, description="each as in POST /orders")]


class OrderChanges(Body):
    """The details to change; those that are not named stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": -10, "lines": [{"sku": "CUP-RED", "units": 1}]}]})

    lines: Lines = ()
    demanded_at: Demanded | None = None
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Urgency = 0
    warehouses: Warehouses = ()
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Tags = ()
    value_minor_units: Count | None = None
    currency: Text = ""

    @model_validator(mode="after")
    def _names_something(self) -> "OrderChanges":
        if not self.model_fields_set:
            raise ValueError("names nothing to change; send at least one field")
        if "demanded_at" in self.model_fields_set and self.demanded_at is None:
            raise ValueError("demanded_at can not be taken away; send a time")
        return self

    def changes(self) -> DetailChanges:
        """As the core wants it."""
        return cast(DetailChanges, {name: getattr(self, name) for name in self.model_fields_set})  # the fields are those of Details


class Cancel(Body):
    """Why an order is canceled: it stays on the order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the customer asked for it"}]})

    reason: Text = ""


class Split(Body):
    """Under which number the rest goes on; without one it gets the next of the month."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"number": "SO-2611-0042-B"}]})

    number: Identifier | None = None


class Selection(Body):
    """Orders by what they are, as in GET /orders."""

    status: Annotated[tuple[Status, ...], FEW] = ("awaiting_fulfillment",)
    allocation_status: Annotated[tuple[AllocationStatus, ...], FEW] = ()
    channel: Annotated[tuple[Text, ...], FEW] = ()
    sku: Sku | None = None
    search: Text | None = None
    demanded_from: Time | None = None
    demanded_before: Time | None = None

    def filter(self) -> Filter:
        """As the store wants it."""
        return Filter(
            statuses=self.status,
            allocation_statuses=tuple(status.value for status in self.allocation_status),
            channels=self.channel,
            sku=self.sku,
            search=self.search,
            demanded_from=self.demanded_from,
            demanded_before=self.demanded_before,
        )


_RUN: dict[str, JsonValue] = {"action": "allocate", "orders": ["SO-2611-0007", "SO-2611-0003"]}
_RUN_BY_FILTER: dict[str, JsonValue] = {"action": "allocate", "filter": {"allocation_status": ["unallocated"]}, "sort": "demanded_at"}


class NewRun(Body):
    """A bulk run over `orders`, in their order, or over what `filter` selects, in the order of `sort`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RUN, _RUN_BY_FILTER]})

    action: Literal["allocate", "deallocate"]
    orders: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=MAX_SELECTION, fail_fast=True)] | None = None
    filter: Selection | None = None
    sort: Sort = "demanded_at"

    @model_validator(mode="after")
    def _selects_once(self) -> "NewRun":
        if (self.orders is None) == (self.filter is None):
            raise ValueError("a run is over orders or over a filter: send one of the two")
        if self.orders is not None and len(set(self.orders)) < len(self.orders):
            twice = next(number for number in self.orders if self.orders.count(number) > 1)
            raise ValueError(f"order {twice} is selected twice; name it once")
        return self
