"""What sales channels that speak Kafka send on `earmark.order-intake`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.values import (
    MAX_LINES,
    MAX_WAREHOUSES,
    STRICT,
    Count,
    Fill,
    Identifier,
    Line,
    Merchant,
    Priority,
    Strategy,
    Text,
    Time,
    Version,
    Warehouse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntake:
    """A sales order as its channel knows it, whole, at the channel's `version`: it makes the order, edits it or, `canceled`, cancels it.

    The highest version counts, so that neither repeats nor overtaking, whatever partitioner the channel used, do harm. Who may write for
    which `merchant` is the topic's access control. `fill`, `strategy`: null lets the allocator's policy decide. `allocate` false: it
    stays unallocated until it is told otherwise; looked at when the order is made.
    """

    __pydantic_config__ = STRICT
    type: Literal["order_intake"] = "order_intake"
    merchant: Merchant
    number: Identifier
    version: Version
    canceled: bool = False
    reason: Text = ""
    allocate: bool = True
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]
    demanded_at: Time
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Priority = 0
    warehouses: Annotated[tuple[Warehouse, ...], Field(max_length=MAX_WAREHOUSES)] = ()
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    value_minor_units: Count | None = None
    currency: Text = ""
