"""Orders as a process: HTTP, and beside it the feeds from Kafka and the runner of bulk runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.orders.api import commanding, creating, letters, queries, runs, splitting
from services.orders.api.parts import Parts
from services.orders.feeds import Feeds
from services.orders.runner import Runner
from shared.http import Ledger, Platform, create_app
from shared.settings import Settings

log = logging.getLogger("earmark.orders")

STOP_SECONDS = 12.0
DESCRIPTION = """Sales orders: what may be done with an order in its status, and what stock it has.

Commands need an `Idempotency-Key`; a repeat with the same key changes nothing. They answer 202 when the allocator has been asked, and
with `Prefer: wait=N` the decision itself where it comes within N seconds."""


def application(settings: Settings, ledger: Ledger | None = None) -> FastAPI:
    """The ASGI application of one orders process. `ledger`: another way to the allocator's HTTP than the address of the settings."""
    platform = Platform.open(settings, "orders")
    passed_on = ledger or Ledger(settings.allocator_url, "GET /orders/{number}")
    runner = Runner(platform)
    feeds = Feeds.open(platform, on_runs=runner.wake)
    platform.conditions["intake"] = feeds.intake.subscriber.condition
    platform.conditions["projection"] = feeds.answers.subscriber.condition

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "intake": feeds.intake.subscriber.run,
            "projection": feeds.answers.subscriber.run,
            "bulk runs": runner.run,
        }
        tasks = [asyncio.create_task(_for_ever(name, run), name=f"orders {name}") for name, run in work.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
            await passed_on.close()

    bulk = creating.bulk_routes(settings.max_bulk_body_bytes, settings.max_body_bytes)
    routers = (creating.routes, bulk, queries.routes, commanding.routes, splitting.routes, runs.routes, letters.routes)
    app = create_app(platform, *routers, title="Earmark orders", description=DESCRIPTION, background=background)
    app.state.parts, app.state.ledger = Parts(feeds, runner), passed_on
    return app


async def _for_ever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """A fault of ours must not end a feed silently while HTTP goes on: say it, with its trace, and begin again."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("%s of orders failed; it begins again", name)
            await asyncio.sleep(1.0)
