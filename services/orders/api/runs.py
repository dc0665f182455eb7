"""Bulk runs: Allocate and Deallocate on a selection, in its order."""

import secrets
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path
from starlette.responses import JSONResponse, Response

from services.orders.api.bodies import MAX_SELECTION, NewRun
from services.orders.api.parts import Beside
from services.orders.api.views import RunOrderPage, RunView, run_order_views, run_view
from services.orders.core.runs import plan
from services.orders.store.listing import list_numbers
from services.orders.store.runs import create_run, find_run, list_run_orders, skus_of
from shared.http import Caller, Command, Page, Platform, Prefer, Problem, Reply, Serving, Unit, problems, router
from shared.schemas.values import Identifier

routes = router(tags=["bulk runs"])
RunId = Annotated[Identifier, Path(description="the run's id")]


@routes.post(
    "/allocation-runs",
    status_code=202,
    summary="Allocate or deallocate a selection",
    response_model=None,
    responses={202: {"model": RunView}, 200: {"model": RunView, "description": "It has ended (Prefer: wait)"}},
)
async def create(body: NewRun, command: Command, prefer: Prefer, beside: Beside) -> Response:
    """The orders get the command in the order of the selection: on scarce stock the earlier ones are served first. Orders that share no
    SKU go in parallel."""
    platform, merchant, run = command.platform, command.caller.merchant, f"run-{secrets.token_hex(8)}"

    async def place(unit: Unit) -> Reply:
        numbers = body.orders if body.orders is not None else await _selected(unit, body)
        skus = await skus_of(unit.connection, merchant, numbers)
        planned = plan((number, skus[number]) for number in _existing(numbers, skus))
        by = f"key {unit.caller.key_id}"
        await create_run(unit.connection, platform.outbox, merchant, run, body.action, planned, unit.now, by)
        row = await find_run(unit.connection, merchant, run)
        assert row is not None
        return Reply(202, run_view(row).plain(), f"/allocation-runs/{run}")

    reply = await command.run(place)
    beside.runner.wake()
    made = reply.body["id"]
    return (await command.wait(reply, prefer, made, lambda: _ended(platform, merchant, made))).response()


@routes.get("/allocation-runs/{run}", summary="A run and its progress", response_model=RunView, responses=problems(404))
async def get_run(run: RunId, caller: Caller, platform: Serving) -> Any:
    """How many of its orders have ended; `version` rises with every step."""
    async with platform.reading() as connection:
        row = await find_run(connection, caller.merchant, run)
    if row is None:
        raise _no_such_run(run)
    return JSONResponse(run_view(row).plain())


@routes.get("/allocation-runs/{run}/orders", summary="The orders of a run", response_model=RunOrderPage, responses=problems(404))
async def get_run_orders(run: RunId, caller: Caller, platform: Serving, page: Page) -> Any:
    """In the order of the selection, with what came of each."""
    scope = f"{caller.merchant}/run/{run}"
    (after,) = page.after(scope) or (-1,)
    async with platform.reading() as connection:
        if await find_run(connection, caller.merchant, run) is None:
            raise _no_such_run(run)
        rows = await list_run_orders(connection, run, after, page.limit + 1)
    items = [view.plain() for view in run_order_views(rows[: page.limit])]
    return JSONResponse(page.reply(scope, items, [rows[page.limit - 1].position] if len(rows) > page.limit else None))


async def _selected(unit: Unit, body: NewRun) -> Sequence[str]:
    assert body.filter is not None, "a run is over orders or over a filter"
    numbers = await list_numbers(unit.connection, unit.merchant, body.filter.filter(), body.sort, MAX_SELECTION + 1)
    if not numbers:
        raise Problem(422, "nothing_selected", "no order is as the filter says", field="filter", remedy="widen the filter")
    if len(numbers) > MAX_SELECTION:
        detail = f"the filter selects more than {MAX_SELECTION} orders"
        raise Problem(422, "too_many_selected", detail, field="filter", remedy="narrow the filter, and make several runs")
    return numbers


def _existing(numbers: Sequence[str], skus: dict[str, list[str]]) -> Sequence[str]:
    for position, number in enumerate(numbers):
        if number not in skus:
            remedy = "take it out of the selection, or correct its number"
            raise Problem(422, "unknown_order", f"there is no order {number}", field=f"orders.{position}", remedy=remedy)
    return numbers


async def _ended(platform: Platform, merchant: str, run: str) -> Reply | None:
    async with platform.reading() as connection:
        row = await find_run(connection, merchant, run)
    return Reply(200, run_view(row).plain()) if row is not None and row.ended_at is not None else None


def _no_such_run(run: str) -> Problem:
    return Problem(404, "not_found", f"there is no run {run}", field="run", remedy="check its id: POST /allocation-runs answered with it")
