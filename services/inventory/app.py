"""Inventory's wiring: settings in, ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.inventory.api import products, stock, stock_commands, warehouses
from services.inventory.projecting import projections
from services.inventory.store.tables import DEAD_LETTER
from shared.http import Ledger, Platform, create_app
from shared.projection import Projector
from shared.settings import Settings

DESCRIPTION = "Master data, receipts and adjustments, and the stock inquiry. Who gets which stock is decided by the allocator."


def application(settings: Settings, ledger: Ledger | None = None) -> FastAPI:
    """The service. `ledger`: another way to the allocator's read-only HTTP than the address of the settings."""
    platform = Platform.open(settings, "inventory")
    passed_on = ledger or Ledger(settings.allocator_url, "GET /stock")
    projector = Projector(
        "inventory", settings.bootstrap, platform.engine, platform.outbox, DEAD_LETTER, projections(platform), settings.group_session_ms
    )
    platform.conditions["projections"] = projector.condition

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        async with projector.running():
            yield
        await passed_on.close()

    bulk = (products.bulk_routes(settings), stock_commands.bulk_routes(settings))
    single = (warehouses.routes, products.routes, stock_commands.routes, stock.routes)
    app = create_app(platform, *bulk, *single, title="Earmark inventory", description=DESCRIPTION, background=background)
    app.state.ledger = passed_on
    return app
