"""What every HTTP service of Earmark has in common: problem documents, API keys, idempotent commands, waiting, cursors, health.

A service is wired like this:

    platform = Platform.open(settings(), "orders")               # engine, outbox, relay, API keys, waiting: started by the lifespan
    routes = router()                                            # every endpoint on it needs an API key
    app = create_app(platform, routes, title="Earmark orders")   # pass `background=` for subscribers: an async context manager

A command, the whole of it:

    class CreateOrder(Body):                                     # strict, no unknown field, read from the JSON itself
        number: Identifier
        lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=1000)]

    @routes.post("/orders", status_code=202, responses=problems(409, 422))
    async def create_order(body: CreateOrder, command: Command, prefer: Prefer) -> Response:
        async def place(unit: Unit) -> Reply:                    # runs in one transaction; may run again after a deadlock
            …  unit.connection, unit.merchant, unit.now  …       # lock the entity's row first
            await unit.emit(Outgoing(entity=…, topic=…, key=…, message=…))
            return Reply(202, {"id": …}, location="/orders/…")

        reply = await command.run(place)
        if prefer.wait_seconds:
            reply = await command.wait(reply, prefer, order_id, probe) # probe() -> Reply | None, asked at once and after each NOTIFY
        return reply.response()

- `Command` brings API key, `Idempotency-Key` and stored reply. A replayed `Reply` comes back as if `place` had run; waiting is then the
  same. An exception in `place` rolls everything back and stores nothing: the same key may be tried again.
- Commands that come in numbers share a transaction with those that wait at the same moment: `await command.share(place, item)`, where
  `place(shared: Shared, items)` gives for each item its `Reply`, or the exception that ends its request; see `shared.http.gathering`.
- Refuse with `raise Problem(409, "order_is_shipped", "what is wrong", remedy="what helps", field="lines.0.sku")`.
- A query takes `caller: Caller` (for `caller.merchant`) and `platform: Serving`; it reads with `async with platform.reading() as
  connection`.
- Lists: `page: Page` (limit 1 to 200, `cursor`); `page.after(scope)` gives the values of the last row or None, `page.reply(scope, items,
  values)` the body with `next_cursor`. Name merchant, route and filters in `scope`: a cursor is refused elsewhere.
- The transaction that projects a decision calls `await notify(connection, platform.decisions, subject)`; waiters in every process wake up.
- Events that others publish are folded in by a `Projection` of `shared.projection`; give `Projector(…).running` as `background`.
- What only the allocator knows is passed on: `app.state.ledger = Ledger(settings.allocator_url, "GET /stock")`, and in the endpoint
  `ledger: PassedOn`, `await ledger.get("records", sku, limit=page.limit, cursor=page.cursor)`.
- `platform.conditions["name"] = lambda: "…"` adds a word to `/health/ready`.
- More than 256 KB: `@routes.post(…)` on `router(max_body_bytes=settings.max_bulk_body_bytes)`.
"""

from shared.http.app import create_app
from shared.http.bodies import Body
from shared.http.commands import Command, Unit
from shared.http.cursors import Page
from shared.http.gathering import Shared
from shared.http.keys import Caller
from shared.http.ledger import Ledger, PassedOn
from shared.http.platform import Platform, Serving
from shared.http.prefer import Prefer
from shared.http.problems import Problem, problems
from shared.http.replies import Reply
from shared.http.routes import router
from shared.http.waiting import notify
from shared.relay import Outgoing

__all__ = [
    "Body",
    "Caller",
    "Command",
    "Ledger",
    "Outgoing",
    "Page",
    "PassedOn",
    "Platform",
    "Prefer",
    "Problem",
    "Reply",
    "Serving",
    "Shared",
    "Unit",
    "create_app",
    "notify",
    "problems",
    "router",
]
