"""What sales channels that speak Kafka send on `earmark.order-intake`."""

from shared.schemas.message import Message
from shared.schemas.values import (
    Count,
    Fill,
    Identifier,
    Lines,
    Merchant,
    Priority,
    Strategy,
    Tags,
    Text,
    Time,
    Version,
    Warehouses,
)


class OrderIntake(Message, frozen=True, kw_only=True):
    """A sales order as its channel knows it, whole, at the channel's `version`: it makes the order, edits it or, `canceled`, cancels it.

    The highest version counts, so that neither repeats nor overtaking, whatever partitioner the channel used, do harm. Who may write for
    which `merchant` is the topic's access control. `fill`, `strategy`: null lets the allocator's policy decide. `allocate` false: it
    stays unallocated until it is told otherwise; looked at when the order is made.
    """

    merchant: Merchant
    number: Identifier
    version: Version
    canceled: bool = False
    reason: Text = ""
    allocate: bool = True
    lines: Lines
    demanded_at: Time
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Priority = 0
    warehouses: Warehouses = ()
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Tags = ()
    value_minor_units: Count | None = None
    currency: Text = ""
