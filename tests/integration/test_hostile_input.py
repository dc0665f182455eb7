"""While hostile clients do all they can to the HTTP of orders and of the allocator, and to the topics that others write, the orders of
everybody else are allocated as ever, and no process grows."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from shared.kafka import MAX_MESSAGE_BYTES
from shared.schemas import topics
from shared.settings import Settings
from tests.contract.hostile_records import HOSTILE
from tests.support.allocator import PARTITIONS, Channel, channel, receipt
from tests.support.beside import beside
from tests.support.careful_reader import careful_reader
from tests.support.children import Child, Children
from tests.support.hostile_clients import IDLE, Hostiles, attack
from tests.support.poison import kind
from tests.support.settling import prove, until_settled
from tests.support.shop import Shop, api_key, shop

pytestmark = pytest.mark.integration

SKUS = [f"CUP-{number}" for number in range(8)]
ATTACK_SECONDS = 4.0
MOST_GROWTH_BYTES = 150 * 2**20


def _poison() -> list[bytes | None]:
    """Records for any topic: the corpus, and what costs most to refuse among what a broker takes."""
    room = MAX_MESSAGE_BYTES - 300
    names = b"{" + b"".join(b'"%x":1,' % number for number in range(room // 11)) + b'"x":1,"x":2}'
    return [one.value for one in HOSTILE if len(one.value or b"") < room] + [names, b"[" * room, b'{"a":' * (room // 5)]


async def _poisoned(said: Channel) -> None:
    """On every topic that others write, in every partition, until cancelled."""
    wrong = itertools.cycle(_poison())
    kinds = {topics.ORDER_INTAKE: "order_intake", topics.ORDERS: "order_changed", topics.INVENTORY: "receive_stock"}
    for partition in itertools.cycle(range(PARTITIONS)):
        for topic, name in kinds.items():
            await said.say_bytes(topic.name, partition, next(wrong), b"bad", kind(name))
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _under_attack(world: Settings, *hostiles: Hostiles) -> AsyncIterator[None]:
    async with channel(world.bootstrap) as said, beside(*map(attack, hostiles), _poisoned(said)) as attacks:
        yield
        assert not any(one.done() for one in attacks), [one.exception() for one in attacks if one.done()]


async def _serve(client: Shop, seconds: float) -> None:
    """Orders, one after the other, each allocated while its client waits."""
    until = time.monotonic() + seconds
    for number in itertools.count():
        body = {"number": f"GOOD-{number}", "lines": [{"sku": SKUS[number % len(SKUS)], "units": 1}]}
        answer = await client.command("POST", "/orders", f"good-{number}", body, Prefer="wait=10")
        assert (answer.status_code, answer.json().get("allocation_status")) == (200, "allocated"), answer.text
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.05)


async def test_whatever_hostile_clients_send_the_orders_of_others_are_allocated(world: Settings, processes: Children) -> None:
    allocator, orders = (processes.start(kind, max_connections=IDLE) for kind in ("allocator", "orders"))
    for child in (allocator, orders):
        child.await_ready()
    good, bad = await api_key(world), await api_key(world, "bolt")
    hostiles = [Hostiles(int(child.url.rpartition(":")[2]), bad, child is orders) for child in (allocator, orders)]
    async with careful_reader(world.bootstrap) as reader, shop(orders, good) as client:
        async with channel(world.bootstrap) as said:
            await said.say(*(receipt(f"stock-of-{sku}", sku, 10_000) for sku in SKUS))
        await until_settled(world.dsn, reader)
        before = {child.name: _memory(child) for child in (allocator, orders)}
        async with _under_attack(world, *hostiles):
            await _serve(client, ATTACK_SECONDS)
        grown = {child.name: _memory(child) - before[child.name] for child in (allocator, orders)}
        assert max(grown.values()) < MOST_GROWTH_BYTES, grown
        await until_settled(world.dsn, reader)
        await prove(world.dsn, reader)
    assert all(one.cut > 0 for one in hostiles), "there are more than there may be"
    assert {400, 431} <= hostiles[0].answers.keys()
    assert {400, 401, 413, 431} <= hostiles[1].answers.keys()
    assert allocator.troubles() == []
    assert [*_errors(orders), *_errors(allocator)] == []


def _errors(child: Child) -> list[str]:
    """What it logged as an error of its own. aiokafka calls it one when a topic so new has no leader yet, and asks again."""
    return [line for line in child.said().splitlines() if " ERROR " in line and " aiokafka." not in line]


def _memory(child: Child) -> int:
    return int(psutil.Process(child.process.pid).memory_info().rss)
