"""The whole HTTP API as one merchant sees it: two processes' worth of orders, inventory, and the allocator behind them, on real servers."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from shared.api_keys import create_api_key
from shared.settings import Settings
from tests.support.allocator import allocator, read_only_http
from tests.support.http_service import settings_for
from tests.support.inventory_service import Inventory, inventory
from tests.support.orders_service import Orders, orders_service

WAIT = "wait=20"
Answer = tuple[int, Any]
"""Status and body."""


@dataclass
class Product:
    """The running services."""

    settings: Settings
    first: Orders
    second: Orders
    stock: Inventory

    async def merchant(self, name: str) -> "Merchant":
        """A new merchant, with a key, warehouses and products."""
        async with self.first.platform.engine.begin() as connection:
            key = await create_api_key(connection, name, pepper=self.first.platform.settings.pepper)
        headers = {"Authorization": f"Bearer {key.token}"}
        clients = [service.service.nobody for service in (self.first, self.second)]
        return Merchant(name, headers, (clients[0], clients[1]), self.stock.service.nobody)


@asynccontextmanager
async def product(kafka: str, dsn: str) -> AsyncIterator[Product]:
    """Everything, over one Kafka and one Postgres."""
    settings = settings_for(dsn, kafka)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(allocator(settings))
        ledger = await stack.enter_async_context(read_only_http(settings))
        first, second = [await stack.enter_async_context(orders_service(dsn, kafka, ledger("GET /orders"))) for _ in range(2)]
        yield Product(settings, first, second, await stack.enter_async_context(inventory(dsn, kafka, ledger("GET /stock"))))


class Merchant:
    """One merchant with a client at each of the two processes of orders, and one at inventory."""

    def __init__(
        self, name: str, headers: dict[str, str], orders: tuple[httpx.AsyncClient, httpx.AsyncClient], stock: httpx.AsyncClient
    ) -> None:
        self.name, self._headers = name, headers
        self._orders, self._stock = orders, stock
        self._keys = itertools.count(1)

    async def furnish(self, skus: tuple[str, ...], warehouses: tuple[str, ...]) -> None:
        """Warehouses with a bin each, and products."""
        for warehouse in warehouses:
            assert (await self.stock("/warehouses", {"warehouse": warehouse}))[0] == 201
            assert (await self.stock(f"/warehouses/{warehouse}/bins", {"bin": "A-1"}))[0] == 201
        assert (await self.stock("/products/bulk", {"products": [{"sku": sku} for sku in skus]}))[0] == 201

    async def stock(self, path: str, body: Any) -> Answer:
        """A command to inventory."""
        return _told(await self._stock.post(path, json=body, headers=self._named(None)))

    async def order(self, method: str, path: str, body: Any = None, *, key: str | None = None, at: int = 0) -> Answer:
        """A command to one of the two processes of orders; with a new key unless one is named."""
        return _told(await self._orders[at].request(method, path, json=body, headers=self._named(key)))

    async def read(self, path: str, *, at: int = 0, **query: Any) -> Any:
        """The JSON of a query to orders that must succeed."""
        return await self._read(self._orders[at], path, query)

    async def read_stock(self, path: str, **query: Any) -> Any:
        """The JSON of a query to inventory that must succeed."""
        return await self._read(self._stock, path, query)

    async def list(self, **query: Any) -> list[Any]:
        """All items of a list of orders, two at a time, each page from the other process."""
        items, cursor = list[Any](), dict[str, str]()
        for at in itertools.cycle((0, 1)):
            page = await self.read("/orders", at=at, limit=2, **query, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}
        raise AssertionError("a cycle has no end")

    async def _read(self, client: httpx.AsyncClient, path: str, query: dict[str, Any]) -> Any:
        answer = await client.get(path, params=query, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _named(self, key: str | None) -> dict[str, str]:
        return {**self._headers, "Idempotency-Key": key or f"key-{next(self._keys)}", "Prefer": WAIT}


def _told(answer: httpx.Response) -> Answer:
    return answer.status_code, answer.json()
