"""POST /orders/{number}/split."""

from starlette.responses import Response

from services.orders.api.bodies import Split
from services.orders.api.commanding import locked
from services.orders.api.creating import drawn_number, taken, until_free
from services.orders.api.parts import IfMatch, Number, all_settled, by, refusal
from services.orders.api.views import SplitView, receipt
from services.orders.core.model import Key, Refused
from services.orders.core.splitting import split
from services.orders.store.saving import load, save
from shared.http import Command, Platform, Prefer, Reply, Unit, problems, router

routes = router(tags=["orders"])


@routes.post(
    "/orders/{number}/split",
    status_code=202,
    summary="Ship what is ready, keep the rest",
    response_model=None,
    responses={202: {"model": SplitView}, **problems(404, 409, 412)},
)
async def split_order(number: Number, command: Command, prefer: Prefer, if_match: IfMatch = None, body: Split | None = None) -> Response:
    """A partially allocated order becomes two: it keeps the units that are reserved and can be shipped; the others go on waiting in a
    new order, with the same priority and date."""
    platform, merchant = command.platform, command.caller.merchant

    async def attempt(again: bool) -> Reply:
        if again and body and body.number:
            raise taken(body.number)
        new = (body and body.number) or await drawn_number(platform, merchant)

        async def place(unit: Unit) -> Reply:
            order = await locked(unit, Key(merchant, number), if_match)
            answer = split(order, new, by(command), unit.now)
            if isinstance(answer, Refused):
                raise refusal(answer)
            halves = [half.in_trace(command.traceparent) for half in (answer.kept, answer.rest)]
            await save(unit.connection, unit.platform.outbox, halves)
            view = SplitView(kept=receipt(answer.kept.order), rest=receipt(answer.rest.order))
            return Reply(202, view.plain(), f"/orders/{new}")

        return await command.run(place)

    reply = await until_free(attempt)
    asked = [(Key(merchant, half["number"]), half["version"]) for half in (reply.body["kept"], reply.body["rest"])]
    return (await command.wait(reply, prefer, [key.demand for key, _ in asked], lambda: _settled(platform, asked))).response()


async def _settled(platform: Platform, asked: list[tuple[Key, int]]) -> Reply | None:
    if not await all_settled(platform, asked):
        return None
    async with platform.turns.one(), platform.engine.begin() as connection:
        orders = await load(connection, [key for key, _ in asked], lock=False)
    kept, rest = (receipt(orders[key]) for key, _ in asked)
    return Reply(200, SplitView(kept=kept, rest=rest).plain())
