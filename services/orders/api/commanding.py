"""Commands on one order: PATCH /orders/{number} and POST /orders/{number}/{action}."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from services.orders.api.bodies import Cancel, OrderChanges
from services.orders.api.parts import IfMatch, Number, accepted, by, no_such_order, refusal, settled
from services.orders.api.views import OrderView, Receipt
from services.orders.core.commands import (
    AllocateOrder,
    CancelOrder,
    DeallocateOrder,
    DropshipOrder,
    EditOrder,
    OrderCommand,
    ShipOrder,
    StartProcessing,
    StopProcessing,
)
from services.orders.core.decider import decide
from services.orders.core.model import Changed, Key, Order, Refused
from services.orders.store.saving import load, save
from shared.http import Command, Prefer, Problem, Reply, Shared, Unit, problems, router

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": OrderView | Receipt, "description": "Nothing is left to be answered; or the answer came in time (Prefer: wait)"},
    202: {"model": Receipt, "description": "Accepted: the allocator has been asked"},
    **problems(404, 409, 412),
}
routes = router(tags=["orders"])


@routes.patch("/orders/{number}", status_code=202, summary="Edit", response_model=None, responses=_ANSWERS)
async def edit(number: Number, body: OrderChanges, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """Change details while the order awaits fulfilment. Where it was allocated, allocation runs again by itself."""
    return await _told(command, number, EditOrder(changes=body.changes(), by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/cancel", status_code=202, summary="Cancel for good", response_model=None, responses=_ANSWERS)
async def cancel(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None, body: Cancel | None = None) -> Response:
    """One-way: it can not be restored. What the order reserved is released at once and may be allocated to other orders."""
    return await _told(command, number, CancelOrder(reason=body.reason if body else "", by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/allocate", status_code=202, summary="Allocate", response_model=None, responses=_ANSWERS)
async def allocate(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """Reserve stock for the order, or try again."""
    return await _told(command, number, AllocateOrder(by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/deallocate", status_code=202, summary="Deallocate", response_model=None, responses=_ANSWERS)
async def deallocate(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """Free what the order reserved; it stays open."""
    return await _told(command, number, DeallocateOrder(by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/start-processing", status_code=202, summary="Start processing", response_model=None, responses=_ANSWERS)
async def start_processing(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """Picking may start. The status changes when every reserved unit has been confirmed; where one is missing it is refused."""
    return await _told(command, number, StartProcessing(by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/stop-processing", status_code=202, summary="Stop processing", response_model=None, responses=_ANSWERS)
async def stop_processing(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """The picker has stopped: the order awaits fulfilment again and may be edited or canceled."""
    return await _told(command, number, StopProcessing(by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/ship", status_code=202, summary="Ship", response_model=None, responses=_ANSWERS)
async def ship(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """The goods leave: they are taken off hand. The status changes when all have left."""
    return await _told(command, number, ShipOrder(by=by(command)), prefer, if_match)


@routes.post("/orders/{number}/dropship", status_code=202, summary="Dropship", response_model=None, responses=_ANSWERS)
async def dropship(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None) -> Response:
    """A supplier ships it: nothing is taken from stock, and its allocation is removed."""
    return await _told(command, number, DropshipOrder(by=by(command)), prefer, if_match)


@dataclass(frozen=True, slots=True)
class _Told:
    """What one request tells one order."""

    key: Key
    command: OrderCommand
    if_match: str | None
    traceparent: str | None


async def _told(command: Command, number: str, told: OrderCommand, prefer: Prefer, if_match: str | None) -> Response:
    key = Key(command.caller.merchant, number)
    reply = await command.share(tell_orders, _Told(key, told, if_match, command.traceparent))
    return (await command.wait(reply, prefer, key.demand, lambda: settled(command.platform, key, reply.body["version"]))).response()


async def tell_orders(shared: Shared, told: Sequence[_Told]) -> list[Reply | Exception]:
    """Give orders their commands, several to one order one after the other."""
    orders = await load(shared.connection, [one.key for one in told], lock=True)
    answers: list[Reply | Exception] = []
    changes: list[Changed] = []
    for one in told:
        try:
            answer = decide(as_seen(orders.get(one.key), one.key, one.if_match), one.command, shared.now)
            if isinstance(answer, Refused):
                raise refusal(answer)
        except Problem as refused:
            answers.append(refused)
            continue
        orders[one.key] = answer.order
        changes.append(answer.in_trace(one.traceparent))
        answers.append(accepted(answer.order))
    await save(shared.connection, shared.outbox, changes)
    return answers


async def locked(unit: Unit, key: Key, if_match: str | None) -> Order:
    """The order, its row locked. Raises Problem as `as_seen`."""
    return as_seen((await load(unit.connection, [key], lock=True)).get(key), key, if_match)


def as_seen(order: Order | None, key: Key, if_match: str | None) -> Order:
    """The order. Raises Problem where there is none, or another version than the caller has seen."""
    if order is None:
        raise no_such_order(key.number)
    if if_match is not None and int(if_match.strip('"')) != order.version:
        detail = f"the order is at version {order.version} by now"
        raise Problem(412, "changed_meanwhile", detail, field="If-Match", remedy="read it again, then decide again")
    return order
