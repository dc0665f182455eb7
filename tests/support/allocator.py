"""Drive a real allocator from outside: say things on its input topics, hear what it tells."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from services.allocator.api.routes import read_only_api
from services.allocator.app import partition_process
from shared.http import Ledger
from shared.kafka import producer_settings, stop_client
from shared.partitions.process import PartitionProcess
from shared.schemas import topics
from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.events import Demand, OrderChanged
from shared.schemas.values import DemandKind, Line, Wish, demand_id, sku_key
from shared.schemas.wire import Envelope, decode, encode, header_map, partition_of
from shared.settings import Settings
from shared.world import prepare
from tests.support.beside import beside
from tests.support.topic_reading import from_the_beginning

PARTITIONS = 8
RIDES_OUT_MS = 90_000
"""How long a record waits for a broker that a test has stopped; a broker needs half a minute to start on a busy machine."""
MERCHANT = "acme"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS = frozenset({"allocation_changed", "stock_moved", "stock_command_refused", "stock_level_changed", "dead_letter"})


def settings_for(bootstrap: str, dsn: str) -> Settings:
    """Settings of an allocator on these servers."""
    return Settings(kafka=bootstrap, postgres=SecretStr(dsn), api_key_pepper=SecretStr("p" * 40), kafka_replication=1, kafka_min_insync=1)


@asynccontextmanager
async def allocator(settings: Settings) -> AsyncIterator[PartitionProcess]:
    """One allocator in this process, over prepared topics and tables."""
    await prepare(settings)
    process = partition_process(settings)
    async with beside(process.run()):
        yield process


@asynccontextmanager
async def read_only_http(settings: Settings) -> AsyncIterator[Callable[[str], Ledger]]:
    """The allocator's own HTTP over these tables, as services pass it on: from what answers meanwhile to the ledger that they are given."""
    api = read_only_api(settings)
    async with api.router.lifespan_context(api):
        yield lambda meanwhile: Ledger("http://allocator", meanwhile, httpx.ASGITransport(api))


def order(number: str, lines: dict[str, int], *, version: int = 1, wish: Wish = Wish.STOCK, **more: Any) -> OrderChanged:
    """An order as the orders service tells it."""
    demand = Demand(
        id=demand_id(DemandKind.SALES_ORDER, MERCHANT, number),
        merchant=MERCHANT,
        version=version,
        wish=wish,
        lines=tuple(Line(sku=sku, units=units) for sku, units in lines.items()),
        **{"demanded_at": NOON} | more,
    )
    return OrderChanged(demand=demand, number=number, status="awaiting_fulfillment", changed_at=NOON)


def receipt(command: str, sku: str, units: int, **more: Any) -> ReceiveStock:
    """A receipt into the default warehouse."""
    place = {"warehouse": "main", "bin": "A-1"} | more
    return ReceiveStock(command_id=command, merchant=MERCHANT, sku=sku, units=units, issued_at=NOON, **place)


def adjustment(command: str, sku: str, change: int, reason: Any, **more: Any) -> AdjustStock:
    """An adjustment in the default warehouse."""
    place = {"warehouse": "main", "bin": "A-1"} | more
    return AdjustStock(command_id=command, merchant=MERCHANT, sku=sku, change=change, reason=reason, issued_at=NOON, **place)


class Channel:
    """Says messages on the topics where they belong, and collects everything that the allocator tells."""

    def __init__(self, producer: Any, consumer: Any) -> None:
        self._producer, self._consumer = producer, consumer
        self._said = 0
        self.heard: list[Any] = []

    async def say(self, *messages: OrderChanged | ReceiveStock | AdjustStock) -> None:
        """Publish, and return when acknowledged."""
        for message in messages:
            key = _key_of(message)
            await self.say_astray(message, partition_of(key, PARTITIONS))

    async def say_astray(self, message: OrderChanged | ReceiveStock | AdjustStock, partition: int) -> int:
        """Publish into this partition, wherever it belongs; returns its offset."""
        self._said += 1
        record = encode(message, key=_key_of(message), envelope=Envelope("test", self._said), time=NOON)
        topic = topics.ORDERS if isinstance(message, OrderChanged) else topics.INVENTORY
        return await self.say_bytes(topic.name, partition, record.value, record.key, record.headers)

    async def say_bytes(self, topic: str, partition: int, value: bytes | None, key: bytes = b"x", headers: Iterable[Any] = ()) -> int:
        """Publish anything at all; returns its offset."""
        sent = await self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)
        offset: int = sent.offset
        return offset

    async def hear(self, wanted: Callable[[list[Any]], bool], seconds: float = 30) -> None:
        """Listen until the predicate over everything heard so far holds. Fails with what was heard instead."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted(self.heard):
                    for records in (await self._consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            self.heard.extend(_decoded(record))
        except TimeoutError:
            raise AssertionError(f"not heard within {seconds} s; heard: {self.heard[-10:]}") from None

    def newest(self, number: str) -> Any:
        """The allocation of highest version that was told of an order, or None."""
        wanted = demand_id(DemandKind.SALES_ORDER, MERCHANT, number)
        told = [one for one in self.heard if one.type == "allocation_changed" and one.demand == wanted]
        return max(told, key=lambda one: one.version, default=None)

    async def outcome(self, number: str, outcome: str, seconds: float = 30) -> Any:
        """Listen until the newest word on the order is this outcome, and return it."""

        def told(_: list[Any]) -> bool:
            newest = self.newest(number)
            return newest is not None and newest.outcome == outcome

        await self.hear(told, seconds)
        return self.newest(number)


def _key_of(message: OrderChanged | ReceiveStock | AdjustStock) -> str:
    return message.demand.id if isinstance(message, OrderChanged) else sku_key(message.merchant, message.sku)


def _decoded(record: Any) -> tuple[Any, ...]:
    if record.topic == topics.DEAD_LETTERS.name:
        return ()
    return decode(record.value, header_map(record.headers), KINDS)


@asynccontextmanager
async def channel(bootstrap: str) -> AsyncIterator[Channel]:
    """A producer, and a consumer of all public topics of the allocator from their beginning."""
    producer = AIOKafkaProducer(**producer_settings(bootstrap) | {"request_timeout_ms": RIDES_OUT_MS})
    await producer.start()
    told = (topics.ALLOCATIONS.name, topics.MOVEMENTS.name, topics.STOCK_LEVELS.name)
    try:
        async with from_the_beginning(bootstrap, *told, partitions=PARTITIONS) as consumer:
            yield Channel(producer, consumer)
    finally:
        await stop_client(producer)
