"""What orders take from Kafka: channels' orders, the allocator's answers; and the dead letters of both."""

import asyncio
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from services.orders.core.model import Key
from services.orders.feeds import intake as intake_feed
from services.orders.store import allocations, projecting, saving
from services.orders.store.tables import metadata
from shared.api_keys import create_api_key
from shared.partitions.model import InputRecord
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import ALLOCATIONS, DEAD_LETTERS
from shared.schemas.values import Line
from shared.schemas.wire import ADAPTERS
from tests.builders.orders import SHORTAGE
from tests.support.orders_service import Orders, lines, now, orders_service, raw_record, record_of

pytestmark = pytest.mark.integration
DAY = now().replace(microsecond=0)


def intake(number: str, version: int, units: int = 1, **more: Any) -> OrderIntake:
    """An order as its channel knows it."""
    given = {"lines": (Line(sku="CUP", units=units),), "demanded_at": DAY, "channel": "bus", **more}
    return OrderIntake(merchant="acme", number=number, version=version, **given)


def broken(**more: Any) -> bytes:
    """The JSON of an intake message with something changed."""
    message = ADAPTERS["order_intake"].dump_python(intake("A-9", 1), mode="json")
    return json.dumps(message | more).encode()


async def _letters(orders: Orders, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await orders.get("/dead-letters", **query))["items"]
    return items


# ---------------------------------------------------------------- channels


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
    assert await _letters(orders) == []


async def test_a_version_that_says_nothing_new_is_remembered_against_an_older_one_that_comes_late(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1), intake("A-2", 3))
    await orders.take_in(intake("A-1", 3))
    await orders.take_in(intake("A-1", 2, units=9), intake("A-2", 2, units=9), intake("A-1", 3))
    for number in ("A-1", "A-2"):
        assert (await orders.get(f"/orders/{number}"))["lines"][0]["units"] == 1
    assert [event.demand.version for event in await orders.events()] == [1, 1]
    assert await _letters(orders) == []


@dataclass
class LookedUp:
    """Which orders were looked up, by their feed."""

    by_intake: list[list[str]] = field(default_factory=list)
    by_answers: list[list[str]] = field(default_factory=list)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> LookedUp:
    """Listens in; the real look-ups are made."""
    seen = LookedUp()

    async def loading(connection: Any, keys: Iterable[Key], *, lock: bool) -> Any:
        seen.by_intake.append(sorted(key.number for key in keys))
        return await saving.load(connection, keys, lock=lock)

    async def loading_standings(raw: Any, keys: Sequence[Key], *, lock: bool = False) -> Any:
        if not lock:
            seen.by_answers.append([key.number for key in keys])
        return await allocations.load_standings(raw, keys, lock=lock)

    monkeypatch.setattr(intake_feed, "load", loading)
    monkeypatch.setattr(projecting, "load_standings", loading_standings)
    return seen


async def test_a_first_version_is_looked_up_only_where_the_order_is_there(orders: Orders, looked_up: LookedUp) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1))
    assert looked_up.by_intake == []
    await orders.take_in(intake("A-1", 1), intake("A-3", 1))
    assert looked_up.by_intake == [["A-1", "A-3"]]
    await orders.take_in(intake("A-1", 2, units=2), intake("A-4", 1))
    assert looked_up.by_intake[1:] == [["A-1"]]
    assert [(event.number, event.demand.version) for event in await orders.events()] == [
        ("A-1", 1), ("A-2", 1), ("A-3", 1), ("A-4", 1), ("A-1", 2),
    ]  # fmt: skip
    assert await _letters(orders) == []


async def test_a_first_version_that_comes_late_is_no_news_whatever_is_wrong_with_it(orders: Orders) -> None:
    """Taken for new it would be refused, and become a dead letter."""
    await orders.take_in(intake("A-1", 3))
    await orders.take_in(intake("A-1", 1, lines=(Line(sku="CUP", units=1), Line(sku="CUP", units=2))), intake("A-2", 1))
    assert await _letters(orders) == []
    assert [item["number"] for item in (await orders.get("/orders", sort="number"))["items"]] == ["A-1", "A-2"]


async def test_the_first_answer_of_an_order_of_a_channel_needs_no_look(orders: Orders, looked_up: LookedUp) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1, allocate=False))
    await orders.answer("A-1", "could_not_allocate")
    await orders.answer("A-1", "allocated")
    assert looked_up.by_answers == [[], ["A-1"]]
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


async def test_an_answer_that_another_process_has_folded_is_met_by_a_look(database: str, orders: Orders, looked_up: LookedUp) -> None:
    await orders.take_in(intake("A-1", 1), intake("A-2", 1))
    said = [await orders.answer_of("A-1", "allocated"), await orders.answer_of("A-2", "allocated")]
    async with orders_service(database) as other:
        await other.hand_over(said[:1])
        await orders.hand_over(said)
    assert looked_up.by_answers == [["A-1"], [], ["A-1", "A-2"]]
    for number in ("A-1", "A-2"):
        assert (await orders.get(f"/orders/{number}"))["allocation_version"] == 1
        assert len((await orders.get(f"/orders/{number}/history"))["items"]) == 2


async def test_two_processes_that_take_the_same_orders_at_once_make_each_once(database: str, orders: Orders) -> None:
    messages = [intake(f"A-{n}", version) for n in range(40) for version in (1, 2)]
    async with orders_service(database) as other:
        await asyncio.gather(orders.take_in(*messages), other.take_in(*reversed(messages)), orders.take_in(*messages[::-3]))
    events = await orders.events()
    assert len({(event.number, event.demand.version) for event in events}) == len(events)
    assert {event.number for event in events} == {f"A-{n}" for n in range(40)}
    assert await _letters(orders) == []


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
    reasons = {(letter["reason"].split(":")[0], letter["field"]) for letter in await _letters(orders)}
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
    assert [letter["field"] for letter in await _letters(orders)] == ["ce_type"] * len(hostile)
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
    assert [letter["field"] for letter in await _letters(orders)] == ["number"]
    assert (await orders.get("/orders/A-1"))["lines"][0]["units"] == 2


# ---------------------------------------------------------------- dead letters


async def test_a_dead_letter_is_shown_replayed_when_its_cause_is_gone_and_settled(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1))
    await orders.answer("A-1", "allocated")
    await orders.post("/orders/A-1/start-processing")
    await orders.answer("A-1", "allocated", picking="confirmed")
    await orders.take_in(intake("A-1", 2, units=9))
    (letter,) = await _letters(orders)
    address = f"/dead-letters/{letter['topic']}/{letter['partition']}/{letter['offset']}"
    assert json.loads((await orders.get(address))["value"])["version"] == 2
    again = await orders.post(f"{address}/replay")
    assert (again.status_code, again.json()["code"]) == (409, "refused_again")
    await orders.post("/orders/A-1/stop-processing")
    assert (await orders.post(f"{address}/replay")).json()["status"] == "replayed"
    assert (await orders.get("/orders/A-1"))["lines"][0]["units"] == 9
    assert (await orders.post(f"{address}/discard")).json()["code"] == "settled"
    assert await _letters(orders) == []
    assert len(await _letters(orders, status="replayed")) == 1


async def test_a_dead_letter_is_discarded_and_kept(orders: Orders) -> None:
    await orders.take_in(raw_record(broken(colour="red")))
    (letter,) = await _letters(orders)
    address = f"/dead-letters/{letter['topic']}/{letter['partition']}/{letter['offset']}"
    assert (await orders.post(f"{address}/discard")).json()["status"] == "discarded"
    assert len(await _letters(orders, status="discarded")) == 1


async def test_a_merchant_sees_its_own_dead_letters_and_an_operator_all(orders: Orders) -> None:
    await orders.take_in(raw_record(broken(colour="red")), raw_record(broken(merchant="bolt", colour="red")), raw_record(b"{"))
    assert len(await _letters(orders)) == 1
    (theirs,) = await _letters(orders, by="bolt")
    address = f"/dead-letters/{theirs['topic']}/{theirs['partition']}/{theirs['offset']}"
    assert (await orders.service.acme.get(address)).status_code == 404
    assert (await orders.post(f"{address}/discard")).status_code == 404
    pepper = orders.platform.settings.pepper
    async with orders.platform.engine.begin() as connection:
        key = await create_api_key(connection, "acme", pepper=pepper, scopes=("read", "operator"))
    found = await orders.service.nobody.get("/dead-letters", params={"limit": 2}, headers={"Authorization": f"Bearer {key.token}"})
    assert len(found.json()["items"]) == 2
    assert found.json()["next_cursor"]


# ---------------------------------------------------------------- the allocator


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
    assert await _letters(orders) == []


async def test_an_answer_about_an_order_that_is_not_here_is_kept(orders: Orders) -> None:
    await orders.made("A-1")
    answer = await orders.answer_of("A-1", "allocated")
    await orders.hand_over([answer.but(demand="sales-order/acme/A-2"), answer])
    (letter,) = await _letters(orders)
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


async def test_the_tables_are_as_the_migrations_made_them(orders: Orders) -> None:
    sql = text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'orders'")
    async with orders.platform.reading() as connection:
        found = {(row.table_name, row.column_name) for row in await connection.execute(sql)}
    known = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    assert {row for row in found if row[0] not in {"outbox", "idempotency_key"}} == known
