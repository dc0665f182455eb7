"""The whole product as processes: eight partitions, two allocators, two processes of the orders API, one of inventory; a few hundred
orders shaped like a real shop's, canceled and edited on the way, some from both processes at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.allocator.app import GROUP
from services.console.demo import shop as demo
from services.console.demo.order_lines import ShopOrder, generate
from services.console.demo.plan import BINS, MAIN, Cancel, Plan, Post, Receipt, plan
from services.console.settled import prove as everything_proved
from services.console.settled import settled
from shared.database import hot_connection
from shared.kafka import admin
from shared.schemas import topics
from shared.settings import Settings
from tests.support.allocator import PARTITIONS, channel, receipt
from tests.support.careful_reader import CarefulReader, careful_reader
from tests.support.children import Child, Children
from tests.support.settling import prove, until_settled
from tests.support.shop import api_key, shop

pytestmark = pytest.mark.integration

ORDERS = 300
EDITS = 10
"""By each process, of one and the same order."""
SETTLED_WITHIN_SECONDS = 30
IN_FLIGHT = 8
OPENED = datetime(2026, 11, 20, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Product:
    """The processes, and a key of the merchant."""

    settings: Settings
    orders: tuple[Child, Child]
    inventory: Child
    allocators: tuple[Child, Child]
    key: str


@pytest.fixture(scope="module")
def product(world: Settings, processes: Children) -> Product:
    """Everything that `earmark up` starts, most of it twice."""
    allocators = processes.start("allocator"), processes.start("allocator")
    orders = processes.start("orders"), processes.start("orders")
    inventory = processes.start("inventory")
    for child in (*allocators, *orders, inventory):
        child.await_ready()
    return Product(world, orders, inventory, allocators, asyncio.run(api_key(world)))


async def test_a_few_hundred_orders_through_everything_end_where_they_should(product: Product) -> None:
    planned = plan(generate(ORDERS, seed=7), seed=7)
    async with careful_reader(product.settings.bootstrap) as reader, _clients(product) as (first, second):
        await first.furnish(planned.skus)
        await first.receive(planned.receipts, "opening stock")
        await asyncio.gather(_post(first, planned, 0), _post(second, planned, 1))
        await asyncio.gather(_cancel(first, planned, 0), _cancel(second, planned, 1))
        await first.receive(_rest(planned), "restock")
        await _until_everything_settled(product.settings, reader)
        await prove(product.settings.dsn, reader)
        report, under_way = await everything_proved(product.settings)
        assert (report.ok, under_way) == (True, []), "`earmark verify` finds the moment by itself"
        told = {order.number: reader.newest(order.number) for order in planned.orders}
        assert {number for number, one in told.items() if one.outcome == "released"} == planned.canceled
        assert {one.outcome for number, one in told.items() if number not in planned.canceled} == {"allocated"}
        assert await first.allocation_statuses() == await second.allocation_statuses() == {n: one.outcome for n, one in told.items()}
    assert await _owners(product.settings) == {child.owner: 8 for child in product.allocators}


async def test_one_order_edited_from_both_processes_ends_as_the_last_edit_says(product: Product) -> None:
    async with (
        careful_reader(product.settings.bootstrap) as reader,
        channel(product.settings.bootstrap) as stock,
        shop(product.orders[0], product.key) as first,
        shop(product.orders[1], product.key) as second,
    ):
        await stock.say(receipt("enough", "EDITED", 1_000))
        made = await first.command("POST", "/orders", "edited", {"number": "edited", "lines": [_line(1)], "warehouses": [MAIN]})
        assert made.status_code in {200, 202}, made.text
        edits = [
            caller.command("PATCH", "/orders/edited", f"edit-{name}-{units}", {"lines": [_line(units)]})
            for name, caller, base in (("first", first, 100), ("second", second, 200))
            for units in range(base, base + EDITS)
        ]
        answers = await asyncio.gather(*edits)
        assert {answer.status_code for answer in answers} <= {200, 202}, [answer.text for answer in answers]
        versions = sorted(answer.json()["version"] for answer in answers)
        assert versions == list(range(2, 2 + 2 * EDITS)), "every edit is a version of its own"
        await _until_everything_settled(product.settings, reader)
        await prove(product.settings.dsn, reader)
        seen = [await caller.until("edited", "allocated") for caller in (first, second)]
        assert seen[0] == seen[1]
        newest = reader.newest("edited")
        assert (seen[0]["version"], newest.demand_version) == (1 + 2 * EDITS, 1 + 2 * EDITS)
        (line,) = seen[0]["lines"]
        last = max(answers, key=lambda answer: answer.json()["version"]).request.content
        assert f'"units":{line["units"]}'.encode() in last.replace(b" ", b"")
        assert line["reserved_units"] == newest.lines[0].reserved_units == line["units"]


def _line(units: int) -> dict[str, object]:
    return {"sku": "EDITED", "units": units}


INPUTS = {"stock": {topics.INVENTORY.name, topics.RESERVATIONS.name}, "demand": {topics.ORDERS.name, topics.OUTCOMES.name}}
EVERY_INPUT = {(side, str(number), topic) for side, inputs in INPUTS.items() for topic in inputs for number in range(PARTITIONS)}


async def test_metrics_and_group_offsets_say_that_nothing_waits(product: Product) -> None:
    async with careful_reader(product.settings.bootstrap) as reader, channel(product.settings.bootstrap) as stock:
        await stock.say(receipt("seen", "SEEN", 1))
        await until_settled(product.settings.dsn, reader)
    stored = await _positions(product.settings)
    async with asyncio.timeout(30), admin(product.settings.bootstrap) as client:
        while {one: told.offset for one, told in (await client.list_consumer_group_offsets(GROUP)).items() if told.offset} != stored:
            await asyncio.sleep(0.5)
        while _shown(product, "earmark_waiting_lines").keys() != {(str(number),) for number in range(PARTITIONS)}:
            await asyncio.sleep(0.5)
    assert _shown(product, "earmark_partition_lag_records") == dict.fromkeys(EVERY_INPUT, 0)
    counted = {(side, number) for side in INPUTS for number in map(str, range(PARTITIONS))}
    assert _shown(product, "earmark_partition_backlog_records") == _shown(product, "earmark_partition_halted") == dict.fromkeys(counted, 0)
    assert _shown(product, "earmark_partition_takeovers_total").keys() == counted
    batches, messages = (_shown(product, f"earmark_partition_{name}") for name in ("batch_seconds_count", "messages_total"))
    assert all(0 < batches[one] <= messages[one] for one in counted if messages[one])
    assert any(messages.values())


def _shown(product: Product, name: str) -> dict[tuple[str, ...], float]:
    """Label values to what the allocators show under them, added up."""
    found: Counter[tuple[str, ...]] = Counter()
    for child in product.allocators:
        for family in text_string_to_metric_families(httpx.get(f"{child.url}/metrics").text):
            for sample in family.samples:
                if sample.name == name:
                    labels = sample.labels
                    found[tuple(labels[one] for one in ("side", "partition", "topic") if one in labels)] += int(sample.value)
    return dict(found)


async def _positions(settings: Settings) -> dict[tuple[str, int], int]:
    """Input partition to the next offset, as the rows of the state partitions have it."""
    connection: asyncpg.Connection = await hot_connection(settings.dsn, "test")
    try:
        rows = await connection.fetch(
            "SELECT number, key AS topic, (value ->> 'next_offset')::integer AS offset"
            "  FROM allocator.state_partition, jsonb_each(positions)"
        )
    finally:
        await connection.close()
    return {(row["topic"], row["number"]): row["offset"] for row in rows}


# ---------------------------------------------------------------- what the shop does


@asynccontextmanager
async def _clients(product: Product) -> AsyncIterator[tuple[demo.Shop, demo.Shop]]:
    """The demo's client, once at each process of the orders API."""
    first, second = (demo.Shop(orders.url, product.inventory.url, product.key) for orders in product.orders)
    async with first, second:
        yield first, second


async def _post(client: demo.Shop, planned: Plan, half: int) -> None:
    posts = [(index, step.order) for index, step in enumerate(planned.steps) if isinstance(step, Post)]

    async def post(one: tuple[int, ShopOrder]) -> None:
        await client.order(one[1], OPENED + timedelta(seconds=one[0]))

    await demo.at_once(post, posts[half::2], IN_FLIGHT)


async def _cancel(client: demo.Shop, planned: Plan, half: int) -> None:
    cancels = [step.number for step in planned.steps if isinstance(step, Cancel)]

    async def cancel(number: str) -> None:
        await client.cancel(number, "changed their mind")

    await demo.at_once(cancel, cancels[half::2], IN_FLIGHT)


def _rest(planned: Plan) -> list[Receipt]:
    """Of every SKU as much as all orders want together: now there is enough for all, whichever warehouse they may draw on."""
    wanted: Counter[str] = Counter()
    for order in planned.orders:
        wanted.update(order.lines)
    return [Receipt(sku, MAIN, BINS[MAIN][0], units) for sku, units in wanted.items()]


# ---------------------------------------------------------------- the end


async def _until_everything_settled(settings: Settings, reader: CarefulReader) -> None:
    await until_settled(settings.dsn, reader)
    under_way = ["not asked yet"]
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
            while under_way:
                _, under_way = await settled(settings)
    assert not under_way


async def _owners(settings: Settings) -> dict[str, int]:
    connection: asyncpg.Connection = await hot_connection(settings.dsn, "test")
    try:
        rows = await connection.fetch("SELECT owner, count(*) AS number FROM allocator.state_partition GROUP BY 1")
    finally:
        await connection.close()
    return {row["owner"]: row["number"] for row in rows}
