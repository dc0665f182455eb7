"""What a shop and its warehouse do in a demo, over the HTTP of orders and inventory, as any caller would: API key, Idempotency-Key.

A repeat is safe: the same key is sent again until there is an answer, so a service that is slow or restarts costs time, never an order.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from services.console.demo.order_lines import ShopOrder
from services.console.demo.plan import ANNEX, BINS, MAIN, WAREHOUSES, Receipt, ships_whole
from services.console.errors import ConsoleError
from shared.schemas.values import Fill

MANY = 2_000
IN_FLIGHT = 16
TIMEOUT_SECONDS = 20.0
TRIES = 8
WAIT_SECONDS = 20
Item = TypeVar("Item")


class DemoError(ConsoleError):
    """The demo could not go on. Run it again; if it stays, the logs of the services in the demo's folder say more."""


class Refused(DemoError):
    """A request was refused. The problem document says why and what helps."""

    def __init__(self, what: str, status: int, problem: dict[str, Any]) -> None:
        self.status, self.code = status, str(problem.get("code", status))
        said = "; ".join(str(problem[name]) for name in ("detail", "remedy") if name in problem) or "no reason was given"
        super().__init__(f"{what} was refused with {status}: {said}")


class Shop:
    """A merchant's client of both services; use it as an async context manager."""

    def __init__(self, orders_url: str, inventory_url: str, api_key: str) -> None:
        limits = httpx.Limits(max_connections=2 * IN_FLIGHT, max_keepalive_connections=2 * IN_FLIGHT)
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False
        )
        self._orders, self._inventory = orders_url, inventory_url
        self._keys = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    # ---------------------------------------------------------------- the warehouse

    async def furnish(self, skus: Sequence[str]) -> None:
        """Name the merchant, make warehouses, bins and products."""
        await self._send("PATCH", f"{self._inventory}/merchants/acme", {"name": "Acme Trading"})
        for warehouse, name in WAREHOUSES.items():
            await self._send("POST", f"{self._inventory}/warehouses", {"warehouse": warehouse, "name": name, "time_zone": "Europe/London"})
        bins = [(warehouse, one) for warehouse, names in BINS.items() for one in names]
        await at_once(lambda place: self._send("POST", f"{self._inventory}/warehouses/{place[0]}/bins", {"bin": place[1]}), bins)
        for some in batches(skus, MANY):
            await self._send("POST", f"{self._inventory}/products/bulk", {"products": [{"sku": sku} for sku in some]})

    async def receive(self, receipts: Iterable[Receipt], cause: str) -> list[str]:
        """Receive stock; returns the ids of the commands. The answers come on `earmark.movements`."""
        ids: list[str] = []
        for some in batches(list(receipts), MANY):
            body = {
                "receipts": [
                    {"sku": one.sku, "warehouse": one.warehouse, "bin": one.bin, "units": one.units, "cause": cause} for one in some
                ]
            }
            reply = await self._send("POST", f"{self._inventory}/receipts/bulk", body)
            ids += [command["command_id"] for command in reply["commands"]]
        return ids

    async def adjust(self, sku: str, place: Receipt, change: int, note: str) -> dict[str, Any]:
        """Change what lies in a bin, and wait for the allocator's answer."""
        body = {"sku": sku, "warehouse": place.warehouse, "bin": place.bin, "change": change, "reason": "DAMAGED", "note": note}
        return await self._send("POST", f"{self._inventory}/adjustments", body, wait=True)

    # ---------------------------------------------------------------- the shop

    async def order(self, order: ShopOrder, demanded_at: datetime) -> None:
        """Post one order."""
        body: dict[str, Any] = {
            "number": order.number,
            "demanded_at": demanded_at.isoformat(),
            "channel": "web-shop",
            "country": order.country,
            "receiver": f"Customer {order.customer}" if order.customer else "",
            "lines": [{"sku": sku, "units": units} for sku, units in order.lines.items()],
            "warehouses": [MAIN, ANNEX],
        }
        if ships_whole(order):
            body["fill"] = Fill.ALL_OR_NOTHING.value
        await self._send("POST", f"{self._orders}/orders", body, key=f"order-{order.number}")

    async def cancel(self, number: str, reason: str) -> None:
        """Cancel one order."""
        await self._send("POST", f"{self._orders}/orders/{quote(number)}/cancel", {"reason": reason}, key=f"cancel-{number}")

    async def allocation_statuses(self) -> dict[str, str]:
        """Every order's allocation status as orders has it now; `released` where it is canceled and holds nothing."""
        found: dict[str, str] = {}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._read(
                f"{self._orders}/orders", {"limit": "200", "sort": "demanded_at"} | ({"cursor": cursor} if cursor else {})
            )
            for item in page["items"]:
                is_released = item["status"] == "canceled" and item["allocation_status"] == "unallocated"
                found[item["number"]] = "released" if is_released else item["allocation_status"]
            cursor = page["next_cursor"]
        return found

    # ---------------------------------------------------------------- requests

    async def _read(self, url: str, parameters: dict[str, str]) -> dict[str, Any]:
        reply = await self._http.get(url, params=parameters)
        if not reply.is_success:
            raise Refused(f"GET {httpx.URL(url).path}", reply.status_code, _problem(reply))
        found: dict[str, Any] = reply.json()
        return found

    async def _send(self, method: str, url: str, body: dict[str, Any], *, key: str = "", wait: bool = False) -> dict[str, Any]:
        """A command, repeated under one key until it is answered. Raises Refused, DemoError."""
        headers = {"Idempotency-Key": key or f"demo-{next(self._keys)}"} | ({"Prefer": f"wait={WAIT_SECONDS}"} if wait else {})
        timeout = TIMEOUT_SECONDS + (WAIT_SECONDS if wait else 0)
        what, trouble = f"{method} {httpx.URL(url).path}", ""
        for attempt in range(TRIES):
            try:
                reply = await self._http.request(method, url, json=body, headers=headers, timeout=timeout)
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            else:
                if reply.is_success:
                    found: dict[str, Any] = reply.json()
                    return found
                problem = _problem(reply)
                if reply.status_code not in {429, 503} and problem.get("code") != "in_flight":
                    raise Refused(what, reply.status_code, problem)
                trouble = str(problem.get("detail", reply.status_code))
            await asyncio.sleep(0.1 * 2**attempt)
        raise DemoError(f"{what} was not answered in {TRIES} tries ({trouble}): look at the logs of the services, then run the demo again")


def _problem(reply: httpx.Response) -> dict[str, Any]:
    with suppress(ValueError):
        found = reply.json()
        if isinstance(found, dict):
            return found
    return {}


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


async def at_once(work: Any, items: Iterable[Any], in_flight: int = IN_FLIGHT) -> None:
    """Do the work for every item, so many at a time; items are begun in their order. The first failure ends it."""
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await work(item)

    workers = [asyncio.create_task(one_after_another()) for _ in range(in_flight)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
