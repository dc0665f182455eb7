"""The page "Orders Locking Inventory" (document 000) as a screen reads it: the stock record and who holds it from inventory, the holders'
orders by one request from orders, every cancel by the order's own address."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from services.allocator.core.demand.telling import SHORTAGES_TOLD
from shared.http import Ledger
from tests.support.inventory_service import Inventory, inventory_and_allocator
from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration

FIRST, SECOND = 1, 2
"""Stock records of the SKU: lot L1 and lot L2."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the page: a holder of the record beside its order."""

    holder: dict[str, Any]
    order: dict[str, Any]

    @property
    def shown(self) -> tuple[str, str, str, str, int]:
        """Type, order number, receiver, status, allocated quantity."""
        one, order = self.holder, self.order
        return (one["type"], order["number"], order["receiver"], order["display_status"], one["allocated"])


@dataclass(frozen=True, slots=True)
class Shop:
    """Both services, with a real allocator behind them."""

    inventory: Inventory
    orders: Orders

    async def page(self, record: int) -> tuple[dict[str, Any], list[Row]]:
        """The page's header and its rows. Whenever it is read, the header is the sum of the rows and what the inventory list shows."""
        found = await self.inventory.get(f"/stock/CUP/records/{record}/holders")
        numbers = [one["number"] for one in found["items"]]
        orders = {one["number"]: one for one in (await self.orders.get("/orders", number=numbers))["items"]} if numbers else {}
        header: dict[str, Any] = found["record"]
        assert header["allocated"] == sum(one["allocated"] for one in found["items"])
        listed = {one["record"]: one for one in (await self.inventory.get("/records?sku=CUP"))["items"]}
        assert listed[record] == {name: value for name, value in header.items() if name != "name"}
        assert set(numbers) == set(orders), "every holder is found, and holds one row"
        assert len(numbers) == len(orders)
        return header, [Row(one, orders[one["number"]]) for one in found["items"]]

    async def do(self, path: str, body: Any = None) -> dict[str, Any]:
        """A command and its decision."""
        answer = await self.orders.post(path, body, Prefer="wait=30")
        assert answer.status_code == 200, answer.text
        decided: dict[str, Any] = answer.json()
        return decided

    async def order(self, number: str, receiver: str, **units: int) -> str:
        """Make an order; the word that its status is shown by."""
        body = {"number": number, "receiver": receiver, "lines": lines(units), "fill": "partial", "warehouses": ["W1"]}
        word: str = (await self.do("/orders", body))["display_status"]
        return word


@pytest.fixture
async def shop(database: str, fresh_topics: str) -> AsyncIterator[Shop]:
    """Ten cups of lot L1, five of lot L2, no pot; three orders hold cups of the first lot: one ready, one being picked, one stuck."""
    async with AsyncExitStack() as stack:
        inventory = await stack.enter_async_context(inventory_and_allocator(database, fresh_topics))
        ledger: Ledger = inventory.service.app.state.ledger
        running = Shop(inventory, await stack.enter_async_context(orders_service(database, fresh_topics, ledger)))
        await inventory.furnish("CUP", "POT", name="Red cup")
        await inventory.receive("CUP", 10, lot="L1")
        await inventory.receive("CUP", 5, lot="L2")
        assert await running.order("A-1", "Ada Lovelace", CUP=2) == "Allocated"
        assert await running.order("A-2", "Grace Hopper", CUP=3) == "Allocated"
        assert (await running.do("/orders/A-2/start-processing"))["display_status"] == "Processing"
        assert await running.order("A-3", "Mary Somerville", CUP=4, POT=1) == "Pending Allocation"
        yield running


@pytest.mark.accept("000-03", "000-05", "000-06", "000-07", "000-08", "000-09", "000-10", "000-11", "000-12", "000-13", "000-14")
@pytest.mark.accept("000-15", "000-16", "000-18", "000-19", "000-20", "000-21", "000-29", "000-36", "002-07")
async def test_the_page_shows_the_record_and_every_order_that_holds_it(shop: Shop) -> None:
    header, rows = await shop.page(FIRST)
    assert (header["sku"], header["name"], header["lot"], header["allocated"]) == ("CUP", "Red cup", "L1", 9)
    assert (header["on_hand"], header["available"]) == (10, 1), "allocating takes nothing off hand"
    assert [row.shown for row in rows] == [
        ("allocated", "A-1", "Ada Lovelace", "Allocated", 2),
        ("allocated", "A-2", "Grace Hopper", "Processing", 3),
        ("allocated", "A-3", "Mary Somerville", "Pending Allocation", 4),
    ]
    created = [datetime.fromisoformat(row.holder["created_at"]) for row in rows]
    assert created == sorted(created)
    assert 0 <= (datetime.now(UTC) - created[0]).total_seconds() < 300
    assert [row.order["number"] for row in rows if "cancel" in row.order["actions"]] == ["A-1", "A-3"]
    other, nobody = await shop.page(SECOND)
    assert ((other["lot"], other["allocated"], other["available"]), nobody) == (("L2", 0, 5), [])
    assert (await shop.orders.get("/orders", by="bolt", number=["A-1", "A-2"]))["items"] == [], "another merchant's numbers say nothing"


@pytest.mark.accept("000-09", "000-17", "000-19", "000-23", "000-24", "000-25", "000-29", "000-31", "002-06", "002-07")
async def test_what_is_canceled_or_shipped_leaves_the_page_and_what_came_free_is_promised_again(shop: Shop) -> None:
    _, rows = await shop.page(FIRST)
    assert (await shop.do(f"/orders/{rows[0].order['number']}/cancel"))["display_status"] == "Canceled"
    header, rows = await shop.page(FIRST)
    assert ([row.order["number"] for row in rows], header["allocated"], header["available"]) == (["A-2", "A-3"], 7, 3)
    assert await shop.order("A-4", "Emmy Noether", CUP=3) == "Allocated"
    header, rows = await shop.page(FIRST)
    assert ([row.order["number"] for row in rows], header["allocated"], header["on_hand"]) == (["A-2", "A-3", "A-4"], 10, 10)
    assert (await shop.do("/orders/A-2/ship"))["status"] == "shipped"
    header, rows = await shop.page(FIRST)
    assert ([row.order["number"] for row in rows], header["allocated"], header["on_hand"]) == (["A-3", "A-4"], 7, 7)


async def test_whoever_lacks_units_is_explained_whole_with_its_rank_and_everybody_who_holds_them(shop: Shop) -> None:
    """Also where an answer of a thousand lines leaves the explanation out."""
    many = {f"SKU-{number:02d}": 2 for number in range(SHORTAGES_TOLD + 1)}
    assert await shop.order("A-5", "Lise Meitner", POT=2, CUP=20, **many) == "Pending Allocation"
    order = await shop.orders.get("/orders/A-5")
    left_out = [line["sku"] for line in order["lines"] if line["shortage"] is None]
    assert len(left_out) == 3
    for sku in left_out:
        found = await shop.orders.get(f"/orders/A-5/lines/{sku}/explanation")
        assert found["shortage"]["missing_units"] == found["standing"]["waiting_units"] > 0
        assert [one["action"] for one in found["shortage"]["remedies"]], "there is something that helps"

    pot = await shop.orders.get("/orders/A-5/lines/POT/explanation")
    assert (pot["standing"]["rank"], pot["standing"]["ahead_units"], pot["items"]) == (2, 1, [])
    first = await shop.orders.get("/orders/A-5/lines/CUP/explanation", limit=2)
    assert [(one["number"], one["units"], one["being_picked"]) for one in first["items"]] == [("A-5", 6, False), ("A-3", 4, False)]
    second = await shop.orders.get("/orders/A-5/lines/CUP/explanation", limit=2, cursor=first["next_cursor"])
    assert [(one["number"], one["units"], one["being_picked"]) for one in second["items"]] == [("A-2", 3, True), ("A-1", 2, False)]
    assert second["next_cursor"] is None
    served = await shop.orders.get("/orders/A-1/lines/CUP/explanation")
    assert (served["standing"]["rank"], served["shortage"]) == (None, None)


async def test_what_was_never_asked_for_and_what_is_another_merchants_is_not_explained(shop: Shop) -> None:
    for path, by, field in [("A-1/lines/POT", "acme", "number"), ("A-9/lines/CUP", "acme", "number"), ("A-1/lines/CUP", "bolt", "number")]:
        answer = await shop.orders.command("GET", f"/orders/{path}/explanation", by=by)
        assert (answer.status_code, answer.json()["field"]) == (404, field)
