"""An order as rows and back."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from services.orders.core.model import (
    Cancellation,
    Details,
    Entry,
    Key,
    LineAllocation,
    Order,
    OrderStatus,
    Pending,
    Standing,
    Step,
)
from services.orders.core.projector import is_answered, line_allocation
from shared.schemas.events import AllocatedLine
from shared.schemas.values import AllocationStatus, Fill, Line, Strategy, Wish, sku_key

Row = Mapping[str, Any]
"""A row as asyncpg gives it: values of many types by column."""

ORDER_COLUMNS: Mapping[str, str] = {
    "merchant": "text",
    "number": "text",
    "version": "bigint",
    "status": "text",
    "wish": "text",
    "asked_step": "text",
    "asked_version": "bigint",
    "refusal": "text",
    "demanded_at": "timestamptz",
    "priority": "integer",
    "fill": "text",
    "strategy": "text",
    "warehouses": "jsonb",
    "channel": "text",
    "country": "text",
    "receiver": "text",
    "tags": "jsonb",
    "value_minor_units": "bigint",
    "currency": "text",
    "created_at": "timestamptz",
    "changed_at": "timestamptz",
    "canceled_at": "timestamptz",
    "canceled_by": "text",
    "cancellation_reason": "text",
    "split_from": "text",
    "channel_version": "bigint",
    "digest": "text",
    "lines": "text",
    "sku_keys": "text",
}
LINE_COLUMNS = frozenset({"lines", "sku_keys"})
"""Those that only an edit changes. `lines` is JSON; as text, since json is parsed by the server at every write. `sku_keys` is for finding
orders by SKU: a row of an index for each line cost more than the whole order."""
UNTOLD: Row = {"allocation_status": "unallocated", "allocation_version": 0, "allocation_demand_version": 0, "picking": "none", "told": "[]"}
"""What is known of the allocation of an order before its first answer."""
_STATUSES = {status.value: status for status in OrderStatus}
_STEPS = {step.value: step for step in Step}
_WISHES = {wish.value: wish for wish in Wish}
_ALLOCATION_STATUSES = {status.value: status for status in AllocationStatus}
"""Looked up by the thousand: to ask the class costs five times as much."""
_to_json = msgspec.json.Encoder().encode
_lines_in = msgspec.json.Decoder(tuple[Line, ...]).decode
entry_in = msgspec.json.Decoder(Entry).decode
"""The entry that `entry_json` wrote."""
_told_in = msgspec.json.Decoder(tuple[AllocatedLine, ...]).decode


def order_row(order: Order) -> tuple[Any, ...]:
    """The values of ORDER_COLUMNS, in their order."""
    standing, details, cancellation = order.standing, order.details, order.cancellation
    return (
        order.key.merchant,
        order.key.number,
        *standing_values(standing),
        details.demanded_at,
        details.priority,
        details.fill,
        details.strategy,
        texts_json(details.warehouses),
        details.channel,
        details.country,
        details.receiver,
        texts_json(details.tags),
        details.value_minor_units,
        details.currency,
        order.created_at,
        order.changed_at,
        *((cancellation.at, cancellation.by, cancellation.reason) if cancellation else (None, None, None)),
        order.split_from,
        order.channel_version,
        order.digest,
        _to_json(details.lines).decode(),
        ",".join([sku_key(order.key.merchant, line.sku) for line in details.lines]),
    )


def standing_values(standing: Standing) -> tuple[Any, ...]:
    """From `version` to `refusal`."""
    pending = standing.pending
    return (
        standing.version,
        standing.status,
        standing.wish,
        pending.step if pending else None,
        pending.version if pending else None,
        standing.refusal,
    )


def standing_of(row: Row, allocation: Row) -> Standing:
    """The standing in a row of the order and one of its allocation, or of both together. The step that the order's row names is the last
    one that was asked for: whether it is still pending is known by the newest answer."""
    status, demand_version = _ALLOCATION_STATUSES[allocation["allocation_status"]], allocation["allocation_demand_version"]
    asked = Pending(step=_STEPS[row["asked_step"]], version=row["asked_version"]) if row["asked_step"] else None
    return Standing(
        version=row["version"],
        status=_STATUSES[row["status"]],
        wish=_WISHES[row["wish"]],
        pending=None if asked is None or is_answered(asked, status, demand_version) else asked,
        allocation_status=status,
        allocation_version=allocation["allocation_version"],
        allocation_demand_version=demand_version,
        picking=allocation["picking"],
        refusal=row["refusal"],
    )


def order_of(row: Row, allocation: Row) -> Order:
    """The order of its row and what was told of its allocation."""
    details = _details_of(row)
    return Order(
        key=Key(row["merchant"], row["number"]),
        standing=standing_of(row, allocation),
        details=details,
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        cancellation=_cancellation_of(row),
        split_from=row["split_from"],
        channel_version=row["channel_version"],
        digest=row["digest"],
        allocated_lines=_allocated_lines_of(details.lines, allocation),
    )


def _details_of(row: Row) -> Details:
    return Details(
        lines=_lines_in(row["lines"]),
        demanded_at=row["demanded_at"],
        fill=Fill(row["fill"]) if row["fill"] else None,
        strategy=Strategy(row["strategy"]) if row["strategy"] else None,
        priority=row["priority"],
        warehouses=tuple(json.loads(row["warehouses"])),
        channel=row["channel"],
        country=row["country"],
        receiver=row["receiver"],
        tags=tuple(json.loads(row["tags"])),
        value_minor_units=row["value_minor_units"],
        currency=row["currency"],
    )


def _cancellation_of(row: Row) -> Cancellation | None:
    if row["canceled_at"] is None:
        return None
    return Cancellation(at=row["canceled_at"], by=row["canceled_by"], reason=row["cancellation_reason"])


def _allocated_lines_of(lines: Sequence[Line], allocation: Row) -> tuple[LineAllocation, ...]:
    """One for each line. The allocator's last answer may be about lines that an edit has taken out or brought in since."""
    told = {line.sku: line_allocation(line) for line in _told_in(allocation["told"])}
    return tuple(told.get(line.sku) or LineAllocation(sku=line.sku) for line in lines)


def entry_json(entry: Entry) -> str:
    """An entry of a history that stands in the row of what it tells of."""
    return _to_json(entry).decode()


@lru_cache(maxsize=1024)
def texts_json(texts: tuple[str, ...]) -> str:
    """Texts as they are stored. Most are none, or the same again."""
    return json.dumps(texts) if texts else "[]"


def told_json(lines: tuple[AllocatedLine, ...]) -> str:
    """What the allocator told of an order's lines, as it is stored: as it came."""
    return _to_json(lines).decode()
