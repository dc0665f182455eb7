"""Who uses the installation over Kafka meanwhile: a sales channel, and somebody who says things twice, late, or in no language at all."""

import asyncio
import contextlib
from datetime import UTC, datetime
from random import Random

from aiokafka.errors import KafkaError

from services.console.demo.plan import ANNEX, MAIN
from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import INVENTORY, ORDER_INTAKE, ORDERS
from shared.schemas.values import Line
from shared.schemas.wire import Envelope, Record, encode
from tests.chaos.goods import WAIT_SECONDS, lines_of
from tests.chaos.promises import Promise, Promises
from tests.chaos.stage import Stage
from tests.support.allocator import MERCHANT, PARTITIONS
from tests.support.beside import beside
from tests.support.poison import Poison, on_inventory, on_orders
from tests.support.topic_reading import from_the_beginning

VERSIONS_AT_MOST = 4
INTAKE = (("ce_type", b"earmark.order_intake.v1"),)
LARGEST_POISON = 200_000
"""Bytes. The broker itself takes no more than a megabyte."""


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
        async with beside(self._listen()):
            while not stop.is_set():
                await (self._repeat() if self._random.random() < 0.7 else self._talk_nonsense())
                await asyncio.sleep(4 * self._random.uniform(*WAIT_SECONDS))

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
            with contextlib.suppress(KafkaError, OSError):
                async with from_the_beginning(self._stage.settings.bootstrap, ORDERS.name, INVENTORY.name) as consumer:
                    while True:
                        for one, records in (await consumer.getmany(timeout_ms=500)).items():
                            known = (Record(record.key or b"", record.value or b"", tuple(record.headers)) for record in records)
                            self._heard += [(one.topic, one.partition, record) for record in known]
            await asyncio.sleep(1)


def _record(poison: Poison) -> Record:
    return Record(b"x", poison.value or b"", tuple((name, value or b"") for name, value in poison.headers))
