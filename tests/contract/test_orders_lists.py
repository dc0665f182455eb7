"""Lists of orders: every filter, every sort, pages; and bulk runs over a selection."""

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.schemas.events import AllocationRunChanged
from tests.support.orders_service import Orders, lines

pytestmark = pytest.mark.integration


ROWS: list[tuple[str, dict[str, Any], str | None]] = [
    ("A-1", {"channel": "shop", "receiver": "Ada Lovelace", "demanded_at": "2026-11-03T00:00:00Z", "priority": 5}, "allocated"),
    ("A-2", {"channel": "shop", "receiver": "Grace Hopper", "demanded_at": "2026-11-01T00:00:00Z"}, "could_not_allocate"),
    ("A-3", {"channel": "phone", "receiver": "ada b_c", "demanded_at": "2026-11-02T00:00:00Z"}, "overallocated"),
    ("B-4", {"channel": "", "receiver": "100% Café", "demanded_at": "2026-11-02T00:00:00Z", "priority": -5}, None),
]


async def _fill(orders: Orders) -> None:
    for number, more, outcome in ROWS:
        await orders.made(number, {"CUP": 1, f"ONLY-{number}": 2}, **more)
        if outcome:
            await orders.answer(number, outcome)
    await orders.post("/orders/B-4/cancel")


async def _numbers(orders: Orders, **query: Any) -> list[str]:
    return [item["number"] for item in (await orders.get("/orders", **query))["items"]]


LISTS: list[tuple[dict[str, Any], str]] = [
    ({}, "A-1 B-4 A-3 A-2"),
    ({"sort": "demanded_at"}, "A-2 A-3 B-4 A-1"),
    ({"sort": "priority"}, "B-4 A-2 A-3 A-1"),
    ({"sort": "number"}, "A-1 A-2 A-3 B-4"),
    ({"sort": "-number"}, "B-4 A-3 A-2 A-1"),
    ({"sort": "created_at"}, "A-1 A-2 A-3 B-4"),
    ({"sort": "-created_at"}, "B-4 A-3 A-2 A-1"),
    ({"allocation_status": "allocated"}, "A-1"),
    ({"allocation_status": ["could_not_allocate", "overallocated"]}, "A-3 A-2"),
    ({"status": "canceled"}, "B-4"),
    ({"status": ["awaiting_fulfillment", "canceled"], "allocation_status": "unallocated"}, "B-4"),
    ({"channel": "shop"}, "A-1 A-2"),
    ({"channel": ["shop", "phone"]}, "A-1 A-3 A-2"),
    ({"number": ["A-3", "B-4", "A-9"]}, "B-4 A-3"),
    ({"number": ["A-3", "B-4"], "status": "canceled"}, "B-4"),
    ({"sku": "ONLY-A-2"}, "A-2"),
    ({"sku": "only-a-2"}, ""),
    ({"sku": "CUP", "channel": "phone"}, "A-3"),
    ({"search": "ada"}, "A-1 A-3"),
    ({"search": "b_c"}, "A-3"),
    ({"search": "b-"}, "B-4"),
    ({"search": "0%"}, "B-4"),
    ({"search": "%"}, "B-4"),
    ({"search": "café"}, "B-4"),
    ({"demanded_from": "2026-11-02T00:00:00Z"}, "A-1 B-4 A-3"),
    ({"demanded_from": "2026-11-02T00:00:00Z", "demanded_before": "2026-11-03T00:00:00Z"}, "B-4 A-3"),
]


@pytest.mark.accept("002-18", "002-26", "002-27")
async def test_a_list_shows_what_its_filters_say_in_the_order_of_its_sort(orders: Orders) -> None:
    await _fill(orders)
    shown = [(query, " ".join(await _numbers(orders, **query))) for query, _ in LISTS]
    assert shown == LISTS


@pytest.mark.accept("002-15", "002-26")
async def test_an_item_of_a_list_shows_both_statuses_and_what_its_lines_have(orders: Orders) -> None:
    await _fill(orders)
    (item,) = (await orders.get("/orders", allocation_status="overallocated"))["items"]
    shown = {name: item[name] for name in ("status", "allocation_status", "line_count", "units", "reserved_units", "flagged_units")}
    assert shown == {
        "status": "awaiting_fulfillment",
        "allocation_status": "overallocated",
        "line_count": 2,
        "units": 3,
        "reserved_units": 3,
        "flagged_units": 3,
    }


@pytest.mark.accept("002-03", "002-04", "002-27", "000-14")
async def test_a_list_tells_orders_that_are_ready_to_ship_from_those_that_need_attention(orders: Orders) -> None:
    await _fill(orders)
    items = (await orders.get("/orders", sort="number"))["items"]
    shown = {item["number"]: (item["display_status"], item["allocation_status"], "start-processing" in item["actions"]) for item in items}
    assert shown == {
        "A-1": ("Allocated", "allocated", True),
        "A-2": ("Out of Stock", "could_not_allocate", False),
        "A-3": ("Pending Allocation", "overallocated", False),
        "B-4": ("Canceled", "unallocated", False),
    }


SORTS = ("demanded_at", "-demanded_at", "priority", "created_at", "-created_at", "number", "-number")


async def test_pages_show_every_order_once_though_others_come_between(orders: Orders) -> None:
    dice = random.Random(1)
    for n in range(12):
        await orders.made(f"A-{n}", priority=dice.randint(0, 2), demanded_at=f"2026-11-0{dice.randint(1, 3)}T00:00:00Z")
    for sort in SORTS:
        before = await _numbers(orders, sort=sort)
        seen = await _paged(orders, sort)
        assert [number for number in seen if number in before] == before
        assert len(set(seen)) == len(seen)


async def _paged(orders: Orders, sort: str) -> list[str]:
    """All pages, with an order made after each."""
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await orders.get("/orders", sort=sort, limit=5, **cursor)
        seen += [item["number"] for item in page["items"]]
        if page["next_cursor"] is None:
            return seen
        cursor = {"cursor": page["next_cursor"]}
        await orders.made(f"B{sort}-{len(seen)}", priority=0, demanded_at="2026-11-02T00:00:00Z")


async def test_a_cursor_of_another_list_is_refused(orders: Orders) -> None:
    for n in range(3):
        await orders.made(f"A-{n}")
    cursor = (await orders.get("/orders", limit=1))["next_cursor"]
    for query in ({"sort": "number"}, {"channel": "shop"}):
        answer = await orders.service.acme.get("/orders", params={"cursor": cursor, **query})
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor")
    assert (await orders.service.bolt.get("/orders", params={"cursor": cursor})).status_code == 422


async def test_a_list_that_is_asked_for_wrongly_is_refused_with_the_field(orders: Orders) -> None:
    wrong = {
        "status": "lost",
        "sort": "receiver",
        "limit": "0",
        "demanded_from": "soon",
        "sku": "a\x00",
        "number": "A/1",
        "search": "a\x00b",
        "channel": "\x00",
    }
    for field, value in wrong.items():
        answer = await orders.service.acme.get("/orders", params={field: value})
        assert (answer.status_code, answer.json()["field"].split(".")[0]) == (422, field)


AWAITING = "merchant = 'acme' AND o.status = 'awaiting_fulfillment'"
SORTED_BY = {
    "merchant = 'acme' ORDER BY demanded_at, number": "sales_order_by_demand",
    "merchant = 'acme' ORDER BY priority, demanded_at, number": "sales_order_by_place",
    "merchant = 'acme' ORDER BY created_at DESC, number DESC": "sales_order_by_creation",
    f"{AWAITING} ORDER BY demanded_at, number": "sales_order_awaiting",
    f"{AWAITING} AND a.status IN ('could_not_allocate', 'overallocated') ORDER BY demanded_at, number": "sales_order_awaiting",
    f"{AWAITING} AND (a.status IN ('unallocated') OR a.status IS NULL) ORDER BY demanded_at, number": "sales_order_awaiting",
}
RARE = f"{AWAITING} AND a.status IN ('overallocated') ORDER BY demanded_at, number"
"""So few that reading and sorting them is quicker than looking for fifty among all that await fulfilment."""
OF_A_SKU = "merchant = 'acme' AND string_to_array(sku_keys, ',') @> ARRAY['acme/S-7'] ORDER BY demanded_at, number"


async def test_lists_are_read_from_an_index(orders: Orders) -> None:
    filled = """
        INSERT INTO orders.sales_order (merchant, number, version, status, wish, demanded_at, priority, warehouses, channel, country,
            receiver, tags, currency, created_at, changed_at, digest, lines, sku_keys)
        SELECT 'acme', 'N-' || n, 1, CASE WHEN n % 2 = 0 THEN 'shipped' ELSE 'awaiting_fulfillment' END, 'stock',
            now() - n * interval '1 minute', n % 7, '[]', '', '', '', '[]', '', now(), now(), '', '[]', 'acme/CUP,acme/S-' || n % 999
          FROM generate_series(1, 20000) AS n;
        INSERT INTO orders.allocation (merchant, number, status, version, demand_version, picking, lines)
        SELECT 'acme', 'N-' || n, CASE WHEN n % 1001 = 0 THEN 'overallocated' WHEN n % 2 = 0 THEN 'unallocated'
            WHEN n % 5 = 0 THEN 'could_not_allocate' ELSE 'allocated' END, 1, 1, 'none', '[]'
          FROM generate_series(1, 20000) AS n WHERE n % 13 > 0;
        ANALYZE orders.sales_order; ANALYZE orders.allocation"""
    async with orders.platform.engine.begin() as connection:
        for statement in filled.split(";"):
            await connection.execute(text(statement))
        for query, index in SORTED_BY.items():
            plan = await _plan(connection, query)
            assert index in plan
            assert "Sort" not in plan
        assert "allocation_by_status" in await _plan(connection, RARE)
        assert "sales_order_by_sku" in await _plan(connection, OF_A_SKU)


async def _plan(connection: AsyncConnection, query: str) -> str:
    listed = f"SELECT number FROM orders.sales_order o LEFT JOIN orders.allocation a USING (merchant, number) WHERE {query} LIMIT 50"
    return "\n".join(row[0] for row in await connection.execute(text(f"EXPLAIN {listed}")))


# ---------------------------------------------------------------- bulk runs


async def _states(orders: Orders, run: str) -> list[str]:
    return [item["state"] for item in (await orders.get(f"/allocation-runs/{run}/orders", limit=200))["items"]]


async def _run(orders: Orders, body: dict[str, Any]) -> str:
    answer = await orders.post("/allocation-runs", body)
    assert answer.status_code == 202, answer.text
    await _started(orders)
    run: str = answer.json()["id"]
    return run


async def _started(orders: Orders) -> None:
    """The runner has started everything that may start."""
    sql = text("SELECT count(*) FROM orders.allocation_run_order WHERE state = 'waiting' AND waits_for = 0")
    orders.parts.runner.wake()
    async with orders.platform.reading() as connection:
        while (await connection.execute(sql)).scalar():
            await asyncio.sleep(0.01)


@pytest.mark.accept("002-16", "002-17", "002-18")
async def test_orders_that_share_a_sku_are_allocated_in_the_order_of_the_selection(orders: Orders) -> None:
    for number, units in {"A-1": {"CUP": 1}, "A-2": {"CUP": 1, "POT": 1}, "A-3": {"JUG": 1}, "A-4": {"POT": 1}}.items():
        await orders.made(number, units, allocate=False)
    run = await _run(orders, {"action": "allocate", "orders": ["A-2", "A-1", "A-3", "A-4"]})
    assert await _states(orders, run) == ["started", "waiting", "started", "waiting"]
    assert (await orders.last_event("A-1")).demand.wish.value == "nothing"
    await orders.answer("A-3", "allocated")
    await _started(orders)
    assert await _states(orders, run) == ["started", "waiting", "ended", "waiting"]
    await orders.answer("A-2", "allocated")
    await _started(orders)
    assert await _states(orders, run) == ["ended", "started", "ended", "started"]
    await orders.answer("A-1", "could_not_allocate")
    await orders.answer("A-4", "could_not_allocate")
    found = await orders.get(f"/allocation-runs/{run}")
    assert (found["state"], found["ended"], found["refused"], found["total"]) == ("ended", 4, 0, 4)
    progress = [event for event in await orders.told() if isinstance(event, AllocationRunChanged)]
    assert [(event.version, event.ended, event.total) for event in progress] == [(1, 0, 4), (2, 1, 4), (3, 2, 4), (4, 3, 4), (5, 4, 4)]
    results = [item["result"] for item in (await orders.get(f"/allocation-runs/{run}/orders"))["items"]]
    assert results == ["allocated", "could_not_allocate", "allocated", "could_not_allocate"]


@pytest.mark.accept("002-18")
async def test_a_run_over_a_filter_takes_the_oldest_first(orders: Orders) -> None:
    for number, day in {"A-1": 3, "A-2": 1, "A-3": 2}.items():
        await orders.made(number, {"CUP": 1}, allocate=False, demanded_at=f"2026-11-0{day}T00:00:00Z")
    await orders.made("B-1", {"CUP": 1})
    await orders.answer("B-1", "allocated")
    run = await _run(orders, {"action": "allocate", "filter": {"allocation_status": ["unallocated"]}, "sort": "demanded_at"})
    items = (await orders.get(f"/allocation-runs/{run}/orders"))["items"]
    assert [(item["number"], item["state"]) for item in items] == [("A-2", "started"), ("A-3", "waiting"), ("A-1", "waiting")]


@pytest.mark.accept("002-05")
async def test_an_order_that_can_not_be_allocated_is_passed_over_with_the_reason(orders: Orders) -> None:
    for number in ("A-1", "A-2"):
        await orders.made(number, {"CUP": 1}, allocate=False)
    await orders.post("/orders/A-1/cancel")
    run = await _run(orders, {"action": "allocate", "orders": ["A-1", "A-2"]})
    assert await _states(orders, run) == ["refused", "started"]
    first = (await orders.get(f"/allocation-runs/{run}/orders"))["items"][0]
    assert (first["result"], "canceled" in first["detail"]) == ("status_forbids", True)


@pytest.mark.accept("002-19", "002-24")
async def test_a_selection_is_deallocated(orders: Orders) -> None:
    for number in ("A-1", "A-2"):
        await orders.made(number, {"CUP": 1})
        await orders.answer(number, "overallocated")
    run = await _run(orders, {"action": "deallocate", "orders": ["A-1", "A-2"]})
    for number in ("A-1", "A-2"):
        await orders.answer(number, "released")
        await _started(orders)
    assert (await orders.get(f"/allocation-runs/{run}"))["state"] == "ended"
    assert await _numbers(orders, allocation_status="unallocated") == ["A-2", "A-1"]


async def test_a_run_does_not_wait_for_an_order_that_was_canceled_meanwhile(orders: Orders) -> None:
    for number in ("A-1", "A-2"):
        await orders.made(number, {"CUP": 1}, allocate=False)
    run = await _run(orders, {"action": "allocate", "orders": ["A-1", "A-2"]})
    await orders.post("/orders/A-1/cancel")
    await orders.answer("A-1", "released")
    await _started(orders)
    assert await _states(orders, run) == ["ended", "started"]


async def test_a_caller_may_wait_for_the_end_of_a_run(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 1}, allocate=False)
    await orders.post("/orders/A-1/cancel")
    answer = await orders.post("/allocation-runs", {"action": "allocate", "orders": ["A-1"]}, Prefer="wait=10")
    assert (answer.status_code, answer.json()["refused"], answer.json()["state"]) == (200, 1, "ended")


BAD_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"action": "allocate"}, "body"),
    ({"action": "allocate", "orders": ["A-1"], "filter": {}}, "body"),
    ({"action": "allocate", "orders": []}, "orders"),
    ({"action": "allocate", "orders": ["A-1", "A-1"]}, "body"),
    ({"action": "allocate", "orders": ["A-1", "A-9"]}, "orders.1"),
    ({"action": "ship", "orders": ["A-1"]}, "action"),
    ({"action": "allocate", "filter": {"channel": ["nowhere"]}}, "filter"),
    ({"action": "allocate", "filter": {"colour": "red"}}, "filter.colour"),
]


async def test_a_run_over_nothing_or_nonsense_is_refused(orders: Orders) -> None:
    await orders.made("A-1")
    answers = [(body, await orders.post("/allocation-runs", body)) for body, _ in BAD_RUNS]
    assert [(body, answer.json()["field"]) for body, answer in answers if answer.status_code == 422] == BAD_RUNS


async def test_a_run_over_many_orders_of_one_hot_sku_goes_on_one_by_one(orders: Orders) -> None:
    bodies = [{"number": f"A-{n}", "allocate": False, "lines": lines({"CUP": 1, f"S{n}": 1})} for n in range(60)]
    await orders.post("/orders:bulk", {"orders": bodies})
    run = await _run(orders, {"action": "allocate", "filter": {}, "sort": "number"})
    served: list[str] = []
    while (found := await orders.get(f"/allocation-runs/{run}"))["state"] == "running":
        (under_way,) = [
            item["number"]
            for item in (await orders.get(f"/allocation-runs/{run}/orders", limit=200))["items"]
            if item["state"] == "started"
        ]
        served.append(under_way)
        await orders.answer(under_way, "allocated")
        await _started(orders)
    assert served == sorted(f"A-{n}" for n in range(60))
    assert found["version"] == 61
