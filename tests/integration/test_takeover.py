"""Two allocators share the partitions; one dies, freezes or stops, and the other goes on: each partition has one writer at any time."""

import asyncio
import time

import asyncpg
import pytest

from shared.settings import Settings
from tests.support.allocator import Channel, channel
from tests.support.careful_reader import CarefulReader, careful_reader
from tests.support.children import Child, Children
from tests.support.settling import prove, until_settled
from tests.support.shares import EVERYTHING, HALF, connected, until_shared
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

FROZEN_SECONDS = 12
TAKEN_WITHIN_SECONDS = 10
HANDED_OVER_WITHIN_SECONDS = 5


@pytest.fixture(scope="module")
def allocators() -> list[Child]:
    """Those that the tests of this module have started."""
    return []


@pytest.fixture
def pair(processes: Children, allocators: list[Child]) -> tuple[Child, Child]:
    """Two allocators that share all partitions, with the time-outs of production. The second is the one that did not suffer before."""
    alive = [child for child in allocators if child.process.poll() is None]
    fresh = [processes.start("allocator") for _ in range(2 - len(alive))]
    allocators[:] = [*(child.await_ready() for child in fresh), *alive]
    return allocators[0], allocators[1]


async def _end(world: Settings, work: Workload, shop: Channel, reader: CarefulReader) -> None:
    """Bring the rest of the stock, let it settle, and hold everything to its promise."""
    await shop.say(*work.changes(), *work.rest_of_stock())
    await until_settled(world.dsn, reader)
    await prove(world.dsn, reader)
    assert work.unserved(reader) == []


async def test_a_graceful_stop_hands_over_at_once_and_leaves_nothing_unpublished(world: Settings, pair: tuple[Child, Child]) -> None:
    leaving, staying = pair
    work = Workload("leave", count=60)
    await until_shared(world, {leaving.owner: HALF, staying.owner: HALF}, 10)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock(), *work.orders(slice(30)))
        leaving.ask_to_stop()
        saying = asyncio.create_task(shop.say(*work.orders(slice(30, None))))
        took = await until_shared(world, {staying.owner: EVERYTHING}, HANDED_OVER_WITHIN_SECONDS)
        print(f"everything handed over {took:.1f} s after the wish")
        await asyncio.to_thread(leaving.ended)
        assert "Application shutdown complete" in leaving.said()
        await saying
        await _end(world, work, shop, reader)


async def test_a_process_that_comes_back_from_a_freeze_writes_nothing_of_what_it_held(world: Settings, pair: tuple[Child, Child]) -> None:
    zombie, survivor = pair
    work = Workload("freeze", count=120)
    await until_shared(world, {zombie.owner: HALF, survivor.owner: HALF}, 10)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock(), *work.orders(slice(20)))
        saying = asyncio.create_task(shop.say(*work.orders(slice(20, None))))
        await asyncio.sleep(0.1)
        zombie.freeze()
        frozen_at = time.monotonic()
        await saying
        took = await until_shared(world, {survivor.owner: EVERYTHING}, TAKEN_WITHIN_SECONDS)
        print(f"everything taken over {took:.1f} s after the freeze")
        await asyncio.sleep(max(0.0, FROZEN_SECONDS - (time.monotonic() - frozen_at)))
        async with connected(world) as connection:
            before = await _batches_by_epoch(connection)
            rows = await connection.fetch("SELECT concat(side, '/', number) AS partition, epoch FROM allocator.state_partition")
            current = {row["partition"]: row["epoch"] for row in rows}
        zombie.thaw()
        await _end(world, work, shop, reader)
        async with connected(world) as connection:
            after = await _batches_by_epoch(connection)
        old = {key: count for key, count in after.items() if key[1] < current[key[0]]}
        assert old == {key: count for key, count in before.items() if key in old}, "it wrote a batch under an epoch that was over"
    await asyncio.to_thread(zombie.await_ready, 20)
    await until_shared(world, {zombie.owner: HALF, survivor.owner: HALF}, 20)


async def _batches_by_epoch(connection: asyncpg.Connection) -> dict[tuple[str, int], int]:
    rows = await connection.fetch(
        "SELECT concat(side, '/', number) AS partition, epoch, count(*) AS number FROM allocator.batch GROUP BY 1, 2"
    )
    return {(row["partition"], row["epoch"]): row["number"] for row in rows}


async def test_the_survivor_serves_everything_within_seconds_of_a_kill(world: Settings, pair: tuple[Child, Child]) -> None:
    doomed, survivor = pair
    work = Workload("kill", count=60)
    await until_shared(world, {doomed.owner: HALF, survivor.owner: HALF}, 10)
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock(), *work.orders(slice(30)))
        doomed.kill()
        saying = asyncio.create_task(shop.say(*work.orders(slice(30, None))))
        took = await until_shared(world, {survivor.owner: EVERYTHING}, TAKEN_WITHIN_SECONDS)
        print(f"everything taken over {took:.1f} s after the kill")
        await saying
        await _end(world, work, shop, reader)
