"""kill -9 at every named seam: another process takes over, everything drains, the books balance, and no event is missing or doubled."""

import asyncio
import signal

import pytest

from shared.partitions import crash
from shared.settings import Settings
from tests.support.allocator import channel
from tests.support.careful_reader import careful_reader
from tests.support.children import Child, Children
from tests.support.settling import prove, until_settled
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

SESSION_MS = 2_000
IN_THE_ALLOCATOR = {
    "claimed": 3,
    "polled": 4,
    "fenced": 4,
    "decided": 4,
    "saved": 4,
    "before_commit": 4,
    "committed": 4,
    "half_published": 2,
    "published": 4,
    "stopping": 1,
}
"""The point, and the how-manieth time that it is passed."""
BEFORE_IT_IS_READY = ("claimed",)
IN_THE_API = ("relay_published", "command_written", "command_committed")


def test_every_named_crash_point_is_armed_by_a_test() -> None:
    assert {*IN_THE_ALLOCATOR, *IN_THE_API} == set(crash.POINTS)


@pytest.fixture(scope="module")
def survivor(processes: Children) -> Child:
    """The allocator that takes over from those that die."""
    return processes.start("allocator", group_session_ms=SESSION_MS).await_ready()


@pytest.mark.parametrize("point", IN_THE_ALLOCATOR)
async def test_an_allocator_that_dies_there_does_no_harm(point: str, world: Settings, processes: Children, survivor: Child) -> None:
    work = Workload(point)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock())
        doomed = processes.start("allocator", crash=f"{point}:{IN_THE_ALLOCATOR[point]}", group_session_ms=SESSION_MS)
        if point not in BEFORE_IT_IS_READY:
            await asyncio.to_thread(doomed.await_ready)
        await shop.say(*work.orders())
        if point == "stopping":
            doomed.ask_to_stop()
        assert await asyncio.to_thread(doomed.ended, 30) == -signal.SIGKILL
        await shop.say(*work.changes(), *work.rest_of_stock())
        await until_settled(world.dsn, reader)
        await prove(world.dsn, reader)
        assert work.unserved(reader) == []
