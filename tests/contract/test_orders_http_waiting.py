"""A caller who waits for the allocator's decision."""

import asyncio

import pytest

from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration


@pytest.mark.accept("002-01", "002-02", "002-11", "002-15")
async def test_a_caller_that_waits_gets_the_decision_itself(orders: Orders) -> None:
    waiting = asyncio.create_task(orders.post("/orders", {"number": "A-1", "lines": lines({"CUP": 2})}, Prefer="wait=10"))
    while not await orders.events():
        await asyncio.sleep(0.01)
    await orders.answer("A-1", "allocated")
    answer = await waiting
    assert answer.status_code == 200
    decided = answer.json()
    assert (decided["allocation_status"], decided["pending"], decided["display_status"]) == ("allocated", None, "Allocated")
    assert decided["lines"][0]["reserved_units"] == 2


async def test_a_caller_that_waits_for_many_gets_all_decisions(orders: Orders) -> None:
    bodies = [{"number": f"A-{n}", "lines": lines({"CUP": n})} for n in range(3)]
    waiting = asyncio.create_task(orders.post("/orders:bulk", {"orders": bodies}, Prefer="wait=10"))
    while len(await orders.events()) < 2:
        await asyncio.sleep(0.01)
    await orders.answer("A-1", "allocated")
    await orders.answer("A-2", "could_not_allocate")
    answer = await waiting
    assert answer.status_code == 200
    assert [one.get("display_status", "refused") for one in answer.json()["results"]] == ["refused", "Allocated", "Out of Stock"]


async def test_a_caller_that_waits_in_vain_is_told_that_it_was_accepted(orders: Orders) -> None:
    assert (await orders.post("/orders", {"lines": lines({"CUP": 2})}, Prefer="wait=1")).status_code == 202


async def test_a_caller_of_another_process_is_woken_too(database: str, orders: Orders) -> None:
    async with orders_service(database) as other:
        client = orders.service.acme.headers["Authorization"]
        waiting = asyncio.create_task(
            other.post("/orders", {"number": "A-1", "lines": lines({"CUP": 2})}, Prefer="wait=10", Authorization=client)
        )
        while not await orders.events():
            await asyncio.sleep(0.01)
        await orders.answer("A-1", "could_not_allocate")
        assert (await waiting).json()["display_status"] == "Out of Stock"
