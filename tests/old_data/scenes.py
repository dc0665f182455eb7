"""What happens while a release is recorded: orders in every state, then work that is cut off. Said over HTTP and Kafka, as callers do.

`ENDS` is what becomes of every order once today's code has gone on and `RESTOCK` has come.
"""

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.local.stack import LocalStack
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import INVENTORY, ORDER_INTAKE
from shared.schemas.values import Line
from shared.schemas.wire import Envelope, encode
from tests.old_data.release import Release
from tests.support.allocator import MERCHANT, channel
from tests.support.children import Child
from tests.support.shop import Shop, shop

PEPPER = "a pepper that only recordings have, long"
OPENED = datetime(2026, 11, 20, 9, tzinfo=UTC)
MAIN, BIN = "MAIN", "A-1"
UNREADABLE = b"{nobody can read this"
SHELVES = {"CUP": 400, "POT": 3, "PAN": 10}
SKUS = (*SHELVES, "LID", "JAR")
RESTOCK = dict.fromkeys(SKUS, 1_000)
SLEEPERS = tuple(f"sleeper-{number}" for number in range(3))
"""All or nothing; what they lack arrives when nobody serves."""
LATE, UNHEARD = range(40), range(12)
"""Orders that the allocator was serving when it was killed, and orders that no Kafka had heard of."""

ENDS = {
    **dict.fromkeys(("whole", "part", "waiting", "all-or-nothing", "edited", "over", "chained", "stopped", "bulk", "channel"), "allocated"),
    **dict.fromkeys((*SLEEPERS, "woken", "picking", "split", "split-rest"), "allocated"),
    **dict.fromkeys(("canceled", "unwanted", "deallocated", "shipped", "channel-canceled"), "unallocated"),
    **{f"late-{number}": "unallocated" if number % 8 == 5 else "allocated" for number in LATE},
    **{f"unheard-{number}": "allocated" for number in UNHEARD},
}
AT_REST = {
    **dict.fromkeys(("whole", "edited", "chained", "stopped", "picking", "bulk", "channel", "split", "woken"), "allocated"),
    **dict.fromkeys((*SLEEPERS, "waiting", "all-or-nothing", "split-rest"), "could_not_allocate"),
    **dict.fromkeys(("canceled", "unwanted", "deallocated", "channel-canceled"), "unallocated"),
    "part": "partially_allocated",
    "over": "overallocated",
}
"""Where orders stand before anything is cut off; what was shipped holds nothing any more."""


class Caller:
    """Commands with a key each, every one of which must be taken."""

    def __init__(self, orders: Shop, inventory: Shop, name: str) -> None:
        """`name`: of those keys; under one that is known, the answer of then would be given."""
        self.orders, self._inventory, self._name = orders, inventory, name
        self._keys = itertools.count(1)

    async def order(self, number: str, lines: dict[str, int], **more: Any) -> None:
        body = {"number": number, "lines": _lines(lines), "demanded_at": OPENED.isoformat(), "warehouses": [MAIN], **more}
        await self._said(self.orders, "POST", "/orders", body)

    async def tell(self, number: str, action: str, body: Any = None) -> None:
        await self._said(self.orders, "POST", f"/orders/{number}/{action}", body)

    async def edit(self, number: str, lines: dict[str, int]) -> None:
        await self._said(self.orders, "PATCH", f"/orders/{number}", {"lines": _lines(lines)})

    async def run(self, *numbers: str) -> None:
        await self._said(self.orders, "POST", "/allocation-runs", {"action": "allocate", "orders": list(numbers)})

    async def furnish(self) -> None:
        await self._said(self._inventory, "POST", "/warehouses", {"warehouse": MAIN})
        await self._said(self._inventory, "POST", f"/warehouses/{MAIN}/bins", {"bin": BIN})
        for sku in SKUS:
            await self._said(self._inventory, "POST", "/products", {"sku": sku})

    async def receive(self, units: dict[str, int]) -> None:
        for sku, count in units.items():
            await self._said(self._inventory, "POST", "/receipts", {"sku": sku, "warehouse": MAIN, "bin": BIN, "units": count})

    async def adjust(self, sku: str, change: int) -> None:
        body = {"sku": sku, "warehouse": MAIN, "bin": BIN, "change": change, "reason": "DAMAGED"}
        await self._said(self._inventory, "POST", "/adjustments", body)

    async def until(self, statuses: dict[str, str]) -> None:
        """Until orders stand so, and nothing of them is pending."""
        for number, status in statuses.items():
            await self.orders.until(number, status)

    async def _said(self, service: Shop, method: str, path: str, body: Any) -> None:
        answer = await service.command(method, path, f"{self._name}-{next(self._keys)}", body)
        assert answer.status_code in {httpx.codes.OK, httpx.codes.CREATED, httpx.codes.ACCEPTED}, f"{path}: {answer.text}"


def _lines(units: dict[str, int]) -> list[dict[str, Any]]:
    return [{"sku": sku, "units": count} for sku, count in units.items()]


async def play(release: Release, stack: LocalStack, key: str) -> None:
    """Run the release through all scenes; at the end none of its processes lives, and Kafka does."""
    allocator, orders, inventory = (release.start(kind).await_ready() for kind in ("allocator", "orders", "inventory"))
    async with shop(orders, key) as seller, shop(inventory, key) as keeper:
        caller = Caller(seller, keeper, "scene")
        await _at_rest(caller, release.settings.bootstrap)
        allocator.kill()
        await _cut_off(caller, release)
        await _unheard(caller, stack, orders, inventory)
    await asyncio.to_thread(stack.kafka.start)


async def _at_rest(caller: Caller, bootstrap: str) -> None:
    """Orders in every state there is."""
    await caller.furnish()
    await caller.receive(SHELVES)
    await caller.adjust("LID", -5)  # refused: there is none
    await caller.order("whole", {"CUP": 5})
    await caller.order("canceled", {"CUP": 3})
    await caller.order("edited", {"CUP": 4})
    await caller.order("chained", {"CUP": 1, "PAN": 1}, fill="all_or_nothing")
    await caller.order("over", {"PAN": 8})
    await caller.order("unwanted", {"CUP": 1}, allocate=False)
    await caller.order("bulk", {"CUP": 2}, allocate=False)
    for number in ("deallocated", "shipped", "picking", "stopped"):
        await caller.order(number, {"CUP": 1})
    await caller.until(dict.fromkeys(("whole", "canceled", "edited", "chained", "over", "deallocated", "shipped", "picking"), "allocated"))
    await caller.order("split", {"CUP": 1, "LID": 1})
    await caller.until({"split": "partially_allocated"})
    await caller.order("woken", {"CUP": 1, "JAR": 2}, fill="all_or_nothing")
    await caller.until({"woken": "could_not_allocate"})
    await caller.receive({"JAR": 2})
    await caller.until({"woken": "allocated"})
    for number in SLEEPERS:
        await caller.order(number, {"CUP": 1, "JAR": 1}, fill="all_or_nothing")
    await caller.order("part", {"POT": 5})
    await caller.order("waiting", {"LID": 2})
    await caller.order("all-or-nothing", {"CUP": 2, "LID": 1}, fill="all_or_nothing")
    await caller.tell("canceled", "cancel", {"reason": "the customer asked"})
    await caller.edit("edited", {"CUP": 2})
    await caller.adjust("PAN", -6)
    await caller.tell("deallocated", "deallocate")
    await caller.tell("split", "split", {"number": "split-rest"})
    for number in ("shipped", "picking", "stopped"):
        await caller.tell(number, "start-processing")
    await caller.until(dict.fromkeys(("shipped", "picking", "stopped"), "allocated"))
    await caller.tell("shipped", "ship")
    await caller.tell("stopped", "stop-processing")
    await caller.run("bulk")
    await _by_kafka(bootstrap)
    await caller.until(AT_REST)


async def _by_kafka(bootstrap: str) -> None:
    """A channel's orders, and records that nobody can read."""
    async with channel(bootstrap) as said:
        for version, number, canceled in ((1, "channel", False), (2, "channel-canceled", False), (3, "channel-canceled", True)):
            order = OrderIntake(
                merchant=MERCHANT, number=number, version=version, canceled=canceled, demanded_at=OPENED,
                lines=(Line(sku="CUP", units=2),), warehouses=(MAIN,),
            )  # fmt: skip
            record = encode(order, key=number, envelope=Envelope("web-shop", version), time=OPENED)
            await said.say_bytes(ORDER_INTAKE.name, 0, record.value, record.key, record.headers)
        for topic in (ORDER_INTAKE, INVENTORY):
            await said.say_bytes(topic.name, 0, UNREADABLE, b"nobody")


async def _cut_off(caller: Caller, release: Release) -> None:
    """Many orders at once, and an allocator that dies when it has committed and not told. Twice: the second finds what the first left."""
    for number in LATE:
        lines = {("CUP", "POT", "LID", "PAN")[number % 4]: 1 + number % 3, "CUP": 2}
        await caller.order(f"late-{number}", lines, **({"fill": "all_or_nothing"} if number % 3 == 0 else {}))
    await caller.receive({"JAR": len(SLEEPERS)})
    for crash in ("committed:30", "committed:12"):
        armed = release.start("allocator", crash)
        await asyncio.to_thread(armed.ended, 60)
        for number in (one for one in LATE if one % 8 == 5 and crash.endswith("30")):
            await caller.tell(f"late-{number}", "cancel", {"reason": "too late"})


async def _unheard(caller: Caller, stack: LocalStack, orders: Child, inventory: Child) -> None:
    """Kafka dies, then come orders and deliveries: they lie in the services' outboxes when these die too."""
    await asyncio.to_thread(stack.kafka.kill)
    for number in UNHEARD:
        await caller.order(f"unheard-{number}", {"CUP": 1, "POT": 1})
    await caller.receive({"POT": 2})
    orders.kill()
    inventory.kill()
