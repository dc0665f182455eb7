"""Connections in memory that several state partitions share for a batch, and transactions that wait for each other."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.partitions.memory import ConnectionLost, Deadlock, MemoryConnection, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, PartitionId, PartitionRow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
Claimed = tuple[MemoryPartitionStore, PartitionRow]


class Installation:
    """A database whose COMMITs end as told, and what took effect at once."""

    def __init__(self) -> None:
        self.fate = "answered"
        self.applied: list[Mapping[str, Mapping[Any, Any]]] = []
        self.database = MemoryDatabase(lambda: NOON, lambda: asyncio.sleep(0), lambda: self.fate)

    async def claimed(self) -> list[Claimed]:
        """Two state partitions, each by a store of its own."""
        stores = [MemoryPartitionStore(self.database) for _ in range(2)]
        rows = [await store.claim(PartitionId("stock", number), "one") for number, store in enumerate(stores)]
        self.database.on_applied = self.applied.append
        return list(zip(stores, rows, strict=True))

    def batch_nos(self) -> list[int]:
        """As they are committed."""
        return [row["batch_no"] for row in self.database.table("partition").values()]


async def decided(claimed: list[Claimed], shared: MemoryConnection) -> None:
    """A batch of each through one connection, up to its COMMIT."""
    await shared.begin()
    for store, row in claimed:
        store.through = shared
        await decided_alone(store, row)


async def decided_alone(store: MemoryPartitionStore, row: PartitionRow) -> None:
    """A batch, between the beginning of its transaction and COMMIT."""
    now = await store.advance(row.epoch, row.batch_no, {}, 0)
    await store.finish(Batch(row.batch_no + 1, row.epoch, "token", now, {}, 1, 0, "", "0.1.0"), (), {}, ())


async def test_what_goes_through_one_connection_takes_effect_at_once() -> None:
    installation = Installation()
    shared = MemoryConnection(installation.database)
    await decided(await installation.claimed(), shared)
    assert installation.batch_nos() == [0, 0]
    await shared.commit()
    assert [sorted(staged) for staged in installation.applied] == [["batch", "partition"]]
    assert (installation.batch_nos(), installation.database.locks) == ([1, 1], {})


@pytest.mark.parametrize(("fate", "batch_nos"), [("lost_before", [0, 0]), ("lost_after", [1, 1])])
async def test_its_commit_is_lost_for_all_or_none(fate: str, batch_nos: list[int]) -> None:
    installation = Installation()
    shared = MemoryConnection(installation.database)
    await decided(await installation.claimed(), shared)
    installation.fate = fate
    with pytest.raises(ConnectionLost):
        await shared.commit()
    assert (installation.batch_nos(), installation.database.locks) == (batch_nos, {})


async def test_an_ended_session_ends_it_for_all_and_each_has_its_own_connection_still() -> None:
    installation = Installation()
    claimed, shared = await installation.claimed(), MemoryConnection(installation.database)
    await decided(claimed, shared)
    shared.end_session()
    for store, row in claimed:
        with pytest.raises(ConnectionLost):
            store.current()
        store.alone()
        await store.begin()
        await decided_alone(store, row)
        await store.commit()
    assert installation.batch_nos() == [1, 1]


async def test_of_two_transactions_that_wait_for_each_other_one_is_ended() -> None:
    installation = Installation()
    claimed = await installation.claimed()
    connections = [MemoryConnection(installation.database) for _ in range(2)]

    async def both(first: int, second: int, connection: MemoryConnection) -> None:
        await connection.begin()
        await connection.locked(claimed[first][0].partition)
        await asyncio.sleep(0)
        try:
            await connection.locked(claimed[second][0].partition)
        finally:
            await connection.rollback()

    async with asyncio.timeout(5):
        ends = await asyncio.gather(both(0, 1, connections[0]), both(1, 0, connections[1]), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == sorted([Deadlock.__name__, "NoneType"])
    assert not installation.database.locks
