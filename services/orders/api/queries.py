"""GET: one order, lists, histories."""

import json
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import JSONResponse

from services.orders.api.parts import Number, etag, find, no_such_order
from services.orders.api.views import EntryPage, EntryView, OrderPage, OrderView, order_item, order_view
from services.orders.core.model import Key, OrderStatus
from services.orders.store.listing import Filter, Sort, list_history, list_orders
from services.orders.store.rows import standing_of
from shared.http import Caller, Page, PassedOn, Serving, problems, router
from shared.schemas.values import AllocationStatus, Identifier, Sku, Text, Time

routes = router(tags=["orders"])
_MANY = 20
_PAGE = 200
"""As many numbers as a page of any list has rows: who holds a stock record is looked up by one request."""


@routes.get("/orders/{number}", summary="One order", response_model=OrderView, responses=problems(404))
async def get_order(number: Number, caller: Caller, platform: Serving) -> Any:
    """The order, whole: its two statuses, what every line has and why units are missing, and what may be done with it now."""
    order = await find(platform, Key(caller.merchant, number))
    if order is None:
        raise no_such_order(number)
    return JSONResponse(order_view(order).plain(), headers=etag(order))


@routes.get("/orders/{number}/history", summary="What happened to an order", response_model=EntryPage, responses=problems(404))
async def get_history(number: Number, caller: Caller, platform: Serving, page: Page) -> Any:
    """Every accepted command and every change of its allocation, oldest first."""
    scope = f"{caller.merchant}/history/{number}"
    (after,) = page.after(scope) or (-1,)
    async with platform.reading() as connection:
        rows = await list_history(connection, caller.merchant, number, after, page.limit + 1)
    if not rows and after < 0:
        raise no_such_order(number)
    items = [
        EntryView(happening=entry.happening, version=entry.version, at=entry.at, by=entry.by, details=entry.details).plain()
        for _, entry in rows[: page.limit]
    ]
    return JSONResponse(page.reply(scope, items, [rows[page.limit - 1][0]] if len(rows) > page.limit else None))


@routes.get("/orders/{number}/lines/{sku}/explanation", summary="Why a line lacks units", response_model=None, responses=problems(404))
async def get_explanation(
    number: Number,
    sku: Annotated[Sku, Path(description="the line's SKU", examples=["CUP"])],
    caller: Caller,
    platform: Serving,
    ledger: PassedOn,
    page: Page,
) -> Any:
    """As the allocator knows it: what the line has and lacks and its rank in the queue, now; the shortage with what would help; everybody
    who holds units of the SKU, the largest first."""
    if await find(platform, key := Key(caller.merchant, number)) is None:
        raise no_such_order(number)
    kind, _, demand_number = key.demand.split("/")
    return await ledger.get("explanations", sku, kind, demand_number, limit=page.limit, cursor=page.cursor)


@routes.get("/orders", summary="Orders", response_model=OrderPage)
async def get_orders(
    caller: Caller,
    platform: Serving,
    page: Page,
    status: Annotated[tuple[OrderStatus, ...], Query(max_length=_MANY, description="one or more")] = (),
    allocation_status: Annotated[
        tuple[AllocationStatus, ...], Query(max_length=_MANY, description="one or more; `allocated` shows what is ready to ship")
    ] = (),
    channel: Annotated[tuple[Text, ...], Query(max_length=_MANY, description="one or more")] = (),
    number: Annotated[tuple[Identifier, ...], Query(max_length=_PAGE, description="these, as far as they are the merchant's")] = (),
    sku: Annotated[Sku | None, Query(description="with a line of this SKU")] = None,
    search: Annotated[Text | None, Query(max_length=100, description="in the receiver's name, or how a number begins")] = None,
    demanded_from: Annotated[Time | None, Query(description="demanded then or later")] = None,
    demanded_before: Annotated[Time | None, Query(description="demanded earlier")] = None,
    sort: Annotated[Sort, Query(description="`demanded_at`: oldest first; `priority`: as served; `-` turns it round")] = "-demanded_at",
) -> Any:
    """The merchant's orders, filtered and sorted, page by page."""
    wanted = Filter(
        statuses=tuple(one.value for one in status),
        allocation_statuses=tuple(one.value for one in allocation_status),
        channels=channel,
        numbers=number,
        sku=sku,
        search=search,
        demanded_from=demanded_from,
        demanded_before=demanded_before,
    )
    scope = json.dumps([caller.merchant, "orders", sort, repr(wanted)])
    async with platform.reading() as connection:
        rows, last = await list_orders(connection, caller.merchant, wanted, sort, page.after(scope), page.limit)
    items = [order_item(row, Key(caller.merchant, row.order["number"]).demand, standing_of(row.order, row.order)).plain() for row in rows]
    return JSONResponse(page.reply(scope, items, last))
