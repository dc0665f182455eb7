"""Batches of several state partitions in one transaction, on the real Postgres: each is promised what it is promised alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
import pytest

from services.allocator.stock_side import StockSettings, StockSide
from services.allocator.store.demand import DemandRowsMissing, PostgresDemandStorage
from services.allocator.store.demand_ports import Page
from services.allocator.store.stock import PostgresStockStorage
from shared.database import hot_connection
from shared.partitions.joint import JointBatchLost, JointTransaction, Member
from shared.partitions.model import Batch, PartitionId, PartitionRow, Position
from shared.partitions.ports import FenceLost
from shared.partitions.postgres import PostgresPartitionStore
from tests.contract.cutting_proxy import CuttingProxy, cutting_proxy
from tests.contract.partition_servers import letter, outbox_row, serve
from tests.contract.test_demand_store import row as demand_row
from tests.unit.allocator.stock_script import Script
from tests.unit.allocator.stock_stories import Story

pytestmark = pytest.mark.integration
NAMES = (PartitionId("stock", 0), PartitionId("stock", 1), PartitionId("demand", 1))
POSITION = Position(17, 16, 1_700_000_000_123, "abcdef")
Claimed = tuple[PostgresPartitionStore, PartitionRow]


@dataclass(frozen=True, slots=True)
class Together:
    """Claimed partitions, each with a connection of its own, and the connection for what they do together."""

    proxy: CuttingProxy
    connections: AsyncExitStack
    shared: asyncpg.Connection
    claimed: Sequence[Claimed]

    async def connect(self, **settings: Any) -> asyncpg.Connection:
        """One more."""
        connection = await hot_connection(self.proxy.dsn, **settings)
        self.connections.callback(connection.terminate)
        return connection

    async def claim(self, partition: PartitionId, owner: str) -> Claimed:
        """By another process."""
        store = PostgresPartitionStore(await self.connect())
        return store, await store.claim(partition, owner)

    async def of(self, parts: Sequence[Awaitable[Any]]) -> list[Any]:
        """What came of each part of a joint transaction, in which all partitions take part."""
        transaction = JointTransaction(self.shared, len(parts))
        stores = [store for store, _ in self.claimed[: len(parts)]]
        try:
            return await asyncio.gather(
                *[_took_part(part, store, Member(transaction)) for part, store in zip(parts, stores, strict=True)], return_exceptions=True
            )
        finally:
            await transaction.end()

    async def batches(self) -> list[Any]:
        """A batch of each, with all that a batch may leave behind."""
        return await self.of([self.batch(number) for number in range(len(self.claimed))])

    def batch(self, number: int) -> Awaitable[Batch]:
        """One of them."""
        store, row = self.claimed[number]
        told = (outbox_row(1, 1, 2), outbox_row(1, 3, 3 + number, "earmark.movements"))
        marks = {("earmark.reservations", f"demand/{number}/1"): 9 + number}
        return serve(store, row, outbox=told, marks=marks, dead=(letter(number),), positions={"earmark.inventory": POSITION})


async def _took_part(part: Awaitable[Any], store: PostgresPartitionStore, member: Member) -> Any:
    """As a state partition ends a batch that fails."""
    store.link.through = member
    try:
        return await part
    except BaseException:
        await store.rollback()
        raise
    finally:
        store.link.alone()
        member.end()


@pytest.fixture
async def together(database: str) -> AsyncIterator[Together]:
    async with cutting_proxy(database) as proxy, AsyncExitStack() as connections:
        made = Together(proxy, connections, await hot_connection(proxy.dsn), [])
        connections.callback(made.shared.terminate)
        claimed = [await made.claim(partition, "one") for partition in NAMES]
        yield Together(proxy, connections, made.shared, claimed)


async def test_all_are_committed_in_one_transaction_and_each_finds_what_it_left(together: Together) -> None:
    batches = await together.batches()
    for number, (batch, (_, before)) in enumerate(zip(batches, together.claimed, strict=True)):
        store, after = await together.claim(before.partition, "two")
        assert (after.batch_no, after.out_sequence, after.logical_time) == (1, 3 + number, batch.logical_time)
        assert after.positions == {"earmark.inventory": POSITION}
        assert await store.committed(1, batch.token)
        assert await store.unpublished(0) == [outbox_row(1, 1, 2), outbox_row(1, 3, 3 + number, "earmark.movements")]
        assert await store.marks() == {("earmark.reservations", f"demand/{number}/1"): 9 + number}
    written = await together.shared.fetch("SELECT DISTINCT xmin::text FROM allocator.batch")
    letters = await together.shared.fetch("SELECT record_offset FROM allocator.dead_letter ORDER BY 1")
    assert (len(written), [row[0] for row in letters]) == (1, [0, 1, 2])


async def test_three_ask_no_more_of_the_server_than_one(together: Together) -> None:
    asked: list[str] = []
    together.shared.add_query_logger(lambda query: asked.append(query.query.split()[0]))
    await together.of([serve(store, row) for store, row in together.claimed])
    assert asked == ["BEGIN;", "UPDATE", "WITH", "COMMIT;"]


async def test_where_one_has_lost_its_fence_nothing_of_anybody_is_written_and_it_alone_is_told_why(together: Together) -> None:
    lost = together.claimed[1][1].partition
    await together.claim(lost, "two")
    outcomes = await together.batches()
    assert [type(one) for one in outcomes] == [JointBatchLost, FenceLost, JointBatchLost]
    for store, before in together.claimed:
        _, after = await together.claim(before.partition, "three")
        assert (after.batch_no, after.positions, await store.unpublished(0), await store.marks()) == (0, {}, [], {})
    assert await together.shared.fetchval("SELECT count(*) FROM allocator.dead_letter") == 0


@pytest.mark.parametrize("fails_at", ["before it began", "in the midst", "at its end"])
async def test_a_part_that_fails_by_itself_takes_the_others_along(together: Together, fails_at: str) -> None:
    async def failing() -> None:
        store, row = together.claimed[0]
        if fails_at != "before it began":
            await serve(store, row, commit=False) if fails_at == "at its end" else await store.begin()
        raise RuntimeError(fails_at)

    outcomes = await together.of([failing(), together.batch(1), together.batch(2)])
    assert [type(one) for one in outcomes] == [RuntimeError, JointBatchLost, JointBatchLost]
    assert await together.shared.fetchval("SELECT sum(batch_no) FROM allocator.state_partition") == 0


@pytest.mark.parametrize(("cut", "took_effect"), [("before", False), ("after", True)])
async def test_a_lost_answer_to_commit_leaves_all_in_the_same_doubt_which_each_settles(
    together: Together, cut: Literal["before", "after"], took_effect: bool
) -> None:
    together.proxy.arm(cut)
    outcomes = await together.batches()
    together.proxy.disarm()
    assert [type(one) for one in outcomes] == 3 * [JointBatchLost]
    for _, before in together.claimed:
        store, after = await together.claim(before.partition, "two")
        assert (after.batch_no, len(await store.unpublished(0))) == ((1, 2) if took_effect else (0, 0))


async def test_who_claims_one_of_them_ends_a_joint_transaction_that_does_not_move(together: Together) -> None:
    """Its process was frozen in the midst. The next owner of one partition frees all of them."""
    frozen = asyncio.Event()

    async def stops(store: PostgresPartitionStore, row: PartitionRow) -> None:
        await serve(store, row, commit=False)
        frozen.set()
        await asyncio.Event().wait()

    first, others = together.claimed[0], together.claimed[1:]
    running = asyncio.create_task(together.of([stops(*first), *[serve(store, row) for store, row in others]]))
    await frozen.wait()
    _, waiting = others[0]
    store = PostgresPartitionStore(await together.connect(lock_timeout="200"))
    async with asyncio.timeout(5):
        row = await store.claim(waiting.partition, "two")
        await serve(store, row)
        _, after = await together.claim(first[1].partition, "two")
    assert (row.batch_no, after.batch_no) == (0, 0)
    running.cancel()
    await asyncio.wait({running})


async def test_a_claim_ends_nobody_who_has_nothing_to_do_with_the_row(together: Together) -> None:
    bystander, (store, row) = together.shared, together.claimed[0]
    await bystander.execute("BEGIN")
    await bystander.execute("DELETE FROM allocator.dead_letter")
    await serve(store, row, commit=False)
    claiming = PostgresPartitionStore(await together.connect(lock_timeout="200"))
    await claiming.claim(row.partition, "two")
    await bystander.execute("COMMIT")
    assert store.connection.is_closed() or not await _answers(store.connection)


async def _answers(connection: asyncpg.Connection) -> bool:
    try:
        return bool(await connection.fetchval("SELECT true"))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False


# ---------------------------------------------------------------- what the sides ask and write


async def test_everybody_gets_the_rows_that_it_asked_for(together: Together) -> None:
    storages = [PostgresDemandStorage(store.link) for store, _ in together.claimed]
    rows = [[demand_row(10 * number + one) for one in range(number + 1)] for number in range(3)]

    async def written(number: int) -> list[Any]:
        store, storage = together.claimed[number][0], storages[number]
        await store.begin()
        await storage.turn(number, Page(1, rows[number]), [])
        await storage.insert(number, 1, rows[number])
        if number:
            await storage.update(number, 2, [rows[number][0]._replace(version=9)])
        asked = [one.demand for one in rows[number]]
        found = await storage.load(number, [*asked, "sales-order/acme/nobody", *asked])
        ended = await storage.ended(number, 5)
        await storage.forget(number, asked[:1])
        await store.commit()
        assert ended == []
        return sorted(found)

    found = await together.of([written(number) for number in range(3)])
    assert found == [rows[0], *[[rows[n][0]._replace(version=9), *rows[n][1:]] for n in (1, 2)]]
    for number, storage in enumerate(storages):
        assert sorted(await storage.load(number, [one.demand for one in rows[number]])) == rows[number][1:]
        assert await storage.pages(number) == [Page(1, rows[number])]


async def test_who_writes_rows_that_are_not_there_is_found_when_it_is_alone(together: Together) -> None:
    storages = [PostgresDemandStorage(store.link) for store, _ in together.claimed]
    await storages[0].insert(0, 1, [demand_row(1)])

    async def updated(number: int) -> None:
        store = together.claimed[number][0]
        await store.begin()
        await storages[number].update(number, 1, [demand_row(number + 1)])
        await store.commit()

    outcomes = await together.of([updated(0), updated(1)])
    assert [type(one) for one in outcomes] == [JointBatchLost, JointBatchLost]
    await updated(0)
    with pytest.raises(DemandRowsMissing, match="UPDATE 0 of 1"):
        await updated(1)


@pytest.mark.parametrize("seed", range(6))
async def test_sides_together_send_what_each_sends_alone_in_memory(together: Together, seed: int) -> None:
    """Three stories at once, about three SKUs, in joint transactions; taken over now and then."""
    stories = [
        _Told(Story(seed * 3 + number, sku), store) for number, (sku, (store, _)) in enumerate(zip("ABC", together.claimed, strict=True))
    ]
    for turn in range(min(len(story.batches) for story in stories)):
        if turn % 4 == 0:
            for number, story in enumerate(stories):
                await story.side.resume(PartitionId("stock", number))
        wanted = [story.sends_in_memory(turn) for story in stories]
        assert await together.of([story.sends() for story in stories]) == wanted


class _Told:
    """A story that a side in memory and one on Postgres are told."""

    def __init__(self, story: Story, store: PostgresPartitionStore) -> None:
        self.batches = story.batches()
        self.side = StockSide(PostgresStockStorage(store.link), StockSettings(level_interval_ms=0))
        self._store, self._script = store, Script()
        self._seen: tuple[Any, datetime] | None = None
        decide = self._script.partition.side.decide

        async def noting(messages: Any, now: datetime) -> Any:
            self._seen = messages, now
            return await decide(messages, now)

        self._script.partition.side.decide = noting  # listens in; the real one decides

    def sends_in_memory(self, turn: int) -> list[Any]:
        """What the side in memory says."""
        return self._script.sends(*self.batches[turn])

    async def sends(self) -> list[Any]:
        """What the one on Postgres says of the same."""
        assert self._seen is not None, "memory comes first"
        await self._store.begin()
        sends = await self.side.decide(*self._seen)
        await self.side.save()
        await self._store.commit()
        return sends
