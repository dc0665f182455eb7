"""Orders over HTTP on a real Postgres, the allocator's answers handed to the projection as it would read them."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration
FIRST_ENTRIES = importlib.import_module("deploy.migrations.versions.0015_orders_first_entries")


@pytest.fixture
async def orders(database: str) -> AsyncIterator[Orders]:
    async with orders_service(database) as running:
        yield running


async def _processing(orders: Orders, number: str) -> None:
    await orders.made(number)
    await orders.answer(number, "allocated")
    assert (await orders.post(f"/orders/{number}/start-processing")).status_code == 202
    await orders.answer(number, "allocated", picking="confirmed")


async def _order(orders: Orders, number: str) -> dict[str, Any]:
    found: dict[str, Any] = await orders.get(f"/orders/{number}")
    return found


# ---------------------------------------------------------------- making orders


async def test_an_order_is_accepted_with_its_address_and_its_event_waits_to_be_published(orders: Orders) -> None:
    answer = await orders.post("/orders", {"number": "A-1", "receiver": "Ada", "lines": lines({"CUP": 2, "POT": 1})})
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/orders/A-1"
    assert answer.headers["ETag"] == '"1"'
    assert answer.json()["pending"] == "allocation"
    (event,) = await orders.events()
    assert (event.demand.id, event.demand.version, event.demand.wish.value) == ("sales-order/acme/A-1", 1, "stock")
    assert [(line.sku, line.units) for line in event.demand.lines] == [("CUP", 2), ("POT", 1)]


async def test_orders_without_a_number_get_the_next_of_their_month(orders: Orders) -> None:
    numbers = [(await orders.post("/orders", {"lines": lines({"CUP": 1})})).json()["number"] for _ in range(2)]
    assert [number[-5:] for number in numbers] == ["-0001", "-0002"]
    assert all(number.startswith("SO-") for number in numbers)


async def test_a_generated_number_that_somebody_used_is_passed_over(orders: Orders) -> None:
    first = (await orders.post("/orders", {"lines": lines({"CUP": 1})})).json()["number"]
    await orders.made(first[:-1] + "2")
    assert (await orders.post("/orders", {"lines": lines({"CUP": 1})})).json()["number"] == first[:-1] + "3"


async def test_the_same_number_with_the_same_content_is_the_same_order(orders: Orders) -> None:
    await orders.made("A-1", receiver="Ada")
    again = await orders.post("/orders", {"number": "A-1", "receiver": "Ada", "lines": lines({"CUP": 2})})
    assert (again.status_code, again.json()["version"]) == (202, 1)
    assert len(await orders.events()) == 1


async def test_the_same_number_with_other_content_is_refused(orders: Orders) -> None:
    await orders.made("A-1")
    answer = await orders.post("/orders", {"number": "A-1", "lines": lines({"CUP": 3})})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "number_taken", "number")


async def test_a_number_is_taken_once_when_many_ask_for_it_at_the_same_moment(orders: Orders) -> None:
    asked = [orders.post("/orders", {"number": "A-1", "lines": lines({"CUP": units})}) for units in range(1, 9)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert len(await orders.events()) == 1


async def test_a_repeat_with_the_same_key_changes_nothing_and_another_body_is_refused(orders: Orders) -> None:
    body = {"lines": lines({"CUP": 1})}
    first, again = [await orders.post("/orders", body, key="once") for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await orders.post("/orders", {"lines": lines({"CUP": 9})}, key="once")).json()["code"] == "key_reused"
    assert len(await orders.events()) == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"lines": []}, "lines"),
    ({"lines": lines({f"S{n}": 1 for n in range(1001)})}, "lines"),
    ({"lines": [{"sku": "CUP", "units": 0}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": -1}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": 10**9 + 1}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": 10**30}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": 1.0}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": True}]}, "lines.0.units"),
    ({"lines": [{"sku": "CUP", "units": "1"}]}, "lines.0.units"),
    ({"lines": [{"sku": "", "units": 1}]}, "lines.0.sku"),
    ({"lines": [{"sku": " CUP", "units": 1}]}, "lines.0.sku"),
    ({"lines": [{"sku": "CÜP", "units": 1}]}, "lines.0.sku"),
    ({"lines": [{"units": 1}]}, "lines.0.sku"),
    ({"lines": [{"sku": "CUP", "units": 1, "colour": "red"}]}, "lines.0.colour"),
    ({"lines": [{"sku": "CUP", "units": 1, "warehouses": ["A B"]}]}, "lines.0.warehouses.0"),
    ({"lines": lines({"CUP": 1}), "merchant": "bolt"}, "merchant"),
    ({"lines": lines({"CUP": 1}), "number": "A/1"}, "number"),
    ({"lines": lines({"CUP": 1}), "priority": 10**7}, "priority"),
    ({"lines": lines({"CUP": 1}), "demanded_at": "yesterday"}, "demanded_at"),
    ({"lines": lines({"CUP": 1}), "demanded_at": "2026-11-21T10:00:00"}, "demanded_at"),
    ({"lines": lines({"CUP": 1}), "demanded_at": 1700000000}, "demanded_at"),
    ({"lines": lines({"CUP": 1}), "fill": "some"}, "fill"),
    ({"lines": lines({"CUP": 1}), "receiver": "a" * 501}, "receiver"),
    ({"lines": lines({"CUP": 1, "POT": 1}) + lines({"CUP": 1})}, "lines.2.sku"),
    ({}, "lines"),
]


async def test_a_bad_order_is_refused_with_the_field_and_the_remedy(orders: Orders) -> None:
    answers = [(body, await orders.post("/orders", body)) for body, _ in BAD]
    assert [(body, answer.json()["field"]) for body, answer in answers if answer.status_code == 422] == BAD
    assert all(answer.json()["remedy"] for _, answer in answers)
    assert await orders.events() == []


async def test_text_that_can_not_be_stored_is_refused(orders: Orders) -> None:
    for hostile in ("a\x00b", "\ud800", "\udfff tail"):
        answer = await orders.post("/orders", {"lines": lines({"CUP": 1}), "receiver": hostile})
        assert answer.status_code in {400, 422}
        assert answer.json()["remedy"]


async def test_an_order_of_a_hundred_thousand_lines_is_too_large(orders: Orders) -> None:
    answer = await orders.post("/orders", {"lines": lines({f"S{n}": 1 for n in range(100_000)})})
    assert answer.status_code == 413


async def test_an_order_may_have_a_thousand_lines(orders: Orders) -> None:
    await orders.made("A-1", {f"S{n}": 1 for n in range(1000)})
    assert len((await _order(orders, "A-1"))["lines"]) == 1000


async def test_many_orders_at_once_are_each_judged_on_their_own(orders: Orders) -> None:
    await orders.made("A-2", {"CUP": 1})
    bodies: list[Any] = [
        {"number": "A-1", "lines": lines({"CUP": 1})},
        {"number": "A-2", "lines": lines({"CUP": 7})},
        {"lines": [{"sku": "CUP", "units": 0}]},
        "no order",
        {"lines": lines({"CUP": 1}) * 2},
        {"lines": lines({"POT": 1})},
    ]
    answer = (await orders.post("/orders:bulk", {"orders": bodies})).json()
    codes = [one["problem"]["code"] if "problem" in one else one["status"] for one in answer["results"]]
    assert codes == ["awaiting_fulfillment", "number_taken", "validation", "validation", "duplicate_sku", "awaiting_fulfillment"]
    assert (answer["accepted"], answer["refused"]) == (2, 4)
    assert answer["results"][2]["problem"]["field"] == "lines.0.units"
    assert len(await orders.events()) == 3


async def test_five_hundred_orders_are_made_by_one_request(orders: Orders) -> None:
    bodies = [{"lines": lines({f"S{n}": 1, "CUP": 1})} for n in range(500)]
    answer = (await orders.post("/orders:bulk", {"orders": bodies})).json()
    assert answer["accepted"] == 500
    assert len({one["number"] for one in answer["results"]}) == 500


# ---------------------------------------------------------------- waiting for the decision


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


# ---------------------------------------------------------------- what may be done


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


# ---------------------------------------------------------------- who may see what


async def test_an_order_of_another_merchant_is_not_there(orders: Orders) -> None:
    await orders.made("A-1")
    assert (await orders.service.bolt.get("/orders/A-1")).status_code == 404
    assert (await orders.service.bolt.get("/orders/A-1/history")).status_code == 404
    assert (await orders.get("/orders", by="bolt"))["items"] == []
    for action in ("cancel", "allocate", "deallocate", "start-processing", "stop-processing", "ship", "dropship"):
        assert (await orders.post(f"/orders/A-1/{action}", by="bolt")).status_code == 404
    assert (await orders.command("PATCH", "/orders/A-1", {"priority": 1}, by="bolt")).status_code == 404
    run = await orders.post("/allocation-runs", {"action": "allocate", "orders": ["A-1"]}, by="bolt")
    assert (run.status_code, run.json()["field"]) == (422, "orders.0")
    assert (await orders.post("/orders", {"number": "A-1", "lines": lines({"POT": 1})}, by="bolt")).status_code == 202
    assert (await _order(orders, "A-1"))["lines"][0]["sku"] == "CUP"


async def test_a_command_needs_an_idempotency_key_and_every_request_an_api_key(orders: Orders) -> None:
    assert (await orders.service.acme.post("/orders", json={"lines": lines({"CUP": 1})})).status_code == 400
    assert (await orders.service.nobody.get("/orders")).status_code == 401


async def test_the_description_of_the_api_has_examples_that_are_taken(orders: Orders) -> None:
    found = (await orders.service.nobody.get("/openapi.json")).json()
    body = found["components"]["schemas"]["NewOrder"]["examples"][0]
    assert (await orders.post("/orders", body)).status_code == 202
    assert "/orders:bulk" in found["paths"]
