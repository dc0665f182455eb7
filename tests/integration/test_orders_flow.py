"""Orders on a real Kafka and a real Postgres with a real allocator: two processes' worth of the orders service, channels and stock."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from shared.schemas.intake import OrderIntake
from shared.schemas.topics import ALLOCATIONS, DEAD_LETTERS, ORDER_INTAKE, ORDERS
from shared.schemas.values import AdjustmentReason, Line
from shared.schemas.wire import Envelope, decode, encode, header_map, partition_of
from tests.support.allocator import PARTITIONS, Channel, adjustment, allocator, channel, receipt, settings_for
from tests.support.orders_service import Orders, lines, now, orders_service
from tests.support.topic_reading import everything_on

pytestmark = pytest.mark.integration
WAIT = "wait=30"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ALLOCATED = frozenset({"allocation_changed"})


@dataclass
class Shop:
    """Two processes of the orders service, one allocator, and a line to Kafka. `acme` posts to either."""

    first: Orders
    second: Orders
    line: Channel
    kafka: str
    auth: str

    async def post(self, path: str, body: Any = None, *, by: Orders | None = None, **headers: str) -> Any:
        """A command of acme that waits for its decision, and its answer's JSON."""
        answer = await (by or self.first).post(path, body, Prefer=WAIT, Authorization=self.auth, **headers)
        assert answer.status_code in {200, 409}, answer.text
        return answer.json()

    async def until(self, path: str, wanted: Callable[[Any], bool], seconds: float = 30) -> Any:
        """Read from the second process until it is so."""
        async with asyncio.timeout(seconds):
            while True:
                answer = await self.second.service.nobody.get(path, headers={"Authorization": self.auth})
                if answer.status_code == 200 and wanted(answer.json()):
                    return answer.json()
                await asyncio.sleep(0.05)


@asynccontextmanager
async def shop_on(kafka: str, dsn: str) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(allocator(settings_for(kafka, dsn)))
        first = await stack.enter_async_context(orders_service(dsn, kafka))
        second = await stack.enter_async_context(orders_service(dsn, kafka))
        line = await stack.enter_async_context(channel(kafka))
        yield Shop(first, second, line, kafka, first.service.acme.headers["Authorization"])


@pytest.fixture
async def shop(fresh_topics: str, database: str) -> AsyncIterator[Shop]:
    async with shop_on(fresh_topics, database) as running:
        yield running


async def _stocked(shop: Shop, **units: int) -> None:
    for sku, count in units.items():
        await shop.line.say(receipt(f"receive-{sku}-{random.random()}", sku, count))


@pytest.mark.accept("002-01", "002-02", "002-06", "002-11", "002-21", "000-24", "000-25", "000-31")
async def test_an_order_lives_from_post_to_shipped_and_a_cancel_serves_the_next(shop: Shop) -> None:
    await _stocked(shop, CUP=3)
    decided = await shop.post("/orders", {"number": "A-1", "lines": lines({"CUP": 2})})
    assert (decided["allocation_status"], decided["lines"][0]["reserved_units"]) == ("allocated", 2)
    assert decided["lines"][0]["pieces"][0]["warehouse"] == "main"
    blocked = await shop.post("/orders", {"number": "A-2", "fill": "whole_lines", "lines": lines({"CUP": 3})}, by=shop.second)
    assert blocked["display_status"] == "Out of Stock"
    assert blocked["lines"][0]["shortage"]["missing_units"] > 0
    canceled = await shop.post("/orders/A-1/cancel", {"reason": "duplicate"})
    assert (canceled["display_status"], canceled["allocation_status"]) == ("Canceled", "unallocated")
    await shop.until("/orders/A-2", lambda order: order["allocation_status"] == "allocated")
    started = await shop.post("/orders/A-2/start-processing")
    assert started["status"] == "processing"
    refused = await shop.post("/orders/A-2/cancel")
    assert refused["code"] == "status_forbids"
    shipped = await shop.post("/orders/A-2/ship", by=shop.second)
    assert (shipped["status"], shipped["lines"][0]["consumed_units"]) == ("shipped", 3)


@pytest.mark.accept("002-08", "002-09", "002-14", "002-24", "002-25")
async def test_stock_that_goes_makes_an_order_overallocated_and_what_comes_heals_it(shop: Shop) -> None:
    await _stocked(shop, CUP=1)
    assert (await shop.post("/orders", {"number": "A-1", "lines": lines({"CUP": 1})}))["display_status"] == "Allocated"
    await shop.line.say(adjustment("a-1", "CUP", -1, AdjustmentReason.LOST))
    found = await shop.until("/orders/A-1", lambda order: order["allocation_status"] == "overallocated")
    assert found["lines"][0]["flagged_units"] == 1
    assert (await shop.post("/orders/A-1/start-processing"))["code"] == "not_ready"
    freed = await shop.post("/orders/A-1/deallocate")
    assert freed["allocation_status"] == "unallocated"
    await _stocked(shop, CUP=5)
    assert (await shop.post("/orders/A-1/allocate"))["allocation_status"] == "allocated"
    edited = await shop.first.command("PATCH", "/orders/A-1", {"lines": lines({"CUP": 4})}, Prefer=WAIT)
    assert (edited.json()["allocation_status"], edited.json()["lines"][0]["reserved_units"]) == ("allocated", 4)


async def test_stopping_and_splitting_and_dropshipping_leave_the_books_in_order(shop: Shop) -> None:
    await _stocked(shop, CUP=4)
    await shop.post("/orders", {"number": "A-1", "fill": "partial", "lines": lines({"CUP": 6})})
    halves = await shop.post("/orders/A-1/split", {"number": "A-1-B"})
    assert [half["allocation_status"] for half in halves.values()] == ["allocated", "could_not_allocate"]
    assert (await shop.post("/orders/A-1/start-processing"))["status"] == "processing"
    assert (await shop.post("/orders/A-1/stop-processing"))["display_status"] == "Allocated"
    assert (await shop.post("/orders/A-1/dropship"))["allocation_status"] == "unallocated"
    await shop.until("/orders/A-1-B", lambda order: order["allocation_status"] == "allocated")


@pytest.mark.accept("002-16", "002-17", "002-18", "002-19")
async def test_a_bulk_run_serves_scarce_stock_in_the_order_of_the_selection(shop: Shop) -> None:
    numbers = [f"A-{n}" for n in range(12)]
    bodies = [{"number": n, "allocate": False, "fill": "whole_lines", "lines": lines({"CUP": 1, f"S-{n}": 1})} for n in numbers]
    await shop.first.post("/orders:bulk", {"orders": bodies})
    await _stocked(shop, CUP=5, **{f"S-{n}": 1 for n in numbers})
    chosen = random.Random(3).sample(numbers, 12)
    ended = await shop.post("/allocation-runs", {"action": "allocate", "orders": chosen})
    assert (ended["state"], ended["ended"]) == ("ended", 12)
    items = (await shop.until(f"/allocation-runs/{ended['id']}/orders", lambda page: True))["items"]
    assert [item["result"] for item in items] == ["allocated"] * 5 + ["partially_allocated"] * 7
    freed = await shop.post("/allocation-runs", {"action": "deallocate", "orders": chosen})
    assert (freed["ended"], freed["refused"]) == (12, 0)
    progress = [record for record in await everything_on(shop.kafka, ORDERS.name) if record.key.decode() == f"acme/{ended['id']}"]
    versions = [decode(record.value, header_map(record.headers), {"allocation_run_changed"})[0].version for record in progress]
    assert versions == list(range(1, ended["version"] + 1))
    assert await everything_on(shop.kafka, DEAD_LETTERS.name) == []


async def test_every_version_of_an_order_is_published_once_in_its_partition(shop: Shop) -> None:
    await _stocked(shop, CUP=50)
    made = [shop.post("/orders", {"number": f"A-{n}", "lines": lines({"CUP": 1})}, by=(shop.first, shop.second)[n % 2]) for n in range(20)]
    await asyncio.gather(*made)
    at_once = asyncio.Semaphore(12)

    async def edit(orders: Orders, n: int, priority: int) -> int:
        async with at_once:
            return (await orders.command("PATCH", f"/orders/A-{n}", {"priority": priority}, Authorization=shop.auth)).status_code

    edits = [edit(orders, n, priority) for priority in range(5) for n in range(20) for orders in (shop.first, shop.second)]
    assert set(await asyncio.gather(*edits)) == {202}
    for n in range(20):
        await shop.until(f"/orders/A-{n}", lambda order: order["pending"] is None)
    records = await everything_on(shop.kafka, ORDERS.name)
    seen: dict[str, list[int]] = {}
    for record in records:
        (event,) = decode(record.value, header_map(record.headers), {"order_changed"})
        assert record.partition == partition_of(event.demand.id, PARTITIONS)
        seen.setdefault(event.number, []).append(event.demand.version)
    assert seen == {f"A-{n}": list(range(1, 12)) for n in range(20)}


async def test_orders_of_a_channel_arrive_whatever_its_partitioner_and_poison_harms_nobody(shop: Shop) -> None:
    dice = random.Random(5)
    messages = [
        OrderIntake(merchant="acme", number=f"C-{n}", version=version, lines=(Line(sku="CUP", units=version),), demanded_at=now())
        for n in range(30)
        for version in (1, 2, 3)
    ]
    dice.shuffle(messages)
    await _stocked(shop, CUP=1000)
    for sequence, message in enumerate(messages, 1):
        record = encode(message, key="anything", envelope=Envelope("channel", sequence), time=now())
        await shop.line.say_bytes(ORDER_INTAKE.name, dice.randrange(PARTITIONS), record.value, headers=record.headers)
        if sequence % 10 == 0:
            poison = dice.choice([b"{", b"\xff\xfe", None, b'{"merchant": "acme"}'])
            await shop.line.say_bytes(
                ORDER_INTAKE.name, dice.randrange(PARTITIONS), poison, headers=[("ce_type", b"earmark.order_intake.v1")]
            )
    for n in range(30):
        # An earlier version may be allocated before the last one has been read.
        await shop.until(f"/orders/C-{n}", lambda order: order["lines"][0]["reserved_units"] == 3 and order["pending"] is None)
    async with shop.first.platform.reading() as connection:
        stored = (await connection.exec_driver_sql("SELECT count(*) FROM orders.dead_letter")).scalar()
    assert stored == 9
    async with asyncio.timeout(20):
        while len(await everything_on(shop.kafka, DEAD_LETTERS.name)) < 9:
            await asyncio.sleep(0.2)
    letter = (await everything_on(shop.kafka, DEAD_LETTERS.name))[0]
    assert header_map(letter.headers)["earmark_dead_topic"] == ORDER_INTAKE.name


async def test_a_trace_goes_from_a_request_and_from_a_channels_record_to_the_allocators_answer(shop: Shop) -> None:
    posted, sent, canceled = (TRACE.replace("4bf9", f"{digit}bf9") for digit in "456")
    await _stocked(shop, CUP=9)
    await shop.post("/orders", {"number": "A-1", "lines": lines({"CUP": 1})}, traceparent=posted)
    message = OrderIntake(merchant="acme", number="C-1", version=1, lines=(Line(sku="CUP", units=1),), demanded_at=now())
    record = encode(message, key="C-1", envelope=Envelope("channel", 1), time=now(), traceparent=sent)
    await shop.line.say_bytes(ORDER_INTAKE.name, 3, record.value, headers=record.headers)
    await shop.until("/orders/C-1", lambda order: order["allocation_status"] == "allocated")
    await shop.post("/orders", {"number": "A-2", "lines": lines({"CUP": 1})})
    await shop.post("/orders/A-1/cancel", {"reason": "duplicate"}, traceparent=canceled)
    found = [
        (header_map(record.headers).get("traceparent"), record.key.decode(), decode(record.value, header_map(record.headers), ALLOCATED)[0])
        for record in await everything_on(shop.kafka, ALLOCATIONS.name)
    ]
    assert {(trace, key, told.outcome) for trace, key, told in found} == {
        (posted, "sales-order/acme/A-1", "allocated"),
        (sent, "sales-order/acme/C-1", "allocated"),
        (None, "sales-order/acme/A-2", "allocated"),
        (canceled, "sales-order/acme/A-1", "released"),
    }


async def test_what_was_said_while_nobody_listened_is_taken_once_when_somebody_does(fresh_topics: str, database: str) -> None:
    async with allocator(settings_for(fresh_topics, database)), channel(fresh_topics) as line:
        await line.say(receipt("r-1", "CUP", 10))
        async with orders_service(database, fresh_topics) as orders:
            await orders.made("A-1", {"CUP": 2})
            await line.outcome("A-1", "allocated")
        await line.say(adjustment("a-1", "CUP", -9, AdjustmentReason.DAMAGED))
        await line.outcome("A-1", "overallocated")
        message = OrderIntake(merchant="acme", number="C-1", version=1, lines=(Line(sku="CUP", units=1),), demanded_at=now())
        record = encode(message, key="C-1", envelope=Envelope("channel", 1), time=now())
        await line.say_bytes(ORDER_INTAKE.name, 3, record.value, headers=record.headers)
        async with orders_service(database, fresh_topics) as orders, asyncio.timeout(30):
            while (await orders.service.acme.get("/orders/A-1")).json()["allocation_status"] != "overallocated":
                await asyncio.sleep(0.05)
            while (await orders.service.acme.get("/orders/C-1")).status_code != 200:
                await asyncio.sleep(0.05)
            entries = (await orders.get("/orders/A-1/history"))["items"]
        assert [entry["happening"] for entry in entries].count("created") == 1
        assert entries[-1]["details"]["to"] == "overallocated"
        assert line.newest("A-1").demand_version == 1
