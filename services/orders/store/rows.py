"""An order as rows and back."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from services.orders.core.model import (
    Cancellation,
    Details,
    Key,
    LineAllocation,
    Order,
    OrderStatus,
    Pending,
    Standing,
    Step,
)
from shared.schemas.events import Shortage
from shared.schemas.values import AllocationStatus, Fill, Line, Piece, Strategy, Wish

Row = Mapping[str, Any]
"""A row as asyncpg gives it: values of many types by column."""

ORDER_COLUMNS: Mapping[str, str] = {
    "merchant": "text",
    "number": "text",
    "version": "bigint",
    "status": "text",
    "wish": "text",
    "pending_step": "text",
    "pending_version": "bigint",
    "allocation_status": "text",
    "allocation_version": "bigint",
    "allocation_demand_version": "bigint",
    "picking": "text",
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
}
_PIECES: TypeAdapter[tuple[Piece, ...]] = TypeAdapter(tuple[Piece, ...])
_SHORTAGE: TypeAdapter[Shortage] = TypeAdapter(Shortage)


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
        standing.allocation_status,
        standing.allocation_version,
        standing.allocation_demand_version,
        standing.picking,
        standing.refusal,
    )


def standing_of(row: Row) -> Standing:
    """The standing in a row."""
    return Standing(
        version=row["version"],
        status=OrderStatus(row["status"]),
        wish=Wish(row["wish"]),
        pending=Pending(Step(row["pending_step"]), row["pending_version"]) if row["pending_step"] else None,
        allocation_status=AllocationStatus(row["allocation_status"]),
        allocation_version=row["allocation_version"],
        allocation_demand_version=row["allocation_demand_version"],
        picking=row["picking"],
        refusal=row["refusal"],
    )


def order_of(row: Row, lines: Sequence[Row]) -> Order:
    """The order of its row and its lines' rows, which are sorted by position."""
    return Order(
        key=Key(row["merchant"], row["number"]),
        standing=standing_of(row),
        details=_details_of(row, lines),
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        cancellation=_cancellation_of(row),
        split_from=row["split_from"],
        channel_version=row["channel_version"],
        digest=row["digest"],
        allocated_lines=tuple(map(_line_allocation_of, lines)),
    )


def _details_of(row: Row, lines: Sequence[Row]) -> Details:
    return Details(
        lines=tuple(Line(sku=line["sku"], units=line["units"], warehouses=tuple(json.loads(line["warehouses"]))) for line in lines),
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


def _line_allocation_of(line: Row) -> LineAllocation:
    return LineAllocation(
        sku=line["sku"],
        reserved_units=line["reserved_units"],
        flagged_units=line["flagged_units"],
        waiting_units=line["waiting_units"],
        consumed_units=line["consumed_units"],
        pieces=_PIECES.validate_json(line["pieces"]) if line["pieces"] != "[]" else (),
        shortage=_SHORTAGE.validate_json(line["shortage"]) if line["shortage"] else None,
    )


@lru_cache(maxsize=1024)
def texts_json(texts: tuple[str, ...]) -> str:
    """Texts as they are stored. Most are none, or the same again."""
    return json.dumps(texts) if texts else "[]"


def pieces_json(pieces: tuple[Piece, ...]) -> str:
    """Pieces as they are stored."""
    return _PIECES.dump_json(pieces, exclude_none=True).decode() if pieces else "[]"


def shortage_json(shortage: Shortage | None) -> str | None:
    """A shortage as it is stored."""
    return _SHORTAGE.dump_json(shortage, exclude_none=True).decode() if shortage else None
