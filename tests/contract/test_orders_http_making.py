"""Making orders over HTTP: numbers, repeats, what is refused, many at once."""

import asyncio
from typing import Any

import pytest

from tests.support.orders_service import Orders, lines

pytestmark = pytest.mark.integration


async def _order(orders: Orders, number: str) -> dict[str, Any]:
    found: dict[str, Any] = await orders.get(f"/orders/{number}")
    return found


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
