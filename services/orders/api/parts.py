"""What several endpoints of orders share: keys from requests, refusals as problems, waiting for an order to be settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from sqlalchemy import select, tuple_

from services.orders.api.views import order_view, receipt
from services.orders.core.model import Key, Order, Refused
from services.orders.feeds import Feeds
from services.orders.runner import Runner
from services.orders.store.rows import standing_of
from services.orders.store.saving import load
from services.orders.store.tables import answered_order, known, sales_order
from shared.http import Command, Platform, Problem, Reply
from shared.schemas.values import Identifier

Number = Annotated[Identifier, Path(description="the order's number", examples=["SO-2611-0042"])]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", pattern='^"?[0-9]{1,18}"?$', description="the order's version: refused with 412 when it has changed meanwhile"
    ),
]
_OF_THE_REQUEST = {"duplicate_sku"}
"""Refusals that no state of the order would change."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the HTTP of orders."""

    feeds: Feeds
    runner: Runner


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Beside = Annotated[Parts, Depends(_parts)]


def refusal(refused: Refused) -> Problem:
    """409 where the order's state forbids it, 422 where the request contradicts itself."""
    status = 422 if refused.reason in _OF_THE_REQUEST else 409
    return Problem(status, refused.reason, refused.detail, remedy=refused.remedy, field=refused.field or None)


def no_such_order(number: str) -> Problem:
    """404, the same whether it does not exist or is another merchant's."""
    return Problem(404, "not_found", f"there is no order {number}", field="number", remedy="check the number, or list the orders")


def by(command: Command) -> str:
    """Who commands, as histories tell it."""
    return f"key {command.caller.key_id}"


def etag(order: Order) -> dict[str, str]:
    """The order's version, for If-Match."""
    return {"ETag": f'"{order.version}"'}


def accepted(order: Order) -> Reply:
    """The answer to a command: 202 where the allocator has been asked, 200 where nothing is left to wait for."""
    status = 202 if order.standing.pending else 200
    return Reply(status, receipt(order).plain(), f"/orders/{order.key.number}", etag(order))


async def find(platform: Platform, key: Key) -> Order | None:
    """The order as of one moment."""
    async with platform.turns.one(), platform.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with connection.begin():
            return (await load(connection, [key], lock=False)).get(key)


async def settled(platform: Platform, key: Key, version: int) -> Reply | None:
    """The order once the allocator has answered what was asked at `version`; null until then."""
    if not await all_settled(platform, [(key, version)]):
        return None
    order = await find(platform, key)
    assert order is not None, "orders are never deleted"
    return Reply(200, order_view(order).plain(), headers=etag(order))


async def all_settled(platform: Platform, asked: Sequence[tuple[Key, int]]) -> bool:
    """Whether the allocator has answered all that was asked: (order, its version then)."""
    order = sales_order.c
    wanted = dict(asked)
    query = (
        select(sales_order, *known)
        .select_from(answered_order)
        .where(order.asked_version.is_not(None), tuple_(order.merchant, order.number).in_([(key.merchant, key.number) for key in wanted]))
    )
    async with platform.reading() as connection:
        rows = list(map(dict, (await connection.execute(query)).mappings()))
    pending = {Key(row["merchant"], row["number"]): standing_of(row, row).pending for row in rows}
    return all(step is None or step.version > wanted[key] for key, step in pending.items())
