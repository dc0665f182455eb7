"""What orders take from Kafka of sales channels: each record makes an order, edits it, cancels it, or becomes a dead letter."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import text

from services.orders.core.model import Key
from services.orders.feeds import intake as intake_feed
from services.orders.store import saving
from shared.partitions.model import InputRecord
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import DEAD_LETTERS
from shared.schemas.values import Line
from tests.builders.intake import broken, intake
from tests.support.orders_service import Orders, lines, orders_service, raw_record

pytestmark = pytest.mark.integration


async def test_an_order_of_a_channel_is_made_and_edited_and_canceled(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1))
    assert (await orders.get("/orders/A-1"))["channel"] == "bus"
    await orders.take_in(intake("A-1", 2, units=5))
    assert (await orders.get("/orders/A-1"))["lines"][0]["units"] == 5
    await orders.take_in(intake("A-1", 3, units=5, canceled=True, reason="changed their mind"))
    found = await orders.get("/orders/A-1")
    assert (found["status"], found["cancellation"]["reason"], found["cancellation"]["by"]) == (
        "canceled",
        "changed their mind",
        "order-intake",
    )
    assert [(event.demand.version, event.demand.wish.value) for event in await orders.events()] == [
        (1, "stock"),
        (2, "stock"),
        (3, "closed"),
    ]


async def test_repeats_and_overtaking_do_no_harm_whatever_the_order_of_arrival(orders: Orders) -> None:
    messages = [intake(f"A-{n}", version, units=version) for n in range(8) for version in (1, 2, 3)]
    arriving = messages * 3
    random.Random(7).shuffle(arriving)
    for start in range(0, len(arriving), 5):
        await orders.take_in(*arriving[start : start + 5])
    for n in range(8):
        assert (await orders.get(f"/orders/A-{n}"))["lines"][0]["units"] == 3
    assert await orders.letters() == []


async def test_a_version_that_says_nothing_new_is_remembered_against_an_older_one_that_comes_late(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1), intake("A-2", 3))
    await orders.take_in(intake("A-1", 3))
    await orders.take_in(intake("A-1", 2, units=9), intake("A-2", 2, units=9), intake("A-1", 3))
    for number in ("A-1", "A-2"):
        assert (await orders.get(f"/orders/{number}"))["lines"][0]["units"] == 1
    assert [event.demand.version for event in await orders.events()] == [1, 1]
    assert await orders.letters() == []


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Which orders each batch has looked up. Listens in; the real look-ups are made."""
    seen: list[list[str]] = []

    async def loading(connection: Any, keys: Iterable[Key], *, lock: bool) -> Any:
        seen.append(sorted(key.number for key in keys))
        return await saving.load(connection, keys, lock=lock)

    monkeypatch.setattr(intake_feed, "load", loading)
    return seen


async def test_a_first_version_is_looked_up_only_where_the_order_is_there(orders: Orders, looked_up: list[list[str]]) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1))
    assert looked_up == []
    await orders.take_in(intake("A-1", 1), intake("A-3", 1))
    assert looked_up == [["A-1", "A-3"]]
    await orders.take_in(intake("A-1", 2, units=2), intake("A-4", 1))
    assert looked_up[1:] == [["A-1"]]
    assert [(event.number, event.demand.version) for event in await orders.events()] == [
        ("A-1", 1), ("A-2", 1), ("A-3", 1), ("A-4", 1), ("A-1", 2),
    ]  # fmt: skip
    assert await orders.letters() == []


async def test_a_first_version_that_comes_late_is_no_news_whatever_is_wrong_with_it(orders: Orders) -> None:
    """Taken for new it would be refused, and become a dead letter."""
    await orders.take_in(intake("A-1", 3))
    await orders.take_in(intake("A-1", 1, lines=(Line(sku="CUP", units=1), Line(sku="CUP", units=2))), intake("A-2", 1))
    assert await orders.letters() == []
    assert [item["number"] for item in (await orders.get("/orders", sort="number"))["items"]] == ["A-1", "A-2"]


async def test_two_processes_that_take_the_same_orders_at_once_make_each_once(database: str, orders: Orders) -> None:
    messages = [intake(f"A-{n}", version) for n in range(40) for version in (1, 2)]
    async with orders_service(database) as other:
        await asyncio.gather(orders.take_in(*messages), other.take_in(*reversed(messages)), orders.take_in(*messages[::-3]))
    events = await orders.events()
    assert len({(event.number, event.demand.version) for event in events}) == len(events)
    assert {event.number for event in events} == {f"A-{n}" for n in range(40)}
    assert await orders.letters() == []


async def test_an_order_that_is_heard_of_first_by_its_cancel_is_made_canceled(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 2, canceled=True))
    await orders.take_in(intake("A-1", 1))
    assert (await orders.get("/orders/A-1"))["status"] == "canceled"
    assert "stock" not in {event.demand.wish.value for event in await orders.events()}


async def test_what_a_channel_may_not_do_becomes_a_dead_letter_with_the_remedy(orders: Orders) -> None:
    await orders.made("WEB-1")
    await orders.take_in(intake("A-1", 1))
    await orders.answer("A-1", "allocated")
    await orders.post("/orders/A-1/start-processing")
    await orders.answer("A-1", "allocated", picking="confirmed")
    await orders.take_in(
        intake("WEB-1", 1),
        intake("A-1", 1, units=9),
        intake("A-1", 2, units=9),
        intake("A-3", 1, lines=(Line(sku="CUP", units=1), Line(sku="CUP", units=2))),
        intake("A-4", 1),
    )
    reasons = {(letter["reason"].split(":")[0], letter["field"]) for letter in await orders.letters()}
    assert reasons == {
        ("the order of this number is edited here", "number"),
        ("this version of the order came before with other content", "version"),
        ("an order that is processing can not take the action edit", "status"),
        ("lines 1 and 2 both want SKU CUP", "lines.1.sku"),
    }
    assert (await orders.get("/orders/A-4"))["status"] == "awaiting_fulfillment"


BAD = {
    "no JSON": (b"{", "value"),
    "no UTF-8": (b'{"merchant": "\xff"}', "value"),
    "a tombstone": (None, "value"),
    "empty": (b"", "value"),
    "NaN": (broken(priority=float("nan")), "priority"),
    "NUL": (broken(receiver="a\x00b"), "receiver"),
    "half a surrogate pair": (broken(receiver="\ud800"), ""),
    "a huge number": (broken(lines=[{"sku": "CUP", "units": 10**40}]), "lines.0.units"),
    "true as units": (broken(lines=[{"sku": "CUP", "units": True}]), "lines.0.units"),
    "text as units": (broken(lines=[{"sku": "CUP", "units": "1"}]), "lines.0.units"),
    "no units": (broken(lines=[{"sku": "CUP", "units": 0}]), "lines.0.units"),
    "no lines": (broken(lines=[]), "lines"),
    "too many lines": (broken(lines=lines({f"S{n}": 1 for n in range(1001)})), "lines"),
    "an unknown field": (broken(colour="red"), "colour"),
    "a name twice": (b'{"merchant": "acme", "merchant": "bolt"}', "merchant"),
    "deep nesting": (b"[" * 100_000, "value"),
    "too large": (broken(receiver="a" * 1_000_000), "value"),
    "a strange merchant": (broken(merchant="a/b"), "merchant"),
}


async def test_every_bad_record_becomes_a_dead_letter_and_its_neighbours_are_unharmed(orders: Orders) -> None:
    batch: list[OrderIntake | InputRecord] = []
    for n, (value, _) in enumerate(BAD.values()):
        batch += [raw_record(value), intake(f"A-{n}", 1)]
    await orders.take_in(*batch)
    assert len((await orders.get("/orders"))["items"]) == len(BAD)
    async with orders.platform.reading() as connection:
        rows = (await connection.execute(text("SELECT value, field, reason FROM orders.dead_letter ORDER BY record_offset"))).all()
        told = (await connection.execute(text("SELECT count(*) FROM orders.outbox WHERE topic = :t"), {"t": DEAD_LETTERS.name})).scalar()
    assert [row.value for row in rows] == [value for value, _ in BAD.values()]
    assert all(row.reason for row in rows)
    assert [name for (name, (_, field)), row in zip(BAD.items(), rows, strict=True) if not row.field.startswith(field)] == []
    assert told == len(BAD)


async def test_hostile_headers_make_dead_letters_and_nothing_else(orders: Orders) -> None:
    hostile: list[tuple[tuple[str, bytes], ...]] = [
        (("ce_type", b"\xff\xfe"),),
        (("ce_type", b"earmark.order_intake.v2"),),
        (("ce_type", b"earmark.receive_stock.v1"),),
        (("other", b"x"),),
        (("nul\x00", b"\x00"), ("ce_type", b"earmark.order_changed.v1")),
    ]
    await orders.take_in(*(raw_record(broken(), headers=headers) for headers in hostile), intake("A-2", 1))
    assert [letter["field"] for letter in await orders.letters()] == ["ce_type"] * len(hostile)
    assert [item["number"] for item in (await orders.get("/orders"))["items"]] == ["A-2"]


async def test_a_batch_that_comes_again_makes_no_second_dead_letter(orders: Orders) -> None:
    bad = raw_record(b"{")
    await orders.take_in(bad)
    await orders.take_in(bad, intake("A-1", 1))
    async with orders.platform.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM orders.dead_letter"))).scalar() == 1
        assert (await connection.execute(text("SELECT count(*) FROM orders.outbox WHERE topic = 'earmark.dead-letters'"))).scalar() == 1


async def test_a_channel_does_not_edit_an_order_that_was_split_here(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1, units=3))
    answer = await orders.answer_of("A-1", "partially_allocated")
    await orders.hand_over([answer.but(lines=(answer.lines[0].but(reserved_units=2, waiting_units=1),))])
    await orders.post("/orders/A-1/split", {"number": "A-1-B"})
    await orders.take_in(intake("A-1", 2, units=3, receiver="Ada"))
    assert [letter["field"] for letter in await orders.letters()] == ["number"]
    assert (await orders.get("/orders/A-1"))["lines"][0]["units"] == 2
