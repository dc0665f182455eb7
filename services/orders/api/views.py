"""How orders, runs and dead letters look to the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from services.orders.core.model import Order, OrderStatus, Standing
from services.orders.core.permitted import permitted_actions
from services.orders.core.words import display_status
from services.orders.store.listing import Listed
from shared.schemas.events import Shortage
from shared.schemas.values import AllocationStatus, Piece


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")


class Receipt(View):
    """Where an order stands after a command. `pending`: what has been asked of the allocator and is not answered yet."""

    number: str
    id: str = Field(description="under which every event knows the order")
    version: int
    status: OrderStatus
    allocation_status: AllocationStatus
    display_status: str = Field(description="the one word for screens", examples=["Pending Allocation", "Allocated", "Out of Stock"])
    pending: str | None = Field(description="allocation, release, picking or consumption")
    refusal: str | None = Field(description="why the last step was refused, and what helps")


class LineView(View):
    """One line and what it has. units = reserved + waiting + consumed once allocation has answered."""

    sku: str
    units: int
    warehouses: tuple[str, ...]
    reserved_units: int = 0
    flagged_units: int = Field(default=0, description="reserved, and no longer there")
    waiting_units: int = 0
    consumed_units: int = 0
    pieces: tuple[Piece, ...] = Field(default=(), description="where the reserved units lie")
    shortage: Shortage | None = Field(default=None, description="why units are missing, and what would help")


class CancellationView(View):
    """The record that a cancellation leaves."""

    at: datetime
    by: str
    reason: str


class OrderView(Receipt):
    """An order, whole. `actions`: what may be done with it now; everything else is refused."""

    actions: tuple[str, ...]
    lines: tuple[LineView, ...]
    demanded_at: datetime
    priority: int
    fill: str | None
    strategy: str | None
    warehouses: tuple[str, ...]
    channel: str
    country: str
    receiver: str
    tags: tuple[str, ...]
    value_minor_units: int | None
    currency: str
    created_at: datetime
    changed_at: datetime
    cancellation: CancellationView | None
    split_from: str | None
    allocation_version: int
    picking: str


class SplitView(View):
    """Both halves: `kept` has what is ready, `rest` waits."""

    kept: Receipt
    rest: Receipt


class OrderItem(Receipt):
    """An order in a list."""

    demanded_at: datetime
    priority: int
    channel: str
    country: str
    receiver: str
    created_at: datetime
    line_count: int
    units: int
    reserved_units: int
    flagged_units: int
    actions: tuple[str, ...]


class OrderPage(View):
    """One page. `next_cursor` is null on the last."""

    items: tuple[OrderItem, ...]
    next_cursor: str | None


class EntryView(View):
    """One entry of a history."""

    happening: str
    version: int = Field(description="the order's; of an answer of the allocator the one that was answered")
    at: datetime
    by: str
    details: dict[str, Any]


class EntryPage(View):
    """One page of a history, oldest first."""

    items: tuple[EntryView, ...]
    next_cursor: str | None


def _standing(number: str, demand: str, standing: Standing) -> dict[str, Any]:
    return {
        "number": number,
        "id": demand,
        "version": standing.version,
        "status": standing.status,
        "allocation_status": standing.allocation_status,
        "display_status": display_status(standing.status, standing.allocation_status),
        "pending": standing.pending.step.value if standing.pending else None,
        "refusal": standing.refusal,
    }


def receipt(order: Order) -> Receipt:
    """The receipt of a command."""
    return Receipt(**_standing(order.key.number, order.key.demand, order.standing))


def order_view(order: Order) -> OrderView:
    """The order, whole."""
    details, cancellation = order.details, order.cancellation
    return OrderView(
        **_standing(order.key.number, order.key.demand, order.standing),
        actions=tuple(action.value for action in permitted_actions(order.standing)),
        lines=_lines(order),
        demanded_at=details.demanded_at,
        priority=details.priority,
        fill=details.fill,
        strategy=details.strategy,
        warehouses=details.warehouses,
        channel=details.channel,
        country=details.country,
        receiver=details.receiver,
        tags=details.tags,
        value_minor_units=details.value_minor_units,
        currency=details.currency,
        created_at=order.created_at,
        changed_at=order.changed_at,
        cancellation=CancellationView(at=cancellation.at, by=cancellation.by, reason=cancellation.reason) if cancellation else None,
        split_from=order.split_from,
        allocation_version=order.standing.allocation_version,
        picking=order.standing.picking,
    )


def _lines(order: Order) -> tuple[LineView, ...]:
    told = {line.sku: line for line in order.allocated_lines}
    views = []
    for line in order.details.lines:
        view = LineView(sku=line.sku, units=line.units, warehouses=line.warehouses)
        if found := told.get(line.sku):
            names = ("reserved_units", "flagged_units", "waiting_units", "consumed_units", "pieces", "shortage")
            view = view.model_copy(update={name: getattr(found, name) for name in names})
        views.append(view)
    return tuple(views)


def order_item(listed: Listed, demand: str, standing: Standing) -> OrderItem:
    """An order in a list."""
    row = listed.order
    return OrderItem(
        **_standing(row["number"], demand, standing),
        **{name: row[name] for name in ("demanded_at", "priority", "channel", "country", "receiver", "created_at")},
        line_count=listed.line_count,
        units=listed.units,
        reserved_units=listed.reserved_units,
        flagged_units=listed.flagged_units,
        actions=tuple(action.value for action in permitted_actions(standing)),
    )


class RunView(View):
    """A bulk run. An order of it starts when every earlier selected one that shares a SKU with it has ended."""

    id: str
    action: str
    version: int
    total: int
    ended: int
    refused: int
    state: str = Field(examples=["running", "ended"])
    created_at: datetime
    ended_at: datetime | None


class RunOrderView(View):
    """One order of a run. `result`: its allocation status when it ended, or why it was refused."""

    position: int
    number: str
    state: str
    result: str
    detail: str


class RunOrderPage(View):
    """One page of a run's orders, in the order of the selection."""

    items: tuple[RunOrderView, ...]
    next_cursor: str | None


def run_view(row: Row[Any]) -> RunView:
    """The run of a row."""
    return RunView(
        id=row.id,
        action=row.action,
        version=row.version,
        total=row.total,
        ended=row.ended,
        refused=row.refused,
        state="running" if row.ended_at is None else "ended",
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def run_order_views(rows: Sequence[Row[Any]]) -> list[RunOrderView]:
    """The orders of rows."""
    return [RunOrderView(position=row.position, number=row.number, state=row.state, result=row.result, detail=row.detail) for row in rows]


class LetterView(View):
    """A record that was not taken. `value` as text where it is text, else in hexadecimal."""

    topic: str
    partition: int
    offset: int
    written_at: datetime
    merchant: str | None
    field: str
    reason: str
    status: str
    found_at: datetime
    settled_at: datetime | None
    key: str | None
    value: str | None
    headers: tuple[Annotated[tuple[str, ...], Field(min_length=2, max_length=2)], ...] = Field(description="name and value of each")


class LetterPage(View):
    """One page of dead letters, by topic, partition and offset."""

    items: tuple[LetterView, ...]
    next_cursor: str | None


def letter_view(row: Row[Any]) -> LetterView:
    """The dead letter of a row."""
    return LetterView(
        topic=row.topic,
        partition=row.partition,
        offset=row.record_offset,
        written_at=row.written_at,
        merchant=row.merchant,
        field=row.field,
        reason=row.reason,
        status=row.status,
        found_at=row.found_at,
        settled_at=row.settled_at,
        key=_readable(row.key),
        value=_readable(row.value),
        headers=tuple((name, _readable(bytes.fromhex(value)) or "") for name, value in row.headers),
    )


def _readable(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "0x" + raw.hex()
