"""What orders take from Kafka of the allocator: its answers, folded into the orders."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from services.orders.core.model import Key
from services.orders.store import allocations, projecting
from shared.schemas.topics import ALLOCATIONS
from tests.builders.intake import intake
from tests.builders.orders import SHORTAGE
from tests.support.orders_service import Orders, orders_service, raw_record, record_of

pytestmark = pytest.mark.integration


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Which orders each batch has looked up. Listens in; the real look-ups are made."""
    seen: list[list[str]] = []

    async def loading(raw: Any, keys: Sequence[Key], *, lock: bool = False) -> Any:
        if not lock:
            seen.append([key.number for key in keys])
        return await allocations.load_standings(raw, keys, lock=lock)

    monkeypatch.setattr(projecting, "load_standings", loading)
    return seen


async def test_the_first_answer_of_an_order_of_a_channel_needs_no_look(orders: Orders, looked_up: list[list[str]]) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1, allocate=False))
    await orders.answer("A-1", "could_not_allocate")
    await orders.answer("A-1", "allocated")
    assert looked_up == [[], ["A-1"]]
    found = await orders.get("/orders/A-1")
    assert (found["allocation_status"], found["allocation_version"], found["pending"]) == ("allocated", 2, None)


async def test_an_answer_about_the_first_version_ends_no_later_step(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1))
    first = await orders.answer_of("A-1", "allocated")
    await orders.post("/orders/A-1/cancel")
    await orders.hand_over([first])
    found = await orders.get("/orders/A-1")
    assert (found["status"], found["allocation_status"], found["pending"]) == ("canceled", "allocated", "release")
    await orders.answer("A-1", "released")
    found = await orders.get("/orders/A-1")
    assert (found["status"], found["allocation_status"], found["pending"]) == ("canceled", "unallocated", None)


async def test_an_answer_that_another_process_has_folded_is_met_by_a_look(
    database: str, orders: Orders, looked_up: list[list[str]]
) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1))
    said = [await orders.answer_of("A-1", "allocated"), await orders.answer_of("A-2", "allocated")]
    async with orders_service(database) as other:
        await other.hand_over(said[:1])
        await orders.hand_over(said)
    assert looked_up == [["A-1"], [], ["A-1", "A-2"]]
    for number in ("A-1", "A-2"):
        assert (await orders.get(f"/orders/{number}"))["allocation_version"] == 1
        assert len((await orders.get(f"/orders/{number}/history"))["items"]) == 2


async def test_answers_in_any_order_and_repeated_leave_the_newest(orders: Orders) -> None:
    await orders.made("A-1")
    said = [await orders.answer_of("A-1", outcome) for outcome in ("could_not_allocate", "allocated", "overallocated", "allocated")]
    for shuffled in ([said[2]], [said[0], said[3], said[1]], [said[2], said[0]]):
        await orders.hand_over(shuffled)
    found = await orders.get("/orders/A-1")
    assert (found["allocation_status"], found["allocation_version"], found["lines"][0]["reserved_units"]) == ("allocated", 4, 2)


async def test_a_whole_life_in_one_batch_of_answers_skips_no_step(orders: Orders) -> None:
    """As after an outage: the confirmation and what came after it are read together."""
    await orders.made("A-1")
    await orders.answer("A-1", "allocated")
    await orders.post("/orders/A-1/start-processing")
    confirmed = await orders.answer_of("A-1", "allocated", picking="confirmed")
    flagged = await orders.answer_of("A-1", "overallocated", picking="confirmed")
    await orders.hand_over([flagged, confirmed])
    found = await orders.get("/orders/A-1")
    assert (found["status"], found["allocation_status"], found["version"], found["allocation_version"]) == (
        "processing", "overallocated", 3, 3,
    )  # fmt: skip
    assert found["lines"][0]["flagged_units"] == 2


async def test_two_processes_that_read_the_same_answers_make_one_transition(database: str, orders: Orders) -> None:
    for n in range(20):
        await orders.made(f"A-{n}")
        await orders.answer(f"A-{n}", "allocated")
        await orders.post(f"/orders/A-{n}/start-processing")
    said = [await orders.answer_of(f"A-{n}", "allocated", picking="confirmed") for n in range(20)]
    async with orders_service(database) as other:
        await asyncio.gather(orders.hand_over(said), other.hand_over(reversed(said)), orders.hand_over(said[::2]))
    versions = [(event.number, event.demand.version) for event in await orders.events()]
    assert len(versions) == len(set(versions)) == 60


async def test_answers_about_other_kinds_of_demand_are_none_of_our_business(orders: Orders) -> None:
    await orders.made("A-1")
    answer = await orders.answer_of("A-1", "allocated")
    await orders.hand_over([answer.but(demand="work-order/acme/A-1"), answer.but(demand="outbound-order/acme/A-1")])
    assert (await orders.get("/orders/A-1"))["allocation_status"] == "unallocated"
    assert await orders.letters() == []


async def test_an_answer_about_an_order_that_is_not_here_is_kept(orders: Orders) -> None:
    await orders.made("A-1")
    answer = await orders.answer_of("A-1", "allocated")
    await orders.hand_over([answer.but(demand="sales-order/acme/A-2"), answer])
    (letter,) = await orders.letters()
    assert (letter["topic"], letter["field"]) == (ALLOCATIONS.name, "demand")
    assert (await orders.get("/orders/A-1"))["allocation_status"] == "allocated"
    await orders.made("A-2")
    assert (await orders.post(f"/dead-letters/{letter['topic']}/0/{letter['offset']}/replay")).status_code == 200
    assert (await orders.get("/orders/A-2"))["allocation_status"] == "allocated"


async def test_an_unreadable_answer_is_kept_and_the_others_are_folded(orders: Orders) -> None:
    await orders.made("A-1")
    good = record_of(await orders.answer_of("A-1", "allocated"), ALLOCATIONS.name)
    bad = raw_record(b"{}", ALLOCATIONS.name, (("ce_type", b"earmark.allocation_changed.v1"),))
    await orders.parts.feeds.answers.handle([bad, good])
    assert (await orders.get("/orders/A-1"))["allocation_status"] == "allocated"
    async with orders.platform.reading() as connection:
        assert (await connection.execute(text("SELECT topic FROM orders.dead_letter"))).scalars().all() == [ALLOCATIONS.name]


@pytest.mark.accept("002-12", "002-13")
async def test_the_explanation_of_a_shortage_is_shown_with_the_line(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 2, "POT": 1})
    answer = await orders.answer_of("A-1", "partially_allocated")
    first = answer.lines[0].but(reserved_units=2, waiting_units=0)
    second = answer.lines[1].but(waiting_units=1, shortage=SHORTAGE)
    await orders.hand_over([answer.but(lines=(first, second))])
    found = await orders.get("/orders/A-1")
    assert found["allocation_status"] == "partially_allocated"
    assert [line["waiting_units"] for line in found["lines"]] == [0, 1]
    assert found["lines"][1]["shortage"]["missing_units"] == 1
    assert found["lines"][1]["shortage"]["remedies"][0]["action"] == "receive"
