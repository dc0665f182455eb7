"""kill -9 at every named seam: another process takes over, everything drains, the books balance, and no event is missing or doubled."""

import asyncio
import contextlib
import signal

import httpx
import pytest

from shared.partitions import crash
from shared.settings import Settings
from tests.support.allocator import channel, receipt
from tests.support.careful_reader import careful_reader
from tests.support.children import Child, Children
from tests.support.crashing import IN_THE_ALLOCATOR, IN_THE_API
from tests.support.settling import prove, until_settled
from tests.support.shop import api_key, shop
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

SESSION_MS = 2_000


def test_every_named_crash_point_is_armed_by_a_test() -> None:
    assert {*IN_THE_ALLOCATOR, *IN_THE_API} == set(crash.POINTS)


@pytest.fixture(scope="module")
def survivor(processes: Children) -> Child:
    """The allocator that takes over from those that die."""
    return processes.start("allocator", group_session_ms=SESSION_MS).await_ready()


@pytest.fixture(scope="module")
def key(world: Settings) -> str:
    """An API key of the merchant."""
    return asyncio.run(api_key(world))


@pytest.mark.parametrize("point", IN_THE_ALLOCATOR)
async def test_an_allocator_that_dies_there_does_no_harm(point: str, world: Settings, processes: Children, survivor: Child) -> None:
    work = Workload(point)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock())
        doomed = processes.start("allocator", crash=f"{point}:{IN_THE_ALLOCATOR[point]}", group_session_ms=SESSION_MS)
        await asyncio.to_thread(doomed.await_ready_or_dead)  # what it publishes again at a takeover counts as well
        await shop.say(*work.orders())
        if point == "stopping":
            doomed.ask_to_stop()
        assert await asyncio.to_thread(doomed.ended, 30) == -signal.SIGKILL
        await shop.say(*work.changes(), *work.rest_of_stock())
        await until_settled(world.dsn, reader)
        await prove(world.dsn, reader)
        assert work.unserved(reader) == []


@pytest.mark.parametrize("point", IN_THE_API)
async def test_an_orders_process_that_dies_there_does_no_harm(
    point: str, world: Settings, processes: Children, survivor: Child, key: str
) -> None:
    number, order = f"{point.replace('_', '-')}-1", {"lines": [{"sku": point, "units": 3}]}
    async with channel(world.bootstrap) as stock, careful_reader(world.bootstrap) as reader:
        await stock.say(receipt(point, point, 3))
        doomed = await asyncio.to_thread(processes.start("orders", crash=f"{point}:1", group_session_ms=SESSION_MS).await_ready)
        async with shop(doomed, key) as caller:
            with contextlib.suppress(httpx.TransportError):
                await caller.command("POST", "/orders", "key-" + point, {"number": number, **order})
        assert await asyncio.to_thread(doomed.ended, 30) == -signal.SIGKILL

        successor = await asyncio.to_thread(processes.start("orders", group_session_ms=SESSION_MS).await_ready)
        async with shop(successor, key) as caller:
            assert (await caller.order(number) is None) == (point == "command_written")
            answers = [await caller.command("POST", "/orders", "key-" + point, {"number": number, **order}) for _ in range(2)]
            assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
            assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [
                "true" if point != "command_written" else None,
                "true",
            ]
            allocated = await caller.until(number, "allocated")
        assert (allocated["version"], allocated["lines"][0]["reserved_units"]) == (1, 3)
        await until_settled(world.dsn, reader)
        await prove(world.dsn, reader)
        assert reader.newest(number).outcome == "allocated"
        successor.kill()
