"""Who uses the installation over HTTP meanwhile: a web shop and a warehouse."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from services.console.demo.plan import ANNEX, MAIN
from shared.schemas.values import Fill
from tests.chaos.caller import Caller
from tests.chaos.goods import PLACES, SKUS, WAIT_SECONDS, lines_of
from tests.chaos.promises import Promise, Promises
from tests.chaos.stage import Stage


def _json(lines: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"sku": sku, "units": units} for sku, units in lines.items()]


class WebShop:
    """Makes orders over HTTP, edits, cancels, deallocates and allocates them. Each order has one client: its last word counts."""

    def __init__(self, name: str, stage: Stage, promises: Promises, caller: Caller) -> None:
        self._name, self._random, self._promises, self._caller = name, Random(f"{name} {stage.random.random()}"), promises, caller
        self._made = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is finished."""
        while not stop.is_set():
            await (self._make() if self._random.random() < 0.55 else self._change())
            await asyncio.sleep(self._random.uniform(*WAIT_SECONDS))

    async def _make(self) -> None:
        self._made += 1
        number, lines = f"{self._name}-{self._made}", lines_of(self._random)
        fill = {"fill": Fill.ALL_OR_NOTHING.value} if self._random.random() < 0.3 else {}
        body = {"number": number, "lines": _json(lines), "warehouses": [MAIN, ANNEX], "priority": self._random.randint(0, 2), **fill}
        answer = await self._caller.command("orders", "POST", "/orders", body)
        if not answer.is_success:
            self._promises.faults.append(f"POST /orders {number}: {answer.text}")
            return
        self._promises.orders[number] = Promise(lines, answer.json()["version"])

    async def _change(self) -> None:
        mine = [number for number, one in self._promises.orders.items() if number.startswith(self._name) and not one.is_canceled]
        if not mine:
            return
        number = self._random.choice(mine)
        promise, change = self._promises.orders[number], self._random.choice((self._edit, self._cancel, self._toggle))
        await change(f"/orders/{number}", promise)

    async def _edit(self, path: str, promise: Promise) -> None:
        lines = lines_of(self._random)
        if await self._told("PATCH", path, {"lines": _json(lines)}, promise):
            promise.lines = lines

    async def _cancel(self, path: str, promise: Promise) -> None:
        if await self._told("POST", f"{path}/cancel", {"reason": "changed their mind"}, promise):
            promise.is_canceled = True

    async def _toggle(self, path: str, promise: Promise) -> None:
        if await self._told("POST", f"{path}/{'deallocate' if promise.wants_stock else 'allocate'}", {}, promise):
            promise.wants_stock = not promise.wants_stock

    async def _told(self, method: str, path: str, body: Any, promise: Promise) -> bool:
        """Whether the command was accepted."""
        answer = await self._caller.command("orders", method, path, body)
        if answer.is_success:
            promise.version = answer.json()["version"]
        else:
            self._promises.counts["commands refused"] += 1
        return answer.is_success


class Warehouse:
    """Receives stock, and finds that some is broken."""

    def __init__(self, stage: Stage, promises: Promises, caller: Caller) -> None:
        self._random, self._promises, self._caller = Random(f"warehouse {stage.random.random()}"), promises, caller

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is finished."""
        while not stop.is_set():
            if self._random.random() < 0.7:
                await self.receive({sku: self._random.randint(1, 20) for sku in self._random.sample(SKUS, 5)})
            else:
                await self._adjust(self._random.choice(SKUS), -self._random.randint(1, 10))
            await asyncio.sleep(2 * self._random.uniform(*WAIT_SECONDS))

    async def receive(self, units: Mapping[str, int], places: Sequence[tuple[str, str]] = PLACES) -> None:
        """So many units of each SKU, wherever there is place. What ships whole is served from one warehouse, the first that it names."""
        put = [(sku, self._random.choice(places), count) for sku, count in units.items()]
        receipts = [{"sku": sku, "warehouse": place[0], "bin": place[1], "units": count} for sku, place, count in put]
        await self._command("/receipts/bulk", {"receipts": receipts})

    async def _adjust(self, sku: str, change: int) -> None:
        warehouse, place = self._random.choice(PLACES)
        await self._command("/adjustments", {"sku": sku, "warehouse": warehouse, "bin": place, "change": change, "reason": "DAMAGED"})

    async def _command(self, path: str, body: Any) -> None:
        answer = await self._caller.command("inventory", "POST", path, body)
        if not answer.is_success:
            self._promises.faults.append(f"POST {path}: {answer.text}")
