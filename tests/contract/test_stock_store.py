"""What every `StockStorage` promises: one suite, run on memory and on the real Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql

from services.allocator.core.stock.levels import NOTHING_TOLD
from services.allocator.core.stock.rows import (
    BatonRow,
    LevelsRound,
    MovementRow,
    QueueRow,
    RecordRow,
    ReservationRow,
    StockChanges,
    StoredDeadlines,
    StoredSku,
    Telling,
)
from services.allocator.core.stock.settings import StockSettings
from services.allocator.stock_side import StockSide
from services.allocator.store import stock, stock_tables
from services.allocator.store.stock import PostgresStockStorage, StockRowsMissing
from services.allocator.store.stock_memory import MemoryStockStorage
from services.allocator.store.stock_ports import StockStorage
from shared.database import hot_connection
from shared.partitions.link import Link
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import PartitionId
from shared.partitions.ports import WasKnown
from shared.schemas.commands import ReserveLine, StockCommand
from shared.schemas.events import Outcome
from shared.schemas.values import Fill
from tests.unit.allocator.stock_script import Script
from tests.unit.allocator.stock_stories import Story

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
PARTITION = PartitionId("stock", 3)
NOTHING = StockChanges(PARTITION.number, NOON, [], [], [], [], [], [], [], [], [], None)


@dataclass(frozen=True, slots=True)
class Backend:
    """A storage, and transactions around what is done with it."""

    storage: StockStorage
    begin: Callable[[], Awaitable[object]]
    commit: Callable[[], Awaitable[object]]
    rollback: Callable[[], Awaitable[object]]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "memory":
        store = MemoryPartitionStore(MemoryDatabase(clock=lambda: NOON))
        yield Backend(MemoryStockStorage(store.current), store.begin, store.commit, store.rollback)
        return
    connection = await hot_connection(request.getfixturevalue("database"))
    begin, commit, rollback = ("BEGIN", "COMMIT", "ROLLBACK")
    try:
        yield Backend(
            PostgresStockStorage(Link(connection)),
            lambda: connection.execute(begin),
            lambda: connection.execute(commit),
            lambda: connection.execute(rollback),
        )
    finally:
        await connection.close()


@asynccontextmanager
async def committed(backend: Backend) -> AsyncIterator[StockStorage]:
    await backend.begin()
    yield backend.storage
    await backend.commit()


async def saved(backend: Backend, **changes: Any) -> None:
    async with committed(backend) as storage:
        await storage.save(NOTHING._replace(**changes))


def record(number: int = 1, sku: str = "A", **changed: Any) -> RecordRow:
    made = RecordRow("acme", sku, number, 3, "W", f"B{number}", None, None, None, NOON, 10, 0, 4, 0, 2, False, NOON)
    return made._replace(**changed)


def reservation(name: str = "1", sku: str = "A", **changed: Any) -> ReservationRow:
    made = ReservationRow(
        f"sales-order/acme/{name}", sku, "", "acme", 1, 1, 4, 0, 0, 0, False, None, "partial", "fefo", 0, NOON, ("W", "V"),
        (1,), (4,), None, NOON, None,
    )  # fmt: skip
    return made._replace(**changed)


def movement(command_id: str = "c-1", **changed: Any) -> MovementRow:
    made = MovementRow("acme", "A", "inventory", command_id, 0, "d", "receive", 1, None, "", "", "", "why", 10, 0, 10, 1, 2, NOON)
    return made._replace(**changed)


QUEUE = QueueRow("acme", "A", 3, 2, 4, 7, None)
ROUND, TOLD = LevelsRound(NOON, NOON, None), Telling(NOON, NOON)
BATON = BatonRow("acme", "A", "sales-order/acme/1", "W", 3, 7, NOON, False)


async def test_a_summary_comes_back_as_it_was_stored(backend: Backend) -> None:
    records = [record(1), record(2, lot="L", label="N", expires_on=date(2027, 1, 1), held=3, flagged=1)]
    await saved(backend, new_records=[records[1], records[0], record(sku="B")], queues=[QUEUE], batons=[BATON])
    found = await backend.storage.summaries([("acme", "A"), ("acme", "C")])
    assert found == {("acme", "A"): StoredSku(records, QUEUE, [BATON])}


async def test_changed_records_keep_their_identity(backend: Backend) -> None:
    await saved(backend, new_records=[record(1), record(2)])
    changed = record(2, on_hand=7, held=1, backed=6, flagged=2, version=9, changed_at=NOON + timedelta(seconds=1))
    await saved(backend, changed_records=[changed], now=NOON + timedelta(seconds=1))
    assert (await backend.storage.summaries([("acme", "A")]))["acme", "A"].records == [record(1), changed]


async def test_dates_of_records_change_with_their_figures(backend: Backend) -> None:
    await saved(backend, new_records=[record(1)])
    changed = record(1, on_hand=12, expires_on=date(2027, 1, 1), received_at=NOON - timedelta(days=1), expired=True)
    await saved(backend, changed_records=[changed], redated_records=[changed])
    assert (await backend.storage.summaries([("acme", "A")]))["acme", "A"].records == [changed]


async def test_reservations_come_back_as_they_were_stored_and_changed(backend: Backend) -> None:
    flagged = reservation("2", piece_records=(1, 2), piece_units=(2, 0), piece_flags=(0, 2), flagged_units=2, mark=7)
    tombstone = reservation("3", reserved_units=0, piece_records=(), piece_units=(), warehouses=(), empty_since=NOON)
    await saved(backend, new_reservations=[reservation(), flagged, tombstone])
    waiting = reservation(
        attempt=2, version=3, reserved_units=3, waiting_units=9, consumed_units=1, pending=True, fill="whole_lines", strategy="lifo",
        priority=-3, demanded_at=NOON - timedelta(days=1), warehouses=("NULL",), piece_records=(2, 3), piece_units=(1, 1),
        piece_flags=(0, 1), flagged_units=1,
    )  # fmt: skip
    await saved(backend, changed_reservations=[waiting, tombstone._replace(attempt=5)])
    names = [(row.demand, row.sku, row.alternative) for row in (waiting, flagged, tombstone)]
    found = await backend.storage.reservations([*names, ("sales-order/acme/9", "A", ""), ("sales-order/acme/1", "A", "W")])
    assert sorted(found) == [waiting, flagged, tombstone._replace(attempt=5)]


async def test_live_are_those_that_hold_or_wait(backend: Backend) -> None:
    holds, empty = reservation("1"), reservation("2", reserved_units=0, piece_records=(), piece_units=(), empty_since=NOON)
    waits, other = empty._replace(demand="sales-order/acme/3", waiting_units=1, empty_since=None), reservation("4", sku="B")
    await saved(backend, new_reservations=[holds, empty, waits, other])
    async with committed(backend) as storage:
        assert sorted(await storage.live_reservations([("acme", "A")])) == [holds, waits]
    await saved(backend, changed_reservations=[waits._replace(waiting_units=0, empty_since=NOON)])
    async with committed(backend) as storage:
        assert await storage.live_reservations([("acme", "A")]) == [holds]


async def test_more_than_are_read_at_once_come_all_the_same(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "LIVE_AT_ONCE", 2)
    many = [reservation(str(number)) for number in range(5)]
    await saved(backend, new_reservations=many)
    async with committed(backend) as storage:
        assert sorted(await storage.live_reservations([("acme", "A")])) == many


async def test_movements_are_found_by_the_command_of_inventory(backend: Backend) -> None:
    refused = movement("c-2", record=None, refusal="below_zero", change=0, on_hand_after=0)
    consumed = movement("c-3", origin="reservations", kind="consume", part=1)
    await saved(backend, movements=[movement(), refused, consumed])
    wanted = [("acme", "A", name) for name in ("c-1", "c-2", "c-3", "c-4")] + [("acme", "B", "c-1")]
    assert sorted(await backend.storage.movements(wanted)) == [movement(), refused]


async def test_batons_and_queues_are_replaced_and_returned(backend: Backend) -> None:
    other = BATON._replace(alternative="V")
    await saved(backend, new_records=[record()], queues=[QUEUE], batons=[BATON, other])
    later, changed = BATON._replace(baton=8, expired=True), QUEUE._replace(waiting_count=0, wake_window=1, baton_seq=9, continue_at=NOON)
    await saved(backend, queues=[changed], batons=[later], returned_batons=[(("acme", "A"), (other.demand, "V"))])
    assert (await backend.storage.summaries([("acme", "A")]))["acme", "A"] == StoredSku([record()], changed, [later])


async def test_a_takeover_finds_the_deadlines_of_its_partition_only(backend: Backend) -> None:
    lots = [
        record(1, expires_on=date(2027, 1, 2)),
        record(2, expires_on=date(2027, 1, 1)),
        record(3, expires_on=date(2026, 1, 1), expired=True),
    ]
    elsewhere = record(sku="X", partition=4, expires_on=date(2027, 1, 1))
    await saved(
        backend,
        new_records=[*lots, elsewhere],
        queues=[QUEUE._replace(continue_at=NOON), QUEUE._replace(sku="X", partition=4, continue_at=NOON)],
    )
    await saved(
        backend,
        batons=[BATON, BATON._replace(alternative="V", expired=True), BATON._replace(sku="X", partition=4)],
        telling=TOLD,
        levels_round=ROUND,
    )
    key = ("acme", "A")
    wanted = StoredDeadlines([(key, ("sales-order/acme/1", "W"), NOON)], [(key, NOON)], [(key, date(2027, 1, 1))], TOLD, [], ROUND)
    assert await backend.storage.deadlines(3) == wanted


async def test_a_takeover_finds_the_skus_whose_levels_are_untold(backend: Backend) -> None:
    await saved(backend, new_records=[record(), record(2), record(sku="B")])
    assert sorted(sku for sku, _ in (await backend.storage.deadlines(3)).changed) == [("acme", "A"), ("acme", "B")]
    await saved(backend, telling=TOLD, levels_round=ROUND)
    later = [NOON + timedelta(seconds=seconds) for seconds in (1, 2)]
    await saved(backend, new_records=[record(2, sku="B", changed_at=later[0])], now=later[0])
    await saved(backend, changed_records=[record(sku="B", changed_at=later[1])], now=later[1])
    assert (await backend.storage.deadlines(3)).changed == [(("acme", "B"), later[1])]


async def test_nothing_of_a_rolled_back_batch_is_left(backend: Backend) -> None:
    await backend.begin()
    await backend.storage.save(
        NOTHING._replace(new_records=[record()], new_reservations=[reservation()], movements=[movement()], telling=TOLD, levels_round=ROUND)
    )
    await backend.rollback()
    assert await backend.storage.summaries([("acme", "A")]) == {}
    assert await backend.storage.movements([("acme", "A", "c-1")]) == []
    assert (await backend.storage.deadlines(3)).telling is None


@pytest.mark.parametrize(
    "changes",
    [{"new_records": [record()]}, {"new_reservations": [reservation()]}, {"movements": [movement()]}],
    ids=lambda changes: next(iter(changes)),
)
async def test_what_is_new_must_not_exist(backend: Backend, changes: dict[str, Any]) -> None:
    await saved(backend, **changes)
    await backend.begin()
    with pytest.raises((ValueError, asyncpg.UniqueViolationError, WasKnown)):
        await backend.storage.save(NOTHING._replace(**changes))
    await backend.rollback()


@pytest.mark.parametrize(
    "changes",
    [{"changed_records": [record()]}, {"changed_reservations": [reservation()]}],
    ids=lambda changes: next(iter(changes)),
)
async def test_what_changes_must_exist(backend: Backend, changes: dict[str, Any]) -> None:
    await backend.begin()
    with pytest.raises((ValueError, StockRowsMissing)):
        await backend.storage.save(NOTHING._replace(**changes))
    await backend.rollback()


# ---------------------------------------------------------------- Postgres only


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await hot_connection(database)
    yield connection
    await connection.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"new_records": [record(backed=11)]}, "stock_record_not_oversold"),
        ({"new_records": [record(held=7)]}, "stock_record_not_oversold"),
        ({"new_records": [record(on_hand=-1, backed=0)]}, "stock_record_not_below_zero"),
        ({"new_records": [record(1), record(2, bin="B1")]}, "stock_record_identity"),
        ({"new_reservations": [reservation(flagged_units=5)]}, "reservation_flagged_within_reserved"),
        ({"new_reservations": [reservation(piece_units=(1, 3))]}, "reservation_pieces_match"),
        ({"new_reservations": [reservation(merchant="other")]}, "reservation_of_its_merchant"),
        ({"new_reservations": [reservation(empty_since=NOON)]}, "reservation_empty_since_it_ended"),
        ({"movements": [movement(on_hand_after=11)]}, "movement_adds_up"),
        ({"movements": [movement(record=None)]}, "movement_posted_or_refused"),
        ({"movements": [movement(released_units=1)]}, "movement_released"),
        ({"movements": [movement(kind="release", released_units=1)]}, "movement_released"),
        ({"movements": [movement(kind="release", change=0, on_hand_after=0)]}, "movement_released"),
    ],
)
async def test_the_database_refuses_what_no_batch_may_write(
    connection: asyncpg.Connection, changes: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await PostgresStockStorage(Link(connection)).save(NOTHING._replace(**changes))
    assert refused.value.constraint_name == constraint


@pytest.mark.integration
async def test_the_tables_are_as_the_migration_made_them(connection: asyncpg.Connection) -> None:
    query = """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
          FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 ORDER BY a.attnum
    """
    for table in stock_tables.metadata.tables.values():
        columns = [(one.name, one.type.compile(DIALECT), not one.nullable) for one in table.columns]
        made = [(row[0], row[1].upper(), row[2]) for row in await connection.fetch(query, table.fullname)]
        assert [(name, kind.upper(), never_null) for name, kind, never_null in columns] == made


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(8))
async def test_postgres_and_memory_make_the_same_sends_of_the_same_story(connection: asyncpg.Connection, seed: int) -> None:
    """The whole side over Postgres, taken over before every batch, against the side in memory."""
    script, side = Script(), StockSide(PostgresStockStorage(Link(connection)), StockSettings(level_interval_ms=0))
    seen: list[tuple[Any, datetime]] = []
    decide = script.partition.side.decide

    async def noting(messages: Any, now: datetime) -> Any:
        seen.append((messages, now))
        return await decide(messages, now)

    script.partition.side.decide = noting  # listens in; the real one decides
    for batch in Story(seed).batches():
        wanted = script.sends(*batch)
        await side.resume(script.partition.id)
        async with connection.transaction():
            assert await side.decide(*seen[-1]) == wanted
            await side.save()


async def test_forgotten_reservations_go_before_new_ones_come_and_only_where_they_hold_nothing(backend: Backend) -> None:
    tombstone = reservation("1", reserved_units=0, piece_records=(), piece_units=(), empty_since=NOON)
    await saved(backend, new_reservations=[tombstone, reservation("2")])
    await saved(backend, forgotten_reservations=[tombstone[:3]], new_reservations=[tombstone._replace(attempt=9)])
    (found,) = await backend.storage.reservations([tombstone[:3]])
    assert found.attempt == 9
    await saved(backend, forgotten_reservations=[tombstone[:3]])
    assert await backend.storage.reservations([tombstone[:3], ("sales-order/acme/2", "A", "")]) == [reservation("2")]
    for not_one in (tombstone, reservation("2")):
        await backend.begin()
        with pytest.raises((StockRowsMissing, ValueError)):
            await backend.storage.save(NOTHING._replace(forgotten_reservations=[not_one[:3]]))
        await backend.rollback()


async def test_a_first_attempt_that_was_made_before_is_refused_by_its_key_and_known_after_a_takeover(backend: Backend) -> None:
    """It is taken for new, without a look: the memory of refusals is the table's key."""
    await saved(backend, new_records=[record(backed=0)])
    first = ReserveLine(
        demand="sales-order/acme/1", merchant="acme", sku="A", attempt=1, units=2, fill=Fill.PARTIAL, warehouses=("W",), priority=0,
        demanded_at=NOON,
    )  # fmt: skip
    one, other = (StockSide(backend.storage, StockSettings(doubted_commands=1)) for _ in range(2))
    for side, demand in ((one, "sales-order/acme/1"), (other, "sales-order/acme/2")):
        await side.resume(PARTITION)
        assert [told.reserved_units for told in await decided(backend, side, first.but(demand=demand))] == [2]
    with pytest.raises(WasKnown):
        await decided(backend, other, first)
    await backend.rollback()
    await other.resume(PARTITION)
    assert [told.reserved_units for told in await decided(backend, other, first)] == [2]
    assert (await backend.storage.summaries([("acme", "A")]))["acme", "A"].records[0].backed == 4


async def decided(backend: Backend, side: StockSide, command: StockCommand) -> list[Outcome]:
    """The outcomes of one batch."""
    async with committed(backend):
        sends = await side.decide([command], NOON)
        await side.save()
    return [send.message for send in sends if isinstance(send.message, Outcome)]


async def test_the_skus_of_a_partition_are_gone_through_in_order(backend: Backend) -> None:
    await saved(backend, new_records=[record(sku="B"), record(2, sku="B"), record(sku="A"), record(sku="C"), record(sku="X", partition=4)])
    storage = backend.storage
    assert await storage.skus_after(3, None, 2) == [("acme", "A"), ("acme", "B")]
    assert await storage.skus_after(3, ("acme", "B"), 2) == [("acme", "C")]
    assert await storage.skus_after(3, ("acme", "C"), 2) == []


async def test_how_far_levels_are_told_comes_back_as_it_was_stored(backend: Backend) -> None:
    sweep = Telling(NOTHING_TOLD.told_at, NOON, NOON - timedelta(seconds=2), ("acme", "B"))
    for stored in (sweep, TOLD, sweep._replace(told_at=NOON - timedelta(seconds=3))):
        await saved(backend, telling=stored, levels_round=ROUND)
        assert (await backend.storage.deadlines(3)).telling == stored


@pytest.mark.integration
async def test_code_that_knows_no_sweeps_has_told_everything_when_it_says_so(database: str) -> None:
    connection = await hot_connection(database)
    later = NOON + timedelta(seconds=1)
    try:
        storage, sweep = PostgresStockStorage(Link(connection)), Telling(NOON - timedelta(seconds=9), NOON, NOON, ("acme", "B"))
        async with connection.transaction():
            await storage.save(NOTHING._replace(telling=sweep, levels_round=ROUND))
            await connection.execute("UPDATE allocator.levels_told SET told_at = $1", later)
            assert (await storage.deadlines(3)).telling == Telling(later, later)
    finally:
        await connection.close()


async def test_the_round_of_all_levels_comes_back_as_it_was_stored(backend: Backend) -> None:
    rounds = [LevelsRound(NOON, NOON - timedelta(hours=1), ("acme", "B")), LevelsRound(NOON, NOON, None)]
    for stored in rounds:
        await saved(backend, telling=TOLD, levels_round=stored)
        assert (await backend.storage.deadlines(3)).levels_round == stored
