"""Inventory and a real allocator over the real Kafka: commands are posted or refused, and everyone can see why."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.console import dead_letters
from shared.kafka import producer_settings
from shared.schemas.topics import DEAD_LETTERS, MOVEMENTS, STOCK_LEVELS
from shared.schemas.values import Wish
from shared.schemas.wire import Envelope, encode
from shared.settings import Settings
from tests.builders.inventory import AT, level, moved, refused
from tests.support.allocator import channel, order
from tests.support.http_service import settings_for
from tests.support.inventory_service import PLACE, Inventory, inventory, inventory_and_allocator
from tests.support.topic_reading import everything_on

pytestmark = pytest.mark.integration


async def until(service: Inventory, path: str, wanted: Any, seconds: float = 20) -> Any:
    """The JSON of a query, once it is as wanted."""
    found: Any = None
    try:
        async with asyncio.timeout(seconds):
            while not wanted(found := await service.get(path)):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{path} is still {found}") from None
    return found


@pytest.mark.accept("003-24", "003-25", "000-37", "000-07")
async def test_what_is_received_and_adjusted_shows_in_levels_records_and_movements(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as service:
        await service.furnish("A", "B")
        receipt = await service.receive("A", 10, lot="L1", cause="PO-1")
        assert (receipt["status"], receipt["answer"]["on_hand_before"], receipt["answer"]["on_hand_after"]) == ("posted", 0, 10)
        await service.receive("A", 4, lot="L2")
        adjustment = await service.adjust("A", -3, "DAMAGED", lot="L1", note="wet")
        assert (adjustment["status"], adjustment["answer"]["on_hand_after"], adjustment["answer"]["record"]) == ("posted", 7, 1)
        stock = await until(service, "/stock/A", lambda found: found["total"]["on_hand_units"] == 11)
        assert [level["warehouse"] for level in stock["warehouses"]] == ["W1"]
        assert (await service.get("/stock"))["items"] == [{"sku": "A"} | stock["total"]]
        records = (await service.get("/stock/A/records"))["items"]
        assert [(one["lot"], one["on_hand"], one["available"]) for one in records] == [("L1", 7, 7), ("L2", 4, 4)]
        moves = (await service.get("/stock/A/records/1/movements"))["items"]
        assert [(one["change"], one["on_hand_after"], one["reason"]) for one in moves] == [(-3, 7, "DAMAGED"), (10, 10, "")]
        assert (await service.get("/commands?status=posted&sku=A"))["items"][0]["command_id"] == adjustment["command_id"]
        assert (await service.send("GET", "/stock/A/records/9/holders")).json()["field"] == "record"
        assert (await service.send("GET", "/stock/A/records", by="bolt")).status_code == 404
        assert (await service.get("/records", by="bolt"))["items"] == []


@pytest.mark.accept("000-03", "000-09", "000-29", "002-07")
async def test_who_holds_a_record_is_listed_and_sums_to_what_is_allocated(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as service, channel(fresh_topics) as shop:
        await service.furnish("A")
        await service.receive("A", 10)
        await shop.say(order("1", {"A": 4}, warehouses=("W1",)), order("2", {"A": 3}, warehouses=("W1",)))
        await shop.outcome("1", "allocated")
        await shop.outcome("2", "allocated")
        found = await service.get("/stock/A/records/1/holders")
        assert sorted((one["demand"], one["allocated"]) for one in found["items"]) == [("sales-order/acme/1", 4), ("sales-order/acme/2", 3)]
        assert (found["record"]["allocated"], found["record"]["available"], found["record"]["on_hand"]) == (7, 3, 10)
        stock = await until(service, "/stock/A", lambda found: found["total"]["allocated_units"] == 7)
        assert stock["total"] == {"on_hand_units": 10, "held_units": 0, "allocated_units": 7, "available_units": 3}


@pytest.mark.accept("000-39")
async def test_the_history_of_a_record_tells_increases_decreases_and_releases(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as service, channel(fresh_topics) as shop:
        await service.furnish("A")
        await service.receive("A", 10, cause="PO-1")
        await shop.say(order("1", {"A": 4}, warehouses=("W1",)), order("2", {"A": 5}, warehouses=("W1",)))
        for number in ("1", "2"):
            await shop.outcome(number, "allocated")
        await shop.say(order("1", {"A": 4}, version=2, wish=Wish.CLOSED, warehouses=("W1",)))
        await shop.outcome("1", "released")
        await shop.say(order("2", {"A": 2}, version=2, warehouses=("W1",)))
        await until(service, "/stock/A/records", lambda found: found["items"][0]["allocated"] == 2)
        await service.adjust("A", -1, "DAMAGED")
        moves = (await service.get("/stock/A/records/1/movements"))["items"]
        assert [(one["kind"], one["change"], one["released_units"], one["cause"]) for one in moves] == [
            ("adjust", -1, 0, ""),
            ("release", 0, 3, "sales-order/acme/2"),
            ("release", 0, 4, "sales-order/acme/1"),
            ("receive", 10, 0, "PO-1"),
        ]
        assert [one["on_hand_after"] for one in moves] == [9, 10, 10, 10]


async def test_what_the_allocator_refuses_is_told_with_the_remedy_and_stays_refused(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as service:
        await service.furnish("A")
        await service.receive("A", 2)
        below = await service.adjust("A", -3)
        assert (below["status"], below["answer"]["reason"]) == ("refused", "below_zero")
        assert below["answer"]["remedy"]
        await service.receive("A", 5)
        assert (await service.get(below["url"])) == below


async def test_many_receipts_are_answered_together(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as service:
        skus = [f"S{number:03d}" for number in range(200)]
        await service.furnish(*skus)
        answer = await service.post("/receipts/bulk", {"receipts": [PLACE | {"sku": sku, "units": 3} for sku in skus]}, wait=30)
        assert (answer.status_code, answer.json()["pending"]) == (200, 0)
        assert {one["status"] for one in answer.json()["commands"]} == {"posted"}
        assert answer.headers["preference-applied"] == "wait=30"


async def test_answers_of_two_processes_reach_whoever_waits_at_either(database: str, fresh_topics: str) -> None:
    async with inventory_and_allocator(database, fresh_topics) as one, inventory(database, fresh_topics) as other:
        await one.furnish("A", "B")
        answers = await asyncio.gather(*(each.receive(sku, 1) for each in (one, other) for sku in ("A", "B") for _ in range(5)))
        assert {answer["status"] for answer in answers} == {"posted"}
        stock = await until(other, "/stock/A", lambda found: found["total"]["on_hand_units"] == 10)
        assert stock == await one.get("/stock/A")


# ---------------------------------------------------------------- the projections alone, told by hand


class Teller:
    """Says on the allocator's topics what a test wants."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer, self._said = producer, 0

    async def tell(self, topic: str, message: Any, partition: int = 0) -> None:
        self._said += 1
        record = encode(message, key="acme/A", envelope=Envelope("stock/0/1", self._said), time=AT)
        await self._producer.send_and_wait(topic, record.value, key=record.key, partition=partition, headers=list(record.headers))

    async def tell_bytes(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        await self._producer.send_and_wait(topic, value, key=b"acme/A", partition=0, headers=headers)


@pytest.fixture
async def teller(fresh_topics: str) -> Any:
    producer = AIOKafkaProducer(**producer_settings(fresh_topics))
    await producer.start()
    yield Teller(producer)
    await producer.stop()


async def test_levels_that_come_late_or_twice_change_nothing(database: str, fresh_topics: str, teller: Teller) -> None:
    async with inventory(database, fresh_topics) as service:
        await service.furnish("A")
        for version, on_hand in ((2, 20), (3, 30), (1, 10), (3, 99), (2, 20)):
            await teller.tell(STOCK_LEVELS.name, level("A", version, on_hand=on_hand))
        await teller.tell(STOCK_LEVELS.name, level("LAST", 1))
        await until(service, "/stock", lambda found: len(found["items"]) == 2)
        found = await service.get("/stock/A")
        assert (found["ledger_version"], found["total"]["on_hand_units"]) == (3, 30)


async def test_the_first_answer_to_a_command_stands(database: str, fresh_topics: str, teller: Teller) -> None:
    async with inventory(database, fresh_topics) as service:
        await service.furnish("A")
        await service.post("/receipts", PLACE | {"sku": "A", "units": 5, "command_id": "c1"})
        await service.post("/receipts", PLACE | {"sku": "A", "units": 5, "command_id": "c2"})
        await teller.tell(MOVEMENTS.name, moved("c1"))
        await teller.tell(MOVEMENTS.name, refused("c1"))
        await teller.tell(MOVEMENTS.name, moved("a command of someone else".replace(" ", "-")))
        await teller.tell(MOVEMENTS.name, refused("c2"))
        await until(service, "/commands/c2", lambda found: found["status"] == "refused")
        assert (await service.get("/commands/c1"))["status"] == "posted"


async def test_what_can_not_be_read_becomes_a_dead_letter_and_holds_up_nobody(database: str, fresh_topics: str, teller: Teller) -> None:
    poison: list[tuple[bytes, list[tuple[str, bytes]]]] = [
        (b"not json", [("ce_type", b"earmark.stock_level_changed.v1")]),
        (b"{}", [("ce_type", b"earmark.stock_level_changed.v1")]),
        (b"{}", [("ce_type", b"earmark.order_changed.v1")]),
        (b"{}", [("ce_type", b"\xff\xfe")]),
        (b"{}", []),
    ]
    async with inventory(database, fresh_topics) as service:
        await service.furnish("A")
        for value, headers in poison:
            await teller.tell_bytes(STOCK_LEVELS.name, value, headers)
        await teller.tell(STOCK_LEVELS.name, level("A", 1))
        await until(service, "/stock", lambda found: found["items"])
        async with asyncio.timeout(20):
            while await service.service.rows("inventory.outbox"):
                await asyncio.sleep(0.05)
    letters = await everything_on(fresh_topics, DEAD_LETTERS.name)
    assert [letter.value for letter in letters] == [value for value, _ in poison]
    assert all(dict(letter.headers)["earmark_dead_reason"] for letter in letters)
    assert {dict(letter.headers)["earmark_dead_offset"] for letter in letters} == {b"0", b"1", b"2", b"3", b"4"}


async def test_dead_letters_of_inventory_are_listed_replayed_and_discarded(database: str, fresh_topics: str, teller: Teller) -> None:
    console = settings_for(database, fresh_topics)
    async with inventory(database, fresh_topics) as service:
        await service.furnish("A")
        await teller.tell_bytes(STOCK_LEVELS.name, b"first", [("ce_type", b"earmark.stock_level_changed.v1")])
        await teller.tell_bytes(STOCK_LEVELS.name, b"second", [("ce_type", b"earmark.stock_level_changed.v1")])
        first, second = await _waiting_letters(console, 2)
        assert (first.service, first.field, first.value) == ("inventory", "value", b"first")
        await dead_letters.discard(console, second.place)
        assert (await dead_letters.replay(console, first.place)).status == "replayed"
        (again,) = await _waiting_letters(console, 1)
    assert (again.value, again.place.offset) == (b"first", 2), "what is refused again is a new letter"


async def _waiting_letters(console: Settings, many: int) -> list[dead_letters.Letter]:
    async with asyncio.timeout(20):
        while len(found := await dead_letters.listed(console)) != many:
            await asyncio.sleep(0.1)
    return found


async def test_a_newer_schema_stops_the_projection_and_not_the_service(database: str, fresh_topics: str, teller: Teller) -> None:
    async with inventory(database, fresh_topics) as service:
        await service.furnish("A")
        await teller.tell_bytes(STOCK_LEVELS.name, b"{}", [("ce_type", b"earmark.stock_level_changed.v2")])
        await teller.tell(STOCK_LEVELS.name, level("A", 1))
        await until(service, "/health/ready", lambda found: "stands still" in str(found))
        assert (await service.get("/stock"))["items"] == []
        assert (await service.post("/receipts", PLACE | {"sku": "A", "units": 1})).status_code == 202
