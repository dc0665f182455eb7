"""What may be done to an order over HTTP, and what is told of it."""

import asyncio
import importlib
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration
FIRST_ENTRIES = importlib.import_module("deploy.migrations.versions.0015_orders_first_entries")


async def _processing(orders: Orders, number: str) -> None:
    await orders.made(number)
    await orders.answer(number, "allocated")
    assert (await orders.post(f"/orders/{number}/start-processing")).status_code == 202
    await orders.answer(number, "allocated", picking="confirmed")


async def _order(orders: Orders, number: str) -> dict[str, Any]:
    found: dict[str, Any] = await orders.get(f"/orders/{number}")
    return found


@pytest.mark.accept("000-20", "000-22", "000-23", "000-24", "000-26", "002-06")
async def test_a_canceled_order_is_released_and_keeps_the_record_of_it(orders: Orders) -> None:
    await orders.made("A-1")
    await orders.answer("A-1", "allocated")
    canceled = await orders.post("/orders/A-1/cancel", {"reason": "duplicate order"})
    assert (canceled.status_code, canceled.json()["status"], canceled.json()["pending"]) == (202, "canceled", "release")
    assert (await orders.last_event("A-1")).demand.wish.value == "closed"
    await orders.answer("A-1", "released")
    found = await _order(orders, "A-1")
    assert (found["display_status"], found["allocation_status"], found["pending"]) == ("Canceled", "unallocated", None)
    assert found["cancellation"]["reason"] == "duplicate order"
    assert found["cancellation"]["by"].startswith("key ")
    assert found["lines"][0]["reserved_units"] == 0


@pytest.mark.accept("000-21", "000-30", "000-36")
async def test_an_order_in_processing_is_not_canceled_by_the_server_either(orders: Orders) -> None:
    await _processing(orders, "A-1")
    found = await _order(orders, "A-1")
    assert (found["display_status"], found["actions"]) == ("Processing", ["stop-processing", "ship"])
    answer = await orders.post("/orders/A-1/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "status_forbids")
    assert "picker" in answer.json()["remedy"]


@pytest.mark.accept("000-27", "000-28", "000-32")
async def test_a_cancellation_is_not_undone_and_the_order_is_made_anew(orders: Orders) -> None:
    await orders.made("A-1")
    await orders.post("/orders/A-1/cancel")
    for action in ("allocate", "deallocate", "start-processing", "stop-processing", "ship", "dropship", "cancel"):
        assert (await orders.post(f"/orders/A-1/{action}")).status_code == 409
    assert (await orders.command("PATCH", "/orders/A-1", {"priority": 1})).status_code == 409
    assert (await orders.made("A-1-again"))["status"] == "awaiting_fulfillment"


@pytest.mark.accept("002-08", "002-22")
async def test_an_edited_order_is_allocated_again_by_itself(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 2, "POT": 1})
    await orders.answer("A-1", "could_not_allocate")
    edited = await orders.command("PATCH", "/orders/A-1", {"lines": lines({"CUP": 1, "JUG": 4}), "priority": -3})
    assert (edited.status_code, edited.json()["version"], edited.json()["pending"]) == (202, 2, "allocation")
    demand = (await orders.last_event("A-1")).demand
    assert (demand.version, demand.wish.value, demand.priority) == (2, "stock", -3)
    found = await _order(orders, "A-1")
    assert [(line["sku"], line["units"], line["waiting_units"]) for line in found["lines"]] == [("CUP", 1, 2), ("JUG", 4, 0)]
    await orders.answer("A-1", "allocated")
    assert (await _order(orders, "A-1"))["allocation_status"] == "allocated"


async def test_edits_of_one_order_from_both_processes_are_all_kept_in_turn(database: str, orders: Orders) -> None:
    await orders.made("A-1")
    async with orders_service(database) as other:
        auth = orders.service.acme.headers["Authorization"]
        edits = [
            service.command("PATCH", "/orders/A-1", {"priority": n}, Authorization=auth) for n in range(10) for service in (orders, other)
        ]
        answers = await asyncio.gather(*edits)
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))
    assert [event.demand.version for event in await orders.events()] == list(range(1, 22))


async def test_an_edit_of_an_order_that_changed_meanwhile_is_refused_where_the_caller_says_so(orders: Orders) -> None:
    await orders.made("A-1")
    assert (await orders.command("PATCH", "/orders/A-1", {"priority": 1}, If_Match='"1"')).status_code == 202
    stale = await orders.command("PATCH", "/orders/A-1", {"priority": 2}, If_Match='"1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "changed_meanwhile")


async def test_an_edit_that_says_nothing_or_nonsense_is_refused(orders: Orders) -> None:
    await orders.made("A-1")
    wrong: list[dict[str, Any]] = [
        {},
        {"demanded_at": None},
        {"lines": []},
        {"status": "shipped"},
        {"merchant": "bolt"},
        {"priority": None},
    ]
    for body in wrong:
        answer = await orders.command("PATCH", "/orders/A-1", body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["remedy"]


@pytest.mark.accept("002-06", "002-21")
async def test_an_order_is_processed_and_shipped_when_the_allocator_has_confirmed_each(orders: Orders) -> None:
    await _processing(orders, "A-1")
    assert (await orders.last_event("A-1")).status == "processing"
    asked = await orders.post("/orders/A-1/ship")
    assert (asked.json()["status"], asked.json()["pending"]) == ("processing", "consumption")
    assert (await orders.last_event("A-1")).demand.wish.value == "consumption"
    await orders.answer("A-1", "consumed")
    found = await _order(orders, "A-1")
    assert (found["status"], found["allocation_status"], found["lines"][0]["consumed_units"]) == ("shipped", "unallocated", 2)
    assert (await orders.last_event("A-1")).status == "shipped"


async def test_a_refused_start_of_processing_is_shown_with_the_reason(orders: Orders) -> None:
    await orders.made("A-1")
    await orders.answer("A-1", "allocated")
    await orders.post("/orders/A-1/start-processing")
    await orders.answer("A-1", "overallocated", picking="refused", refusal="CUP: 2 units are flagged; receive 2 units")
    found = await _order(orders, "A-1")
    assert (found["status"], found["refusal"], found["pending"]) == (
        "awaiting_fulfillment",
        "CUP: 2 units are flagged; receive 2 units",
        None,
    )
    assert (await orders.last_event("A-1")).demand.wish.value == "stock"


async def test_a_stopped_order_can_be_canceled_again(orders: Orders) -> None:
    await _processing(orders, "A-1")
    assert (await orders.post("/orders/A-1/stop-processing")).json()["status"] == "awaiting_fulfillment"
    assert (await orders.post("/orders/A-1/cancel")).json()["status"] == "canceled"


@pytest.mark.accept("002-06")
async def test_dropshipping_removes_the_allocation(orders: Orders) -> None:
    await orders.made("A-1")
    await orders.answer("A-1", "allocated")
    assert (await orders.post("/orders/A-1/dropship")).json()["status"] == "dropshipped"
    await orders.answer("A-1", "released")
    assert (await _order(orders, "A-1"))["allocation_status"] == "unallocated"


@pytest.mark.accept("002-14", "002-24", "002-25")
async def test_an_overallocated_order_is_deallocated_and_allocated_again(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 1})
    await orders.answer("A-1", "allocated")
    await orders.answer("A-1", "overallocated")
    found = await _order(orders, "A-1")
    assert (found["allocation_status"], found["lines"][0]["flagged_units"]) == ("overallocated", 1)
    refused = await orders.post("/orders/A-1/start-processing")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_ready")
    await orders.post("/orders/A-1/deallocate")
    await orders.answer("A-1", "released")
    assert (await orders.post("/orders/A-1/allocate")).status_code == 202
    await orders.answer("A-1", "allocated")
    assert (await _order(orders, "A-1"))["display_status"] == "Allocated"


async def test_everything_that_happened_to_an_order_is_told_in_turn(orders: Orders) -> None:
    await _processing(orders, "A-1")
    entries = (await orders.get("/orders/A-1/history"))["items"]
    assert [entry["happening"] for entry in entries] == [
        "created", "allocation_changed", "processing_requested", "processing_started",
    ]  # fmt: skip
    assert [entry["version"] for entry in entries] == [1, 1, 2, 3]
    first = await orders.get("/orders/A-1/history", limit=3)
    rest = await orders.get("/orders/A-1/history", limit=3, cursor=first["next_cursor"])
    assert first["items"] + rest["items"] == entries


async def test_a_history_of_which_every_entry_is_a_row_of_its_own_as_it_was_before_reads_the_same(orders: Orders) -> None:
    await _processing(orders, "A-1")
    entries = await orders.get("/orders/A-1/history")
    async with orders.platform.engine.begin() as connection:
        for statement in (
            FIRST_ENTRIES.ENTRIES_AS_ROWS,
            *(f"UPDATE orders.{table} SET first_entry = NULL" for table in ("sales_order", "allocation")),
        ):
            assert (await connection.execute(text(statement))).rowcount
    assert await orders.get("/orders/A-1/history") == entries


async def _partial(orders: Orders, number: str) -> None:
    """Two of three cups and the pot are there, the jug is not."""
    await orders.made(number, {"CUP": 3, "POT": 1, "JUG": 4}, priority=-2, demanded_at="2026-11-01T00:00:00Z")
    answer = await orders.answer_of(number, "partially_allocated")
    had = {"CUP": 2, "POT": 1, "JUG": 0}
    told = [line.but(reserved_units=had[line.sku], waiting_units=line.wanted_units - had[line.sku]) for line in answer.lines]
    await orders.hand_over([answer.but(lines=tuple(told))])


@pytest.mark.accept("002-13", "002-23")
async def test_a_partially_allocated_order_is_split_into_what_is_ready_and_what_waits(orders: Orders) -> None:
    await _partial(orders, "A-1")
    assert "split" in (await _order(orders, "A-1"))["actions"]
    answer = await orders.post("/orders/A-1/split", {"number": "A-1-B"})
    assert (answer.status_code, answer.headers["Location"]) == (202, "/orders/A-1-B")
    kept, rest = await _order(orders, "A-1"), await _order(orders, "A-1-B")
    assert {line["sku"]: line["units"] for line in kept["lines"]} == {"CUP": 2, "POT": 1}
    assert {line["sku"]: line["units"] for line in rest["lines"]} == {"CUP": 1, "JUG": 4}
    assert (rest["split_from"], rest["priority"], rest["demanded_at"]) == ("A-1", -2, kept["demanded_at"])
    assert [(event.number, event.demand.wish.value) for event in (await orders.events())[-2:]] == [("A-1", "stock"), ("A-1-B", "stock")]
    await orders.answer("A-1", "allocated")
    assert (await orders.post("/orders/A-1/start-processing")).status_code == 202


@pytest.mark.accept("002-23")
async def test_a_partially_allocated_order_may_be_kept_together_and_wait(orders: Orders) -> None:
    await _partial(orders, "A-1")
    await orders.answer("A-1", "allocated")
    assert (await _order(orders, "A-1"))["display_status"] == "Allocated"
    assert (await orders.post("/orders/A-1/split")).json()["code"] == "not_partially_allocated"


async def test_the_rest_of_a_split_gets_a_number_of_its_own_and_none_that_is_taken(orders: Orders) -> None:
    await _partial(orders, "A-1")
    await orders.made("A-2")
    for number in ("A-1", "A-2"):
        assert (await orders.post("/orders/A-1/split", {"number": number})).json()["code"] == "number_taken"
    assert (await orders.post("/orders/A-1/split")).json()["rest"]["number"].startswith("SO-")
