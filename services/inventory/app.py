"""Inventory's wiring: settings in, ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.inventory.api import products, stock, stock_commands, warehouses
from services.inventory.projecting import projections
from services.inventory.records import Records
from shared.http import Platform, create_app
from shared.projection import Projector
from shared.settings import Settings

DESCRIPTION = "Master data, receipts and adjustments, and the stock inquiry. Who gets which stock is decided by the allocator."


def application(settings: Settings, records: Records | None = None) -> FastAPI:
    """The service. `records`: another way to the allocator's read-only HTTP than the address of the settings."""
    platform = Platform.open(settings, "inventory")
    source = records or Records(settings.allocator_url)
    projector = Projector("inventory", settings.bootstrap, platform.engine, platform.outbox, projections(platform))
    platform.conditions["projections"] = projector.condition

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        async with projector.running():
            yield
        await source.close()

    bulk = (products.bulk_routes(settings), stock_commands.bulk_routes(settings))
    single = (warehouses.routes, products.routes, stock_commands.routes, stock.routes)
    app = create_app(platform, *bulk, *single, title="Earmark inventory", description=DESCRIPTION, background=background)
    app.state.records = source
    return app
