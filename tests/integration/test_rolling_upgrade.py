"""A rolling restart: processes of this release and of the next serve side by side, and take partitions from each other, to and fro."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from shared.migrations import migrate
from shared.partitions.partition import CODE_VERSION
from shared.schemas.events import OrderChanged
from shared.schemas.topics import OUTCOMES, RESERVATIONS
from shared.schemas.wire import header_map
from shared.settings import Settings
from tests.support import next_release
from tests.support.allocator import Channel, channel
from tests.support.careful_reader import careful_reader
from tests.support.children import Child, Children
from tests.support.migrations import NEXT, migrations_and_one_more
from tests.support.settling import prove, until_settled
from tests.support.shares import EVERYTHING, HALF, connected, until_shared
from tests.support.topic_reading import everything_on
from tests.support.workload import Workload

pytestmark = pytest.mark.integration

EXPANDED = """
ALTER TABLE allocator.state_partition ADD COLUMN served_by text;
ALTER TABLE allocator.reservation ADD COLUMN note text NOT NULL DEFAULT '';
ALTER TABLE allocator.demand ADD COLUMN note text NOT NULL DEFAULT '';
"""
"""What the next release may add while this one runs."""
_SERVED = "SELECT count(DISTINCT (side, number)) FROM allocator.batch"
WITHIN_SECONDS = 30
SAID_AT_ONCE = 20


async def test_orders_flow_while_this_release_gives_way_to_the_next_and_comes_back(
    world: Settings, processes: Children, tmp_path: Path
) -> None:
    work = Workload("roll", count=4 * SAID_AT_ONCE)
    shares = [slice(start, start + SAID_AT_ONCE) for start in range(0, work.count, SAID_AT_ONCE)]
    imported = asyncio.create_task(asyncio.to_thread(processes.start, "allocator", code=next_release.MODULE))
    ours = processes.start("allocator")
    async with channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        await shop.say(*work.first_stock(), *work.orders(shares[0]))
        assert await migrate(world.dsn, scripts=migrations_and_one_more(tmp_path, EXPANDED)) == NEXT
        await _until_most_have_served(world)
        newer = await imported
        async with _saying(shop, work.orders(shares[1])):
            await _until_shared(world, (ours, HALF), (newer, HALF))
        async with _saying(shop, work.orders(shares[2])):
            ours.ask_to_stop()
            await _until_shared(world, (newer, EVERYTHING))
        async with _saying(shop, work.orders(shares[3])):
            ours = processes.start("allocator")
            await _until_shared(world, (ours, HALF), (newer, HALF))
        await shop.say(*work.changes(), *work.rest_of_stock())
        await until_settled(world.dsn, reader)
        await prove(world.dsn, reader)
        assert work.unserved(reader) == []
    await _expect_both_to_have_served(world)


@asynccontextmanager
async def _saying(shop: Channel, orders: Iterable[OrderChanged]) -> AsyncIterator[None]:
    """Orders come in while partitions move."""
    saying = asyncio.create_task(shop.say(*orders))
    yield
    await saying


async def _until_shared(world: Settings, *wanted: tuple[Child, dict[str, int]]) -> None:
    """Kafka's group has handed over, and each has claimed what is its own."""
    await until_shared(world, {child.owner: share for child, share in wanted}, WITHIN_SECONDS)
    assert not any(child.troubles() for child, _ in wanted)


async def _until_most_have_served(world: Settings) -> None:
    """More than half of all: whichever half is taken away, some of it has been served."""
    async with connected(world) as connection, asyncio.timeout(WITHIN_SECONDS):
        while await connection.fetchval(_SERVED) <= sum(HALF.values()):
            await asyncio.sleep(0.05)


async def _expect_both_to_have_served(world: Settings) -> None:
    """The next release's partitions came back to this one, which read what that had written."""
    async with connected(world) as connection:
        rows = await connection.fetch("SELECT side, number, code_version FROM allocator.batch ORDER BY side, number, batch_no")
    versions: dict[tuple[str, int], list[str]] = {}
    for row in rows:
        versions.setdefault((row["side"], row["number"]), []).append(row["code_version"])
    handed_over = {pair for served in versions.values() for pair in pairwise(served)}
    assert (CODE_VERSION, next_release.VERSION) in handed_over, "a batch of the next release follows one of this"
    assert (next_release.VERSION, CODE_VERSION) in handed_over, "and one of this again"
    told = await everything_on(world.bootstrap, RESERVATIONS.name, OUTCOMES.name)
    assert {header_map(one.headers).get(next_release.HEADER) for one in told} == {None, next_release.VERSION}
