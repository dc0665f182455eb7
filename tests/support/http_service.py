"""A small service on the real platform, so that tests of `shared.http` need no service of the product: counters with a limit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

import httpx
from fastapi import FastAPI
from pydantic import Field
from sqlalchemy import text
from starlette.responses import Response

from shared.api_keys import create_api_key
from shared.http import (
    Body,
    Caller,
    Command,
    Outgoing,
    Page,
    Platform,
    Prefer,
    Problem,
    Reply,
    Serving,
    Unit,
    create_app,
    router,
)
from shared.schemas.commands import ReceiveStock
from shared.schemas.topics import INVENTORY
from shared.schemas.values import Fill, Identifier, Sku, Units
from shared.settings import Settings, settings

PEPPER = "a pepper that is only used in tests, long"
KAFKA_AWAY = "127.0.0.1:1"


class Item(Body):
    """One thing of a note."""

    sku: Sku
    units: Units


class Note(Body):
    """A body with one field of every kind."""

    name: Identifier
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=3)]
    fill: Fill = Fill.PARTIAL
    due_on: date | None = None
    at: datetime | None = None


routes = router()
bulk = router(max_body_bytes=1024 * 1024)


@routes.post("/notes/{place}", status_code=202)
async def write(place: str, body: Note, command: Command, prefer: Prefer, more: int = 0) -> Response:
    """Emits one message and counts how often it ran. `more` only makes another address of it."""

    async def work(unit: Unit) -> Reply:
        if body.name == "refused":
            raise Problem(409, "refused", "notes of this name are refused", remedy="use another name", field="name")
        if body.name == "broken":
            raise RuntimeError("a fault that nobody foresaw, with a secret in it")
        await unit.emit(_message(unit, body))
        ran = await unit.connection.scalar(text("SELECT count(*) FROM inventory.outbox"))
        return Reply(202, {"merchant": unit.merchant, "name": body.name, "ran": ran}, location=f"/notes/{place}")

    reply = await command.run(work)
    return (await command.wait(reply, prefer, body.name, _nothing)).response()


@bulk.post("/bulk")
async def write_many(body: Note, command: Command) -> Response:
    """Takes larger bodies."""

    async def work(unit: Unit) -> Reply:
        return Reply(200, {"name": body.name})

    return (await command.run(work)).response()


@routes.get("/numbers")
async def numbers(page: Page, caller: Caller, platform: Serving) -> dict[str, Any]:
    """The numbers from 1 to 5."""
    scope = f"{caller.merchant}/numbers"
    after = (page.after(scope) or [0])[0]
    async with platform.reading() as connection:
        found = (
            await connection.execute(text("SELECT n FROM generate_series(1, 5) AS n WHERE n > :after ORDER BY n"), {"after": after})
        ).all()
    items = [row.n for row in found[: page.limit]]
    return page.reply(scope, items, [items[-1]] if len(found) > page.limit else None)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and clients with keys of two merchants."""

    app: FastAPI
    platform: Platform
    acme: httpx.AsyncClient
    bolt: httpx.AsyncClient
    nobody: httpx.AsyncClient

    async def rows(self, table: str) -> int:
        """How many rows a table has."""
        async with self.platform.reading() as connection:
            count: int = (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        return count


@asynccontextmanager
async def running_app(app: FastAPI, platform: Platform) -> AsyncIterator[Service]:
    """Run the application's lifespan and give clients."""
    async with app.router.lifespan_context(app):
        async with platform.engine.begin() as connection:
            keys = [await create_api_key(connection, merchant, pepper=platform.settings.pepper) for merchant in ("acme", "bolt")]
        clients = [_client(app, {"Authorization": f"Bearer {key.token}"}) for key in keys] + [_client(app, {})]
        try:
            yield Service(app, platform, clients[0], clients[1], clients[2])
        finally:
            for client in clients:
                await client.aclose()


@asynccontextmanager
async def notes_service(dsn: str, kafka: str = KAFKA_AWAY, **more: Any) -> AsyncIterator[Service]:
    """The small service; without Kafka unless one is named."""
    platform = Platform.open(settings_for(dsn, kafka, **more), "inventory")
    async with running_app(create_app(platform, routes, bulk, title="Notes"), platform) as service:
        yield service


def settings_for(dsn: str, kafka: str, **more: Any) -> Settings:
    """Settings that read nothing secret from the environment."""
    return settings(postgres=dsn, kafka=kafka, api_key_pepper=PEPPER, **more)


def _client(app: FastAPI, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service", headers=headers)


def _message(unit: Unit, note: Note) -> Outgoing:
    item = note.items[0]
    stock = ReceiveStock(
        command_id=note.name, merchant=unit.merchant, sku=item.sku, warehouse="W1", bin="B1", units=item.units, issued_at=datetime.now(UTC)
    )
    key = f"{unit.merchant}/{item.sku}"
    return Outgoing(key, INVENTORY.name, key, stock)


async def _nothing() -> Reply | None:
    return None
