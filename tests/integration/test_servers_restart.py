"""Kafka and Postgres die, restart and freeze under load: nothing is lost or doubled, and work goes on by itself when they are back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import psutil
import pytest

from shared.database import hot_connection
from shared.local.stack import LocalStack
from shared.settings import Settings
from shared.world import prepare
from tests.support.allocator import Channel, channel, settings_for
from tests.support.careful_reader import careful_reader
from tests.support.children import Child, children
from tests.support.settling import prove, until_settled
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

FROZEN_SECONDS = 8
RESUMED_WITHIN_SECONDS = 15
PAUSE_SECONDS = 0.05


class Floor:
    """Servers of this module alone, and two allocators on them."""

    def __init__(self, stack: LocalStack, settings: Settings, allocators: tuple[Child, Child]) -> None:
        self.stack, self.settings, self.allocators = stack, settings, allocators

    async def batches(self) -> int:
        """How many batches were ever committed."""
        connection = await hot_connection(self.settings.dsn, "test")
        try:
            count: int = await connection.fetchval("SELECT sum(batch_no)::bigint FROM allocator.state_partition")
            return count
        finally:
            await connection.close()

    async def await_progress(self, since: int) -> float:
        """Wait until batches are committed again; returns how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(RESUMED_WITHIN_SECONDS):
            while True:
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    if await self.batches() > since:
                        return time.monotonic() - began
                await asyncio.sleep(PAUSE_SECONDS)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """Not the servers of the session: these tests kill them."""
    folder = tmp_path_factory.mktemp("restarts")
    stack = LocalStack(folder / "servers", tied_to_parent=True, brief=True)
    stack.start()
    settings = settings_for(stack.kafka_bootstrap, stack.postgres_dsn)
    asyncio.run(prepare(settings))
    with children(settings, folder / "children") as started:
        first, second = started.start("allocator"), started.start("allocator")
        yield Floor(stack, settings, (first.await_ready(), second.await_ready()))
    stack.clean()


@asynccontextmanager
async def _under_load(floor: Floor, name: str) -> AsyncIterator[None]:
    """Orders are said all the while; afterwards all of them have their final allocation, and the books balance."""
    work = Workload(name, count=150, skus=20)
    async with channel(floor.settings.bootstrap) as shop, careful_reader(floor.settings.bootstrap) as reader:
        await shop.say(*work.first_stock(), *work.orders(slice(20)))
        saying = asyncio.create_task(_say_slowly(shop, work))
        yield
        await saying
        await shop.say(*work.changes(), *work.rest_of_stock())
        await until_settled(floor.settings.dsn, reader)
        await prove(floor.settings.dsn, reader)
        assert work.unserved(reader) == []
    assert [child.troubles() for child in floor.allocators] == [[], []]


async def _say_slowly(shop: Channel, work: Workload) -> None:
    """For about as long as the fault lasts; a broker that is away holds it up."""
    for number in range(20, work.count, 5):
        await shop.say(*work.orders(slice(number, number + 5)))
        await asyncio.sleep(PAUSE_SECONDS)


def _kill_and_start_kafka(stack: LocalStack) -> None:
    stack.kafka.kill()
    stack.kafka.start()


FAULTS: dict[str, Callable[[LocalStack], object]] = {
    "kafka-killed": _kill_and_start_kafka,
    "kafka-restarted": lambda stack: stack.kafka.restart(),
    "postgres-restarted-fast": lambda stack: stack.postgres.restart("fast"),
    "postgres-restarted-immediate": lambda stack: stack.postgres.restart("immediate"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_restart_under_load_loses_and_doubles_nothing(fault: str, floor: Floor) -> None:
    async with _under_load(floor, fault):
        began = time.monotonic()
        await asyncio.to_thread(FAULTS[fault], floor.stack)
        back = time.monotonic() - began
        print(f"{fault}: back after {back:.1f} s, batches again {await floor.await_progress(await floor.batches()):.1f} s later")


async def test_a_frozen_postgres_is_waited_for_with_time_outs_and_used_again(floor: Floor) -> None:
    async with _under_load(floor, "postgres-frozen"):
        before = await floor.batches()
        frozen = _processes_of(floor.stack)
        for process in frozen:
            process.suspend()
        try:
            await _expect_answers(floor, FROZEN_SECONDS)
        finally:
            for process in frozen:
                process.resume()
        print(f"batches again {await floor.await_progress(before):.1f} s after the thaw")


def _processes_of(stack: LocalStack) -> list[psutil.Process]:
    identity = stack.postgres.running()
    assert identity is not None
    first = psutil.Process(identity.pid)
    return [first, *first.children(recursive=True)]


async def _expect_answers(floor: Floor, seconds: float) -> None:
    """All the while health answers at once: nothing hangs but what waits for Postgres, and that not for ever."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for child in floor.allocators:
            assert (await asyncio.to_thread(child.health))[0] == 200
        await asyncio.sleep(0.5)
    assert all("TimeoutError" in child.said() for child in floor.allocators), "no statement was given up"
