"""The inventory service on real servers, and short words for what tests do with it."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from services.inventory.app import application
from shared.http import Ledger
from tests.support.allocator import allocator, read_only_http
from tests.support.http_service import KAFKA_AWAY, Service, running_app, settings_for

_keys = itertools.count(1)
PLACE = {"warehouse": "W1", "bin": "B1"}


@dataclass
class Inventory:
    """The running service."""

    service: Service

    async def send(
        self, method: str, path: str, body: Any = None, *, by: str = "acme", key: str | None = None, wait: float = 0
    ) -> httpx.Response:
        """One request; commands get a new Idempotency-Key unless one is named."""
        client: httpx.AsyncClient = getattr(self.service, by)
        headers = {"Idempotency-Key": key or f"key-{next(_keys)}"} | ({"Prefer": f"wait={wait:g}"} if wait else {})
        if body is None:
            return await client.request(method, path, headers=headers)
        return await client.request(method, path, headers=headers | {"Content-Type": "application/json"}, content=json.dumps(body))

    async def post(self, path: str, body: Any, *, by: str = "acme", key: str | None = None, wait: float = 0) -> httpx.Response:
        """A command."""
        return await self.send("POST", path, body, by=by, key=key, wait=wait)

    async def get(self, path: str, *, by: str = "acme") -> Any:
        """The JSON of a query that must succeed."""
        answer = await self.send("GET", path, by=by)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def furnish(self, *skus: str, by: str = "acme", **product: Any) -> None:
        """A warehouse W1 with bins B1 and B2, and products."""
        answers = [
            await self.post("/warehouses", {"warehouse": "W1"}, by=by),
            await self.post("/warehouses/W1/bins", {"bin": "B1"}, by=by),
            await self.post("/warehouses/W1/bins", {"bin": "B2"}, by=by),
            await self.post("/products/bulk", {"products": [{"sku": sku} | product for sku in skus]}, by=by),
        ]
        assert [answer.status_code for answer in answers] == [201] * 4, [answer.text for answer in answers]

    async def receive(self, sku: str, units: int, *, wait: float = 20, **more: Any) -> dict[str, Any]:
        """A receipt, and what came of it."""
        answer = await self.post("/receipts", PLACE | {"sku": sku, "units": units} | more, wait=wait)
        assert answer.status_code in {200, 202}, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def adjust(self, sku: str, change: int, reason: str = "CORRECTION", *, wait: float = 20, **more: Any) -> dict[str, Any]:
        """An adjustment, and what came of it."""
        answer = await self.post("/adjustments", PLACE | {"sku": sku, "change": change, "reason": reason} | more, wait=wait)
        assert answer.status_code in {200, 202}, answer.text
        document: dict[str, Any] = answer.json()
        return document


@asynccontextmanager
async def inventory(dsn: str, kafka: str = KAFKA_AWAY, ledger: Ledger | None = None, **more: Any) -> AsyncIterator[Inventory]:
    """The service alone; its Kafka is away unless one is named."""
    app = application(settings_for(dsn, kafka, **more), ledger)
    async with running_app(app, app.state.platform) as service:
        yield Inventory(service)


@asynccontextmanager
async def inventory_and_allocator(dsn: str, kafka: str) -> AsyncIterator[Inventory]:
    """The service with a real allocator that answers it, over Kafka and over HTTP."""
    settings = settings_for(dsn, kafka)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(allocator(settings))
        ledger = await stack.enter_async_context(read_only_http(settings))
        yield await stack.enter_async_context(inventory(dsn, kafka, ledger("GET /stock")))
