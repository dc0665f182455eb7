"""A merchant's client of a running orders service: every command with its key, repeats on purpose, and the order as it stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from shared.api_keys import create_api_key
from shared.database import dispose, engine
from shared.settings import Settings
from tests.support.children import Child

MERCHANT = "acme"
PAUSE_SECONDS = 0.05


async def api_key(settings: Settings, merchant: str = MERCHANT) -> str:
    """A new key of the merchant."""
    pool = engine(settings)
    try:
        async with pool.begin() as connection:
            return (await create_api_key(connection, merchant, pepper=settings.pepper)).token
    finally:
        await dispose(pool)


class Shop:
    """One merchant at one orders process."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def command(self, method: str, path: str, key: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send it once."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.request(method, path, json=body, headers={"Idempotency-Key": key, **named})

    async def order(self, number: str) -> dict[str, Any] | None:
        """The order as it stands, or None."""
        answer = await self._client.get(f"/orders/{number}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, number: str, allocation_status: str, seconds: float = 30) -> dict[str, Any]:
        """Wait until the order has this allocation status and nothing is pending; return it."""
        found: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(seconds):
                while not _rests(found := await self.order(number), allocation_status):
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{number} is not {allocation_status} within {seconds} s: {found}") from None
        assert found is not None, "it rests"
        return found


def _rests(order: dict[str, Any] | None, allocation_status: str) -> bool:
    return order is not None and order["allocation_status"] == allocation_status and not order["pending"]


@asynccontextmanager
async def shop(orders: Child, key: str) -> AsyncIterator[Shop]:
    """A client of that process, with that API key."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=orders.url, headers=headers, timeout=30) as client:
        yield Shop(client)
