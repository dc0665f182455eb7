"""Who uses the installation meanwhile: a web shop over HTTP, a sales channel over Kafka, a warehouse, and somebody who says things twice,
late, or in no language at all."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

from services.console.demo.plan import ANNEX, BINS, MAIN
from shared.kafka import consumer_settings, stop_client
from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import INVENTORY, ORDER_INTAKE, ORDERS
from shared.schemas.values import Fill, Line
from shared.schemas.wire import Envelope, Record, encode
from tests.chaos.caller import Caller
from tests.chaos.promises import Promise, Promises
from tests.chaos.stage import Stage
from tests.support.allocator import MERCHANT, PARTITIONS
from tests.support.poison import Poison, on_inventory, on_orders

SKUS = [f"SKU-{number:03}" for number in range(40)]
HOT = SKUS[:3]
IN_MAIN = [(MAIN, BINS[MAIN][0]), (MAIN, BINS[MAIN][1])]
PLACES = [*IN_MAIN, (ANNEX, BINS[ANNEX][0])]
VERSIONS_AT_MOST = 4
INTAKE = (("ce_type", b"earmark.order_intake.v1"),)
LARGEST_POISON = 200_000
"""Bytes. The broker itself takes no more than a megabyte."""
WAIT_SECONDS = (0.02, 0.25)


def lines_of(random: Random) -> dict[str, int]:
    """What an order wants: one to four SKUs, a few of them hot."""
    skus = {random.choice(HOT if random.random() < 0.3 else SKUS) for _ in range(random.randint(1, 4))}
    return {sku: random.randint(1, 5) for sku in sorted(skus)}


def _json(lines: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"sku": sku, "units": units} for sku, units in lines.items()]


class WebShop:
    """Makes orders over HTTP, edits, cancels, deallocates and allocates them. Each order has one client: its last word counts."""

    def __init__(self, name: str, stage: Stage, promises: Promises, caller: Caller) -> None:
        self._name, self._random, self._promises, self._caller = name, Random(f"{name} {stage.random.random()}"), promises, caller
        self._made = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is finished."""
        while not stop.is_set():
            await (self._make() if self._random.random() < 0.55 else self._change())
            await asyncio.sleep(self._random.uniform(*WAIT_SECONDS))

    async def _make(self) -> None:
        self._made += 1
        number, lines = f"{self._name}-{self._made}", lines_of(self._random)
        fill = {"fill": Fill.ALL_OR_NOTHING.value} if self._random.random() < 0.3 else {}
        body = {"number": number, "lines": _json(lines), "warehouses": [MAIN, ANNEX], "priority": self._random.randint(0, 2), **fill}
        answer = await self._caller.command("orders", "POST", "/orders", body)
        if not answer.is_success:
            self._promises.faults.append(f"POST /orders {number}: {answer.text}")
            return
        self._promises.orders[number] = Promise(lines, answer.json()["version"])

    async def _change(self) -> None:
        mine = [number for number, one in self._promises.orders.items() if number.startswith(self._name) and not one.is_canceled]
        if not mine:
            return
        number = self._random.choice(mine)
        promise, change = self._promises.orders[number], self._random.choice((self._edit, self._cancel, self._toggle))
        await change(f"/orders/{number}", promise)

    async def _edit(self, path: str, promise: Promise) -> None:
        lines = lines_of(self._random)
        if await self._told("PATCH", path, {"lines": _json(lines)}, promise):
            promise.lines = lines

    async def _cancel(self, path: str, promise: Promise) -> None:
        if await self._told("POST", f"{path}/cancel", {"reason": "changed their mind"}, promise):
            promise.is_canceled = True

    async def _toggle(self, path: str, promise: Promise) -> None:
        if await self._told("POST", f"{path}/{'deallocate' if promise.wants_stock else 'allocate'}", {}, promise):
            promise.wants_stock = not promise.wants_stock

    async def _told(self, method: str, path: str, body: Any, promise: Promise) -> bool:
        """Whether the command was accepted."""
        answer = await self._caller.command("orders", method, path, body)
        if answer.is_success:
            promise.version = answer.json()["version"]
        else:
            self._promises.counts["commands refused"] += 1
        return answer.is_success


class Mouth:
    """Says records on Kafka until they are acknowledged; what was said before a failure is said again."""

    def __init__(self, stage: Stage) -> None:
        self._writer, self._random = KafkaLogWriter(stage.settings.bootstrap), stage.random

    async def say(self, topic: str, partition: int, *records: Record) -> None:
        row = OutboxRow(0, topic, partition, 1, len(records), records)
        while True:
            try:
                await self._writer.publish([row])
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(self._random.uniform(0.2, 1))
            else:
                return

    async def close(self) -> None:
        await self._writer.close()


class Channel:
    """A sales channel: every version of every order on Kafka, in whatever order and partition, some of them twice."""

    def __init__(self, stage: Stage, promises: Promises, mouth: Mouth) -> None:
        self._random, self._promises, self._mouth = Random(f"channel {stage.random.random()}"), promises, mouth
        self._made = self._said = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop: a few orders at a time, all of their versions shuffled."""
        while not stop.is_set():
            messages = [message for _ in range(3) for message in self._versions()]
            messages += self._random.sample(messages, len(messages) // 3)
            self._random.shuffle(messages)
            for message in messages:
                await self._say(message)
                await asyncio.sleep(self._random.uniform(*WAIT_SECONDS) / 4)

    def _versions(self) -> list[OrderIntake]:
        self._made += 1
        number, count = f"channel-{self._made}", self._random.randint(1, VERSIONS_AT_MOST)
        contents = [lines_of(self._random) for _ in range(2)]
        lines = [self._random.choice(contents) for _ in range(count)]  # so that a later one may say what an earlier one said
        is_canceled = self._random.random() < 0.2
        self._promises.orders[number] = Promise(lines[-1] if not is_canceled else {}, is_canceled=is_canceled)
        return [self._message(number, version, one, is_canceled and version == count) for version, one in enumerate(lines, 1)]

    def _message(self, number: str, version: int, lines: dict[str, int], is_canceled: bool) -> OrderIntake:
        return OrderIntake(
            merchant=MERCHANT,
            number=number,
            version=version,
            canceled=is_canceled,
            lines=tuple(Line(sku=sku, units=units) for sku, units in lines.items()),
            demanded_at=datetime.now(UTC),
            warehouses=(MAIN, ANNEX),
            channel="market place",
        )

    async def _say(self, message: OrderIntake) -> None:
        self._said += 1
        record = encode(message, key="anything", envelope=Envelope("channel", self._said), time=datetime.now(UTC))
        await self._mouth.say(ORDER_INTAKE.name, self._random.randrange(PARTITIONS), record)
        self._promises.counts["messages of a channel"] += 1


class Warehouse:
    """Receives stock, and finds that some is broken."""

    def __init__(self, stage: Stage, promises: Promises, caller: Caller) -> None:
        self._random, self._promises, self._caller = Random(f"warehouse {stage.random.random()}"), promises, caller

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is finished."""
        while not stop.is_set():
            if self._random.random() < 0.7:
                await self.receive({sku: self._random.randint(1, 20) for sku in self._random.sample(SKUS, 5)})
            else:
                await self._adjust(self._random.choice(SKUS), -self._random.randint(1, 10))
            await asyncio.sleep(2 * self._random.uniform(*WAIT_SECONDS))

    async def receive(self, units: Mapping[str, int], places: Sequence[tuple[str, str]] = PLACES) -> None:
        """So many units of each SKU, wherever there is place. What ships whole is served from one warehouse, the first that it names."""
        put = [(sku, self._random.choice(places), count) for sku, count in units.items()]
        receipts = [{"sku": sku, "warehouse": place[0], "bin": place[1], "units": count} for sku, place, count in put]
        await self._command("/receipts/bulk", {"receipts": receipts})

    async def _adjust(self, sku: str, change: int) -> None:
        warehouse, place = self._random.choice(PLACES)
        await self._command("/adjustments", {"sku": sku, "warehouse": warehouse, "bin": place, "change": change, "reason": "DAMAGED"})

    async def _command(self, path: str, body: Any) -> None:
        answer = await self._caller.command("inventory", "POST", path, body)
        if not answer.is_success:
            self._promises.faults.append(f"POST {path}: {answer.text}")


class Nuisance:
    """Says again what was said before, out of its order, and what nobody can read."""

    def __init__(self, stage: Stage, promises: Promises, mouth: Mouth) -> None:
        self._stage, self._promises, self._mouth = stage, promises, mouth
        self._random = Random(f"nuisance {stage.random.random()}")
        self._heard: list[tuple[str, int, Record]] = []
        poison = [(INVENTORY.name, one) for one in on_inventory("SKU-000")]
        poison += [(ORDERS.name, one) for one in on_orders("SKU-000", "nobody", 100_000)]
        self._poison = [(topic, _record(one)) for topic, one in poison if len(one.value or b"") < LARGEST_POISON]
        self._poison.append((ORDER_INTAKE.name, Record(b"x", b'{"merchant": "acme"}', INTAKE)))

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        listening = asyncio.create_task(self._listen())
        try:
            while not stop.is_set():
                await (self._repeat() if self._random.random() < 0.7 else self._talk_nonsense())
                await asyncio.sleep(4 * self._random.uniform(*WAIT_SECONDS))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _repeat(self) -> None:
        if self._heard:
            topic, partition, record = self._random.choice(self._heard)
            await self._mouth.say(topic, partition, record)
            self._promises.counts["records repeated late"] += 1

    async def _talk_nonsense(self) -> None:
        topic, record = self._random.choice(self._poison)
        await self._mouth.say(topic, self._random.randrange(PARTITIONS), record)
        self._promises.counts["records of poison"] += 1

    async def _listen(self) -> None:
        """Whatever is said on the inputs that others may write to."""
        while True:
            consumer: Any = aiokafka.AIOKafkaConsumer(**consumer_settings(self._stage.settings.bootstrap))
            try:
                await consumer.start()
                consumer.assign([aiokafka.TopicPartition(topic.name, n) for topic in (ORDERS, INVENTORY) for n in range(PARTITIONS)])
                await consumer.seek_to_beginning()
                while True:
                    for one, records in (await consumer.getmany(timeout_ms=500)).items():
                        known = (Record(record.key or b"", record.value or b"", tuple(record.headers)) for record in records)
                        self._heard += [(one.topic, one.partition, record) for record in known]
            except (KafkaError, OSError):
                await asyncio.sleep(1)
            finally:
                await stop_client(consumer)


def _record(poison: Poison) -> Record:
    return Record(b"x", poison.value or b"", tuple((name, value or b"") for name, value in poison.headers))
