"""What every `PartitionStore` promises, on memory and on the real Postgres: the fence, the batch, the outbox, and each doubt about them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import asyncpg
import pytest

from shared.database import hot_connection
from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, DeadLetter, InputRecord, OutboxRow, PartitionId, PartitionRow, Position
from shared.partitions.ports import FenceLost
from shared.partitions.postgres import PostgresPartitionStore
from shared.schemas.wire import Record
from tests.contract.cutting_proxy import CuttingProxy, cutting_proxy

STOCK = PartitionId("stock", 3)
Store = MemoryPartitionStore | PostgresPartitionStore
CONNECTION_BROKE = (ConnectionLost, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


class MemoryServer:
    """A database in memory that several connections share."""

    def __init__(self) -> None:
        self._fate = "answered"
        self.database = MemoryDatabase(lambda: datetime.now(UTC), lambda: asyncio.sleep(0), lambda: self._fate)

    async def connect(self) -> Store:
        """A connection of its own."""
        return MemoryPartitionStore(self.database)

    async def end_session(self, store: Store) -> None:
        """The server ends the session of a client that does not move."""
        assert isinstance(store, MemoryPartitionStore)
        store.end_session()

    def lose(self, cut: Literal["before", "after"]) -> None:
        """The next COMMIT is lost: before it took effect, or its answer."""
        self._fate = f"lost_{cut}"

    def heal(self) -> None:
        """COMMIT is answered again."""
        self._fate = "answered"


class PostgresServer:
    """The real one, behind a proxy that can cut connections."""

    def __init__(self, proxy: CuttingProxy, connections: AsyncExitStack) -> None:
        self._proxy, self._connections, self._healed = proxy, connections, False

    async def connect(self) -> Store:
        """A connection of its own; behind the proxy until healed."""
        connection = await hot_connection(self._proxy.dsn)
        self._connections.callback(connection.terminate)
        return PostgresPartitionStore(connection)

    async def end_session(self, store: Store) -> None:
        """The server ends the session of a client that does not move."""
        assert isinstance(store, PostgresPartitionStore)
        other = await self.connect()
        assert isinstance(other, PostgresPartitionStore)
        await other.connection.execute("SELECT pg_terminate_backend($1, 5000)", store.connection.get_server_pid())

    def lose(self, cut: Literal["before", "after"]) -> None:
        """The next COMMIT is lost: before it took effect, or its answer."""
        self._proxy.arm(cut)

    def heal(self) -> None:
        """COMMIT is answered again."""
        self._proxy.disarm()


Server = MemoryServer | PostgresServer


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Both implementations in turn."""
    if request.param == "memory":
        yield MemoryServer()
        return
    dsn: str = await asyncio.to_thread(request.getfixturevalue, "database")
    async with cutting_proxy(dsn) as proxy, AsyncExitStack() as connections:
        yield PostgresServer(proxy, connections)


async def claimed(server: Server, partition: PartitionId = STOCK, owner: str = "one") -> tuple[Store, PartitionRow]:
    """A store on a connection of its own, that has claimed the partition."""
    store = await server.connect()
    return store, await store.claim(partition, owner)


def outbox_row(batch_no: int, first: int, last: int, topic: str = "earmark.outcomes", destination: int = 1) -> OutboxRow:
    """A row with one record per sequence number."""
    records = tuple(Record(b"k", f"value {number}".encode(), (("ce_id", str(number).encode()),)) for number in range(first, last + 1))
    return OutboxRow(batch_no, topic, destination, first, last, records)


async def serve(
    store: Store,
    row: PartitionRow,
    *,
    outbox: tuple[OutboxRow, ...] = (),
    marks: Mapping[tuple[str, str], int] | None = None,
    dead: tuple[DeadLetter, ...] = (),
    positions: Mapping[str, Position] | None = None,
    published: int = 0,
    commit: bool = True,
) -> Batch:
    """One batch after `row`, up to its COMMIT."""
    await store.begin()
    now = await store.advance(row.epoch, row.batch_no, positions or {}, published)
    last = max((one.last_sequence for one in outbox), default=row.out_sequence)
    token = str(uuid.uuid4())
    batch = Batch(row.batch_no + 1, row.epoch, token, now, {"earmark.inventory": (0, 5)}, row.out_sequence + 1, last, "", "0.1.0")
    await store.finish(batch, outbox, marks or {}, dead)
    if commit:
        await store.commit()
    return batch


def letter(offset: int, reason: str = "no good", key: bytes | None = b"key", value: bytes | None = b"\x00\xff") -> DeadLetter:
    """A record that could not be read."""
    record = InputRecord("earmark.orders", 2, offset, 1_700_000_000_000, key, value, (("h", b"\xff\x00"), ("none", None)))
    return DeadLetter(record, reason, "lines.0.sku")


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
    second = await serve(store, _after(row, first))
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
    assert (await serve(store, _after(row, first))).logical_time == first.logical_time


def _after(row: PartitionRow, batch: Batch) -> PartitionRow:
    return PartitionRow(
        row.partition, row.incarnation, row.epoch, row.owner, batch.batch_no, batch.logical_time, row.positions, batch.last_sequence,
        row.published_sequence,
    )  # fmt: skip


# ---------------------------------------------------------------- outbox, watermark, marks


async def test_unpublished_rows_come_back_whole_and_in_order(server: Server) -> None:
    store, row = await claimed(server)
    first = outbox_row(1, 1, 2, "earmark.outcomes", 0), outbox_row(1, 3, 3, "earmark.movements", 5)
    batch = await serve(store, row, outbox=first)
    second = (outbox_row(2, 4, 9, "earmark.allocations", 2),)
    await serve(store, _after(row, batch), outbox=second)
    assert await store.unpublished(0) == [*first, *second]
    assert await store.unpublished(2) == [first[1], *second]
    assert await store.unpublished(5) == [*second], "a row is published again whole when its last number is above"
    assert await store.unpublished(9) == []


async def test_the_watermark_is_stored_with_the_next_batch_and_never_sinks(server: Server) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 6),))
    await serve(store, _after(row, batch), published=4)
    _, seen = await claimed(server)
    assert seen.published_sequence == 4
    store, row = await claimed(server)
    await serve(store, row, published=2)
    _, seen = await claimed(server)
    assert seen.published_sequence == 4


async def test_the_watermark_can_be_noted_between_batches_by_the_owner_alone(server: Server) -> None:
    store, row = await claimed(server)
    await serve(store, row, outbox=(outbox_row(1, 1, 6),))
    await store.note_published(row.epoch, 5)
    await store.note_published(row.epoch, 3)
    other, seen = await claimed(server)
    assert seen.published_sequence == 5
    await store.note_published(row.epoch, 6)
    await serve(other, seen)
    _, seen = await claimed(server)
    assert seen.published_sequence == 5


async def test_published_rows_can_be_forgotten_and_others_stay(server: Server) -> None:
    store, row = await claimed(server)
    first, second = outbox_row(1, 1, 2), outbox_row(1, 3, 4, destination=2)
    batch = await serve(store, row, outbox=(first, second))
    await store.forget_published()
    assert await store.unpublished(0) == [first, second]
    await serve(store, _after(row, batch), published=3)
    await store.forget_published()
    assert await store.unpublished(0) == [second]


async def test_published_rows_go_oldest_first_and_no_more_than_asked(server: Server) -> None:
    store, row = await claimed(server)
    rows = tuple(outbox_row(1, number, number, destination=number) for number in range(1, 6))
    await serve(store, row, outbox=rows)
    await store.note_published(row.epoch, 4)
    assert [await store.forget_published(3) for _ in range(3)] == [3, 1, 0]
    assert await store.unpublished(0) == list(rows[4:])


async def test_history_is_forgotten_from_its_beginning_but_for_what_is_young_unpublished_or_the_newest(server: Server) -> None:
    store, row = await claimed(server)
    batches = [await serve(store, row)]
    for _ in range(3):
        batches.append(await serve(store, _after(row, batches[-1])))
    batches.append(await serve(store, _after(row, batches[-1]), outbox=(outbox_row(5, 1, 2),)))
    batches.append(await serve(store, _after(row, batches[-1])))
    assert await store.forget_history(row.epoch, timedelta(days=1)) == 0
    assert await store.forget_history(row.epoch - 1, timedelta(0)) == 0, "not the owner"
    assert [await store.forget_history(row.epoch, timedelta(0), most) for most in (3, 3, 3)] == [3, 1, 0]
    await store.note_published(row.epoch, 2)
    assert [await store.forget_history(row.epoch, timedelta(0)) for _ in range(2)] == [1, 0]
    assert [await store.committed(batch.batch_no, batch.token) for batch in batches] == [False] * 5 + [True]


async def test_marks_are_kept_per_topic_and_source_and_only_rise(server: Server) -> None:
    store, row = await claimed(server)
    one, two, elsewhere = ("earmark.reservations", "demand/0/1"), ("earmark.reservations", "demand/0/2"), ("earmark.outcomes", "demand/0/1")
    batch = await serve(store, row, marks={one: 7, two: 1, elsewhere: 3})
    await serve(store, _after(row, batch), marks={one: 5, two: 2})
    assert await store.marks() == {one: 7, two: 2, elsewhere: 3}


async def test_dead_letters_keep_any_bytes_and_the_same_record_is_kept_once(server: Server) -> None:
    store, row = await claimed(server)
    odd = letter(7, reason="a NUL \x00 in it", key=None, value=None)
    batch = await serve(store, row, dead=(letter(6), odd))
    await serve(store, _after(row, batch), dead=(letter(6, reason="again"),))
    assert await dead_reasons(store) == {6: "no good", 7: "a NUL \x00 in it"}


async def dead_reasons(store: Store) -> dict[int, str]:
    """Offset to reason of every dead letter. Postgres cannot hold a NUL in a text and writes it out."""
    if isinstance(store, MemoryPartitionStore):
        return {letter.record.offset: letter.reason for _, letter in store.current().scan("dead_letter")}
    rows: list[Any] = await store.connection.fetch("SELECT record_offset, reason FROM allocator.dead_letter")
    return {row["record_offset"]: row["reason"].replace("\\0", "\x00") for row in rows}


# ---------------------------------------------------------------- doubt


async def test_only_the_batch_with_its_own_token_counts_as_committed(server: Server) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row)
    assert await store.committed(batch.batch_no, batch.token)
    assert not await store.committed(batch.batch_no, str(uuid.uuid4())), "another owner's batch has the same number"
    assert not await store.committed(batch.batch_no + 1, batch.token)


@pytest.mark.parametrize(("cut", "took_effect"), [("before", False), ("after", True)])
async def test_a_lost_answer_to_commit_is_settled_by_the_token(server: Server, cut: Literal["before", "after"], took_effect: bool) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 2),), commit=False)
    server.lose(cut)
    with pytest.raises(CONNECTION_BROKE):
        await store.commit()
    await store.rollback()
    server.heal()
    fresh, again = await claimed(server, owner="two")
    assert await fresh.committed(1, batch.token) is took_effect
    assert (again.batch_no, again.out_sequence) == ((1, 2) if took_effect else (0, 0))
    assert len(await fresh.unpublished(0)) == int(took_effect)


async def test_a_batch_whose_session_the_server_ended_is_gone_and_holds_nobody_up(server: Server) -> None:
    """As idle_in_transaction_session_timeout does to a frozen process: its next owner must not wait for it."""
    frozen, row = await claimed(server)
    batch = await serve(frozen, row, outbox=(outbox_row(1, 1, 2),), commit=False)
    await server.end_session(frozen)
    fresh, again = await claimed(server, owner="two")
    assert (again.batch_no, await fresh.committed(1, batch.token)) == (0, False)
    with pytest.raises(CONNECTION_BROKE):
        await frozen.commit()
    await frozen.rollback()
    with pytest.raises(CONNECTION_BROKE):
        await frozen.begin()
    await serve(fresh, again)


@pytest.mark.integration
async def test_dead_letters_that_were_settled_long_ago_go_and_no_others(database: str) -> None:
    """In memory nobody settles them."""
    connection = await asyncpg.connect(database)
    store = PostgresPartitionStore(connection)
    row = await store.claim(PartitionId("demand", 2), "one")
    positions = {"earmark.orders": Position(9, 8, 1, "")}
    await serve(store, row, dead=tuple(map(letter, range(1, 6))), positions=positions)
    settle = "UPDATE allocator.dead_letter SET status = $1, settled_at = now() - $2::interval WHERE record_offset = $3"
    for status, days, offset in (("replayed", 40, 1), ("discarded", 31, 2), ("replayed", 29, 3)):
        await connection.execute(settle, status, timedelta(days=days), offset)
    await connection.execute("UPDATE allocator.dead_letter SET partition = 3, settled_at = '2020-01-01' WHERE record_offset = 5")
    keep = timedelta(days=30)
    assert await store.forget_settled(row.epoch - 1, keep) == 0, "not the owner"
    assert [await store.forget_settled(row.epoch, keep, 1) for _ in range(3)] == [1, 1, 0]
    assert sorted(await dead_reasons(store)) == [3, 4, 5]
    await connection.close()
