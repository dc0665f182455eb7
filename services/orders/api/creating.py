"""POST /orders and POST /orders:bulk."""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from services.orders.api.bodies import NewOrder, NewOrders
from services.orders.api.parts import accepted, all_settled, by, refusal, settled
from services.orders.api.views import OrderView, Receipt, receipt
from services.orders.core.commands import CreateOrder
from services.orders.core.decider import create
from services.orders.core.model import Changed, Key, Order, Refused
from services.orders.core.numbering import month_of, order_number
from services.orders.store.numbers import draw_counts, draw_within
from services.orders.store.saving import load, number_is_taken, save
from shared.http import Command, Platform, Prefer, Problem, Reply, Shared, Unit, problems, router
from shared.http.validation import refused as invalid

PREFIX = "SO"
_ATTEMPTS = 5
_DRAWS = 8
"""Twice as many each time: 255 numbers in a row may be taken."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An order to make, of which nobody has seen a number where it is None. `generated`: the number is ours, so nobody else can have
    meant it. `look`: the number was found to be taken."""

    merchant: str
    number: str | None
    body: NewOrder
    by: str
    traceparent: str | None
    look: bool
    generated: bool = False

    @property
    def key(self) -> Key:
        """Of an order that has its number."""
        assert self.number is not None
        return Key(self.merchant, self.number)

    @property
    def digest(self) -> str:
        """Of what the caller gave."""
        return hashlib.sha256(self.body.model_dump_json(exclude={"number"}, exclude_unset=True).encode()).hexdigest()


class _NumberUsed(Exception):
    """Somebody gave an order the number that we drew: draw the next."""


routes = router(tags=["orders"])


@routes.post(
    "/orders",
    status_code=202,
    summary="Make an order",
    response_model=None,
    responses={
        202: {"model": Receipt},
        200: {"model": OrderView | Receipt, "description": "Nothing is left to be answered; or the decision, with Prefer: wait"},
        **problems(409),
    },
)
async def create_order(body: NewOrder, command: Command, prefer: Prefer) -> Response:
    """The order is made and its allocation asked for. The same number with the same content is the same order; with other content it is
    refused. `Prefer: wait=N` gives the decision itself where it comes within N seconds."""
    platform, merchant = command.platform, command.caller.merchant

    async def attempt(look: bool) -> Reply:
        return await command.share(place_orders, _Wanted(merchant, body.number, body, by(command), command.traceparent, look))

    reply = await until_free(attempt)
    key = Key(merchant, reply.body["number"])
    return (await command.wait(reply, prefer, key.demand, lambda: settled(platform, key, reply.body["version"]))).response()


def bulk_routes(max_body_bytes: int, max_item_bytes: int) -> APIRouter:
    """POST /orders:bulk, which takes larger bodies."""
    bulk = router(max_body_bytes=max_body_bytes, tags=["orders"])

    @bulk.post("/orders:bulk", status_code=202, summary="Make many orders", response_model=None)
    async def create_orders(body: NewOrders, command: Command, prefer: Prefer) -> Response:
        """Each order is judged on its own: `results` has, in the order of the request, its receipt or its problem."""
        platform, merchant = command.platform, command.caller.merchant
        read = [_read(item, max_item_bytes) for item in body.orders]

        async def attempt(look: bool) -> Reply:
            numbered = iter(await _numbered(command, [one for one in read if isinstance(one, NewOrder)], look))
            wanted = [next(numbered) if isinstance(one, NewOrder) else one for one in read]

            async def place(unit: Unit) -> Reply:
                placed = iter(await _place(unit.shared, [one for one in wanted if isinstance(one, _Wanted)]))
                return _bulk_reply([next(placed) if isinstance(one, _Wanted) else (None, one) for one in wanted])

            return await command.run(place)

        reply = await until_free(attempt)
        asked = [(Key(merchant, one["number"]), one["version"]) for one in reply.body["results"] if "number" in one]
        subjects = [key.demand for key, _ in asked]
        return (await command.wait(reply, prefer, subjects, lambda: _all_settled(platform, reply, asked))).response()

    return bulk


async def place_orders(shared: Shared, wanted: Sequence[_Wanted]) -> list[Reply | Exception]:
    """Make orders that were asked for one by one, in one transaction."""
    # Of many, one number that is taken would fail them all, and a look costs all of them one round trip.
    wanted = [replace(one, look=True) for one in wanted] if len(wanted) > 1 else wanted
    given = [one.key for one in wanted if one.look and one.number is not None]
    present = await load(shared.connection, given, lock=True) if given else {}
    return [_reply(order, problem) for order, problem in await _make(shared, await _drawn(shared, wanted), present)]


async def _drawn(shared: Shared, wanted: Sequence[_Wanted]) -> list[_Wanted]:
    """Draw numbers for those that have none, behind every lock that may be waited for."""
    without = Counter(one.merchant for one in wanted if one.number is None)
    look = any(one.look for one in wanted)
    free = {merchant: iter(await _free_numbers(shared, merchant, without[merchant], look)) for merchant in sorted(without)}
    return [replace(one, number=next(free[one.merchant]), generated=True) if one.number is None else one for one in wanted]


async def _free_numbers(shared: Shared, merchant: str, count: int, look: bool) -> list[str]:
    """The next numbers of the month; `look`: without those that somebody gave to an order. Raises Problem where too many are taken."""
    month = month_of(shared.now)
    free: list[str] = []
    for attempt in range(_DRAWS):
        drawn = await draw_within(shared.connection, merchant, month, max(count - len(free), 2**attempt))
        keys = [Key(merchant, order_number(PREFIX, month, number)) for number in drawn]
        there = await load(shared.connection, keys, lock=False) if look else {}
        free += [key.number for key in keys if key not in there]
        if len(free) >= count:
            return free
    raise Problem(409, "number_taken", "the next numbers of the month are taken", field="number", remedy="give the order a number")


def _reply(order: Order | None, problem: Exception | None) -> Reply | Exception:
    if order is None:
        assert problem is not None
        return problem
    return accepted(order)


async def _place(shared: Shared, wanted: Sequence[_Wanted]) -> list[tuple[Order | None, Exception | None]]:
    """Make the orders of one request, which have their numbers; per order what it is, or why not."""
    look = [one.key for one in wanted if one.look and not one.generated]
    return await _make(shared, wanted, await load(shared.connection, look, lock=True) if look else {})


async def _make(shared: Shared, wanted: Sequence[_Wanted], present: dict[Key, Order]) -> list[tuple[Order | None, Exception | None]]:
    placed: list[tuple[Order | None, Exception | None]] = []
    changes: list[Changed] = []
    for one in wanted:
        if (there := present.get(one.key)) is not None:
            placed.append(_there_already(there, one))
            continue
        details = one.body.details(shared.now)
        answer = create(CreateOrder(key=one.key, details=details, allocate=one.body.allocate, digest=one.digest, by=one.by), shared.now)
        if isinstance(answer, Refused):
            placed.append((None, refusal(answer)))
            continue
        present[one.key] = answer.order
        changes.append(answer.in_trace(one.traceparent))
        placed.append((answer.order, None))
    await save(shared.connection, shared.outbox, changes)
    return placed


def _there_already(order: Order, wanted: _Wanted) -> tuple[Order | None, Exception | None]:
    if wanted.generated:
        return None, _NumberUsed(_NumberUsed.__doc__)
    return (order, None) if order.digest == wanted.digest else (None, taken(order.key.number))


async def drawn_number(platform: Platform, merchant: str) -> str:
    """The next number of the month. A number that is drawn and not used leaves a gap."""
    month = month_of(datetime.now(UTC))
    (count,) = await draw_counts(platform.engine, merchant, month, 1)
    return order_number(PREFIX, month, count)


async def _numbered(command: Command, bodies: Sequence[NewOrder], look: bool) -> list[_Wanted]:
    """Give a number to those that have none."""
    merchant, told_by, trace = command.caller.merchant, by(command), command.traceparent
    without = sum(body.number is None for body in bodies)
    month = month_of(datetime.now(UTC))
    counts = iter(await draw_counts(command.platform.engine, merchant, month, without) if without else ())
    return [
        _Wanted(merchant, body.number, body, told_by, trace, look)
        if body.number is not None
        else _Wanted(merchant, order_number(PREFIX, month, next(counts)), body, told_by, trace, look, generated=True)
        for body in bodies
    ]


async def until_free(attempt: Callable[[bool], Awaitable[Reply]]) -> Reply:
    """First without looking for orders of the same numbers, which hardly ever are there and cost a round trip. Where the database says
    that one is: look, or draw the next number."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            return await attempt(left < _ATTEMPTS - 1)
        except Exception as error:
            if not (number_is_taken(error) or isinstance(error, _NumberUsed)) or not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _read(item: Any, max_item_bytes: int) -> NewOrder | Problem:
    raw = json.dumps(item).encode()
    if len(raw) > max_item_bytes:
        return Problem(413, "item_too_large", f"the order has more than {max_item_bytes} bytes", remedy="send fewer lines", field="lines")
    try:
        return NewOrder.model_validate_json(raw)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_input=False, include_context=False)
        return invalid([{**finding, "loc": ("body", *finding["loc"])} for finding in findings])


def _bulk_reply(placed: Sequence[tuple[Order | None, Exception | None]]) -> Reply:
    results = [_result(order, problem) for order, problem in placed]
    accepted = sum("number" in one for one in results)
    return Reply(202, {"accepted": accepted, "refused": len(results) - accepted, "results": results})


def _result(order: Order | None, problem: Exception | None) -> Mapping[str, Any]:
    if order is not None:
        return receipt(order).plain()
    if not isinstance(problem, Problem):
        assert problem is not None
        raise problem
    document = problem.document("")
    del document["request_id"]
    return {"problem": document}


async def _all_settled(platform: Platform, reply: Reply, asked: Sequence[tuple[Key, int]]) -> Reply | None:
    if not await all_settled(platform, asked):
        return None
    async with platform.turns.one(), platform.engine.begin() as connection:
        orders = await load(connection, [key for key, _ in asked], lock=False)
    now = {key.number: receipt(order).plain() for key, order in orders.items()}
    results = [now[one["number"]] if "number" in one else one for one in reply.body["results"]]
    return Reply(200, {**reply.body, "results": results})


def taken(number: str) -> Problem:
    """409: another order has the number."""
    remedy = "give the order another number, or PATCH the one there is"
    return Problem(409, "number_taken", f"order {number} exists with other content", field="number", remedy=remedy)
