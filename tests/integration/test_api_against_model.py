"""The whole HTTP API on the real Kafka and the real Postgres against the naive model: what a merchant sees at rest is what it says.

The real thing, and not the orders API with the allocator's answers fed in: who waits, who is served by whose cancellation, and what two
clients do at the same moment is decided between the services, so only all of them together can be wrong about it.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from services.console.settled import prove
from tests.integration.api_commands import NOON, SKUS, WAREHOUSES, Commands, acts, picks, places, units
from tests.integration.api_duet import Told, tell
from tests.integration.api_of_merchant import Merchant, Product, product
from tests.models.demands import Demands
from tests.models.orders import Order, Orders
from tests.support.background import Background, background
from tests.support.effort import effort

pytestmark = pytest.mark.integration

FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "awaiting_fulfillment"},
    {"status": ["processing", "shipped", "canceled"]},
    {"allocation_status": ["allocated", "overallocated"]},
    {"allocation_status": ["unallocated", "partially_allocated"]},
    {"allocation_status": "could_not_allocate", "status": "awaiting_fulfillment"},
    {"sku": "B"},
]
SORTS: dict[str, Callable[[Order], Any]] = {
    "number": lambda order: order.number,
    "demanded_at": lambda order: order.terms.demanded_at,
    "priority": lambda order: (order.terms.priority, order.terms.demanded_at),
}

HOW: dict[str, Any] = {
    "stateful_step_count": 12,
    "phases": [Phase.generate],  # what two clients did at once can not be done again, so it can not be shrunk
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
}


class ApiAgainstModel(RuleBasedStateMachine):
    """One merchant of its own for every example."""

    loop: Background
    merchants: Iterator[Merchant]

    @initialize(opening=st.lists(st.tuples(places, units), max_size=4))
    def open(self, opening: list[Any]) -> None:
        self.merchant = next(self.merchants)
        self.model = Orders(Demands(NOON.date()))
        for sku in SKUS:
            self.model.demands.stock(sku)
        self.commands = Commands(self.merchant)
        self.loop.run(self.merchant.furnish(SKUS, WAREHOUSES))
        for place, count in opening:
            self._tell([self.commands.receive(place, count)])

    def _tell(self, told: list[Told]) -> None:
        if told:
            self.model = self.loop.run(tell(self.merchant, self.model, told))

    @rule(act=acts)
    def one_thing(self, act: Any) -> None:
        self._tell(self.commands.of(self.model, act, 0))

    @rule(act=acts, other=acts)
    def two_clients_at_once(self, act: Any, other: Any) -> None:
        self._tell([*self.commands.of(self.model, act, 0), *self.commands.of(self.model, other, 1)])

    # ---------------------------------------------------------------- reading

    @rule(query=st.sampled_from(FILTERS), sort=st.sampled_from(["number", "-number", "demanded_at", "-demanded_at", "priority"]))
    def list_orders(self, query: dict[str, Any], sort: str) -> None:
        items = self.loop.run(self.merchant.list(**query, sort=sort))
        by, descending = SORTS[sort.removeprefix("-")], sort.startswith("-")
        found = sorted((order for order in self.model.orders.values() if _is_as(order, query)), key=by, reverse=descending)
        assert [item["number"] for item in items] == [order.number for order in found], (query, sort)
        assert [item["allocation_status"] for item in items] == [order.stock for order in found]

    @precondition(lambda self: self.model.orders)
    @rule(pick=picks)
    def read_a_history(self, pick: int) -> None:
        order = list(self.model.orders.values())[pick % len(self.model.orders)]
        entries = self.loop.run(self.merchant.read(f"/orders/{order.number}/history", limit=200))["items"]
        changes = [(one["details"]["from"], one["details"]["to"]) for one in entries if one["happening"] == "allocation_changed"]
        assert [(one["happening"], one["version"]) for one in entries if one["happening"] != "allocation_changed"] == order.happened
        assert [before for before, _ in changes] == ["unallocated", *[after for _, after in changes]][: len(changes)]
        assert (changes[-1][1] if changes else "unallocated") == order.stock

    @precondition(lambda self: self.model.orders)
    @rule(pick=picks)
    def ask_why(self, pick: int) -> None:
        order = list(self.model.orders.values())[pick % len(self.model.orders)]
        sku = order.terms.units[pick % len(order.terms.units)][0]
        stock, line = self.model.demands.stock(sku), self.model.demands.line(self.model.demands.demands[order.number], sku)
        if line.reserved or line.waiting:
            found = self.loop.run(self.merchant.read(f"/orders/{order.number}/lines/{sku}/explanation"))
            rank = [one.demand for one in stock.queue()].index(order.number) + 1 if line.waiting else None
            assert (found["standing"]["waiting_units"], found["standing"]["rank"]) == (line.waiting, rank)
            holders = {one.demand: one.reserved for one in stock.lines.values() if one.reserved}
            assert {item["number"]: item["units"] for item in found["items"]} == holders

    def teardown(self) -> None:
        if hasattr(self, "merchant"):
            self.loop.run(self._levels_are_told())

    async def _levels_are_told(self) -> None:
        """The stock inquiry follows within a moment, and nothing else has changed meanwhile."""
        wanted: dict[str, list[int]] = {}
        for sku, stock in self.model.demands.skus.items():
            for record in stock.records:
                allocated = sum(line.units.count(record) + line.flagged.count(record) for line in stock.lines.values())
                figures = [record.on_hand, allocated, max(0, record.on_hand - allocated)]
                wanted[sku] = [had + more for had, more in zip(wanted.get(sku, [0, 0, 0]), figures, strict=True)]
        seen: dict[str, list[int]] = {}
        async with asyncio.timeout(20):
            while seen != wanted:
                items = (await self.merchant.read_stock("/stock"))["items"]
                seen = {one["sku"]: [one[f"{name}_units"] for name in ("on_hand", "allocated", "available")] for one in items}
                await asyncio.sleep(0.02)
        await tell(self.merchant, self.model, [])


def _is_as(order: Order, query: dict[str, Any]) -> bool:
    def among(name: str, value: str) -> bool:
        wanted = query.get(name, value)
        return value in ([wanted] if isinstance(wanted, str) else wanted)

    skus = [sku for sku, _ in order.terms.units]
    return among("status", order.status) and among("allocation_status", order.stock) and query.get("sku", skus[0]) in skus


@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")  # the services do, in their thread
def test_what_a_merchant_sees_is_what_the_model_says(fresh_topics: str, database: str) -> None:
    with background() as loop, loop.entered(product(fresh_topics, database)) as running:
        merchants = (loop.run(running.merchant(f"merchant-{number}")) for number in itertools.count())
        of_these = type("OfTheseMerchants", (ApiAgainstModel,), {"loop": loop, "merchants": merchants})
        run_state_machine_as_test(of_these, settings=settings(effort(6), **HOW))
        loop.run(_proved(running))


async def _proved(running: Product) -> None:
    """The books balance, and what was told is what was understood."""
    under_way = ["not asked yet"]
    async with asyncio.timeout(30):
        while under_way:
            report, under_way = await prove(running.settings)
    assert report.ok, [check for check in report.checks if check.problems]
