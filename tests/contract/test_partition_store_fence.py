"""What every partition store promises of claims, the fence and time, on memory and on the real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import PartitionId, Position
from shared.partitions.ports import FenceLost
from tests.contract.partition_servers import (
    STOCK,
    Server,
    after,
    claimed,
    letter,
    outbox_row,
    serve,
)

# ---------------------------------------------------------------- claiming


async def test_the_first_claim_makes_the_row(server: Server) -> None:
    _, row = await claimed(server)
    assert (row.partition, row.incarnation, row.epoch, row.owner, row.batch_no) == (STOCK, 1, 1, "one", 0)
    assert (row.out_sequence, row.published_sequence, dict(row.positions)) == (0, 0, {})
    assert row.source == "stock/3/1"


async def test_every_claim_raises_the_epoch_and_keeps_the_rest(server: Server) -> None:
    store, row = await claimed(server)
    position = Position(17, 15, 1_700_000_000_123, "abcdef")
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 4),), positions={"earmark.inventory": position})
    _, again = await claimed(server, owner="two")
    assert (again.epoch, again.owner, again.batch_no, again.out_sequence) == (2, "two", 1, 4)
    assert again.positions == {"earmark.inventory": position}
    assert again.logical_time == batch.logical_time


async def test_partitions_do_not_see_each_other(server: Server) -> None:
    store, row = await claimed(server)
    await serve(store, row, outbox=(outbox_row(1, 1, 2),), marks={("earmark.reservations", "demand/0/1"): 9})
    other, fresh = await claimed(server, PartitionId("demand", 3))
    assert (fresh.epoch, fresh.batch_no) == (1, 0)
    assert await other.marks() == {}
    assert await other.unpublished(0) == []


# ---------------------------------------------------------------- the fence


async def test_a_batch_passes_the_fence_once(server: Server) -> None:
    store, row = await claimed(server)
    await serve(store, row)
    await store.begin()
    with pytest.raises(FenceLost):
        await store.advance(row.epoch, row.batch_no, {}, 0)
    await store.rollback()


@pytest.mark.parametrize(("epochs", "batches"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
async def test_another_epoch_or_batch_number_does_not_pass(server: Server, epochs: int, batches: int) -> None:
    store, row = await claimed(server)
    await store.begin()
    with pytest.raises(FenceLost):
        await store.advance(row.epoch + epochs, row.batch_no + batches, {}, 0)
    await store.rollback()


async def test_a_zombie_writes_nothing(server: Server) -> None:
    zombie, old = await claimed(server)
    owner, new = await claimed(server, owner="two")
    await zombie.begin()
    with pytest.raises(FenceLost):
        await zombie.advance(old.epoch, old.batch_no, {"earmark.inventory": Position(99)}, 0)
    await zombie.rollback()
    await serve(owner, new)
    _, row = await claimed(server)
    assert (row.batch_no, dict(row.positions)) == (1, {})


async def test_a_new_owner_waits_for_the_batch_that_is_open_and_sees_it(server: Server) -> None:
    old_owner, old = await claimed(server)
    batch = await serve(old_owner, old, outbox=(outbox_row(1, 1, 3),), commit=False)
    claiming = asyncio.create_task(claimed(server, owner="two"))
    await asyncio.sleep(0.1)
    assert not claiming.done(), "the row of the partition is locked"
    await old_owner.commit()
    new_owner, new = await claiming
    assert (new.epoch, new.batch_no, new.out_sequence) == (2, 1, 3)
    assert await new_owner.committed(1, batch.token)
    await old_owner.begin()
    with pytest.raises(FenceLost):
        await old_owner.advance(old.epoch, 1, {}, 0)
    await old_owner.rollback()


async def test_of_two_owners_with_the_same_epoch_one_passes(server: Server) -> None:
    """By a bug elsewhere. The second waits for the row, and the condition is evaluated again on what the first one left."""
    second, _ = await claimed(server)
    first, row = await claimed(server)
    await serve(first, row, commit=False)
    await second.begin()
    passing = asyncio.create_task(second.advance(row.epoch, row.batch_no, {}, 0))
    await asyncio.sleep(0.1)
    assert not passing.done(), "the row of the partition is locked"
    await first.commit()
    with pytest.raises(FenceLost):
        await passing
    await second.rollback()


async def test_a_rolled_back_batch_leaves_nothing(server: Server) -> None:
    store, row = await claimed(server)
    batch = await serve(
        store, row, outbox=(outbox_row(1, 1, 2),), marks={("earmark.reservations", "demand/0/1"): 4}, dead=(letter(1),), commit=False
    )
    await store.rollback()
    assert not await store.committed(1, batch.token)
    assert (await store.unpublished(0), await store.marks()) == ([], {})
    await serve(store, row)  # the fence stands where it stood


async def test_nobody_sees_a_batch_before_commit(server: Server) -> None:
    watcher, _ = await claimed(server)
    store, row = await claimed(server, owner="two")
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 2),), marks={("earmark.reservations", "demand/0/1"): 4}, commit=False)
    assert (await watcher.unpublished(0), await watcher.marks(), await watcher.committed(1, batch.token)) == ([], {}, False)
    await store.commit()
    assert [one.last_sequence for one in await watcher.unpublished(0)] == [2]
    assert await watcher.marks() == {("earmark.reservations", "demand/0/1"): 4}


async def test_rollback_without_a_transaction_does_nothing(server: Server) -> None:
    store, row = await claimed(server)
    await store.rollback()
    await serve(store, row)


# ---------------------------------------------------------------- logical time


async def test_logical_time_is_the_databases_and_never_goes_back(server: Server) -> None:
    store, row = await claimed(server)
    first = await serve(store, row)
    second = await serve(store, after(row, first))
    assert row.logical_time <= first.logical_time <= second.logical_time
    assert abs(second.logical_time - datetime.now(UTC)) < timedelta(minutes=1)
    assert second.logical_time.utcoffset() == timedelta(0)


async def test_logical_time_stands_still_while_the_clock_is_behind_it() -> None:
    """Only in memory: nobody turns back the clock of a real server here. Postgres takes the greater of both in its statement."""
    clock = [datetime(2026, 5, 1, tzinfo=UTC)]
    database = MemoryDatabase(lambda: clock[0])
    store = MemoryPartitionStore(database)
    row = await store.claim(STOCK, "one")
    first = await serve(store, row)
    clock[0] -= timedelta(hours=1)
    assert (await serve(store, after(row, first))).logical_time == first.logical_time
