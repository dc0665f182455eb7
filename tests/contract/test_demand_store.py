"""What every `DemandStorage` promises: one suite, run on memory and on the real Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from services.allocator.core.demand.state import Baton, DemandState, Picking, Status
from services.allocator.core.policy import TermLine, Terms
from services.allocator.store import demand_tables
from services.allocator.store.demand import DemandRowsMissing, PostgresDemandStorage
from services.allocator.store.demand_encoding import from_row, to_row
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.demand_ports import DemandRow, DemandStorage, Ended, Page
from shared.partitions.link import Link
from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.schemas.events import Holder, Outcome, Remedy, Shortage
from shared.schemas.values import Fill, Piece, Strategy, Wish

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
_COLUMNS = """
SELECT column_name, data_type, is_nullable = 'YES' AS nullable FROM information_schema.columns
 WHERE table_schema = 'allocator' AND table_name = $1 ORDER BY ordinal_position
"""


@dataclass(frozen=True, slots=True)
class Backend:
    """A storage, and transactions around what is done with it."""

    storage: DemandStorage
    begin: Callable[[], Awaitable[None]]
    commit: Callable[[], Awaitable[None]]
    rollback: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "memory":
        store = MemoryPartitionStore(MemoryDatabase(clock=lambda: NOON))
        yield Backend(MemoryDemandStorage(store.current), store.begin, store.commit, store.rollback)
        return
    connection = await asyncpg.connect(request.getfixturevalue("database"))
    try:
        yield Backend(
            PostgresDemandStorage(Link(connection)),
            lambda: _execute(connection, "BEGIN"),
            lambda: _execute(connection, "COMMIT"),
            lambda: _execute(connection, "ROLLBACK"),
        )
    finally:
        await connection.close()


async def _execute(connection: Any, statement: str) -> None:
    await connection.execute(statement)


@asynccontextmanager
async def committed(backend: Backend) -> AsyncIterator[DemandStorage]:
    await backend.begin()
    yield backend.storage
    await backend.commit()


def row(number: int, **changed: Any) -> DemandRow:
    made = DemandRow(f"sales-order/acme/SO-{number}", "acme", "lines", "stock", 1, 1, None, None, '{"lines":[["A",1,["w"]]]}')
    return made._replace(**changed)


async def test_rows_come_back_as_they_were_stored(backend: Backend) -> None:
    rows = [row(1), row(2, status="trying", deadline_at=NOON), row(3, status="closed", wish="closed", closed_at=NOON)]
    async with committed(backend) as storage:
        await storage.insert(3, 1, rows)
    assert sorted(await backend.storage.load(3, [one.demand for one in rows])) == rows


async def test_only_existing_demands_of_the_own_partition_are_loaded_each_once(backend: Backend) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1)])
        await storage.insert(4, 1, [row(2)])
    asked = [row(number).demand for number in (1, 2, 3, 1)]
    assert await backend.storage.load(3, asked) == [row(1)]
    assert await backend.storage.load(3, []) == []


async def test_a_changed_row_replaces_the_old_one_and_no_other(backend: Backend) -> None:
    changed = row(1, status="backoff", wish="picking", version=2, attempt=5, deadline_at=NOON, state='{"lines":[],"told":"x"}')
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1), row(2)])
    async with committed(backend) as storage:
        await storage.update(3, 1, [changed])
    assert sorted(await backend.storage.load(3, [row(1).demand, row(2).demand])) == [changed, row(2)]


async def test_a_transaction_sees_its_own_writes_and_a_rollback_undoes_them(backend: Backend) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1)])
    await backend.begin()
    await backend.storage.insert(3, 1, [row(2)])
    await backend.storage.update(3, 1, [row(1, version=2)])
    assert sorted(await backend.storage.load(3, [row(1).demand, row(2).demand])) == [row(1, version=2), row(2)]
    await backend.rollback()
    assert await backend.storage.load(3, [row(1).demand, row(2).demand]) == [row(1)]


async def test_deadlines_are_those_of_the_own_partition(backend: Backend) -> None:
    later = NOON + timedelta(microseconds=1)
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1, status="trying", deadline_at=later), row(2), row(3, status="backoff", deadline_at=NOON)])
        await storage.insert(4, 1, [row(4, status="trying", deadline_at=NOON)])
    assert sorted(await backend.storage.deadlines(3)) == [(NOON, row(3).demand), (later, row(1).demand)]
    async with committed(backend) as storage:
        await storage.update(3, 1, [row(3)])
    assert await backend.storage.deadlines(3) == [(later, row(1).demand)]


async def test_pages_come_back_as_they_were_written_oldest_first_and_only_those_of_the_own_partition(backend: Backend) -> None:
    first, second = Page(9, [row(1), row(2, wish="picking", version=3)]), Page(10, [row(1, state='{"lines":["\\"é"]}')])
    async with committed(backend) as storage:
        await storage.turn(3, second, ())
        await storage.turn(3, first, ())
        await storage.turn(4, Page(9, [row(3)]), ())
    assert await backend.storage.pages(3) == [first, second]
    assert await backend.storage.pages(4) == [Page(9, [row(3)])]
    assert await backend.storage.pages(5) == []


async def test_pages_that_are_over_are_gone_and_no_others_and_one_can_be_left_blank(backend: Backend) -> None:
    async with committed(backend) as storage:
        for number in (1, 2, 3):
            await storage.turn(3, Page(number, [row(number)]), ())
        await storage.turn(4, Page(1, [row(4)]), ())
    await backend.begin()
    await backend.storage.turn(3, None, [1, 2, 3])
    await backend.rollback()
    async with committed(backend) as storage:
        await storage.turn(3, Page(4, [row(1)]), [1, 3])
        await storage.turn(3, None, [4])
        await storage.turn(3, Page(5, [row(5)]), ())
        await storage.turn(3, Page(5, []), ())
    assert await backend.storage.pages(3) == [Page(2, [row(2)]), Page(5, [])]
    assert await backend.storage.pages(4) == [Page(1, [row(4)])]


async def test_a_row_remembers_up_to_which_page_it_is_the_newer_one(backend: Backend) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 0, [row(1)])
        await storage.insert(3, 7, [row(2)])
        await storage.insert(4, 7, [row(3)])
    async with committed(backend) as storage:
        await storage.update(3, 8, [row(1)])
    asked = [row(number).demand for number in (1, 2, 3, 4)]
    assert await backend.storage.outdated_to(3, asked) == {row(1).demand: 8, row(2).demand: 7}


@pytest.mark.integration
async def test_every_demand_as_it_is_now_is_its_row_or_what_a_newer_page_says(database: str) -> None:
    connection = await asyncpg.connect(database)
    storage = PostgresDemandStorage(Link(connection))
    now = "SELECT demand, merchant, status, wish, version, attempt, deadline_at, closed_at, state FROM allocator.demand_now"
    newer, newest = row(1, version=2), row(1, version=3, wish="picking")
    try:
        await storage.insert(3, 4, [row(1, status="trying", deadline_at=NOON), row(2, version=5)])
        for page in (Page(4, [row(1, version=1), row(2)]), Page(5, [newer, row(3)]), Page(6, [newest])):
            await storage.turn(3, page, ())
        found = [DemandRow(*one) for one in await connection.fetch(now)]
        columns = await connection.fetch("SELECT partition, page FROM allocator.demand_now ORDER BY demand")
    finally:
        await connection.close()
    assert sorted(found) == [newest, row(2, version=5), row(3)]
    assert [tuple(one) for one in columns] == [(3, 6), (3, 4), (3, 5)]


async def test_those_that_ended_come_in_the_order_in_which_they_did_with_their_page(backend: Backend) -> None:
    later = NOON + timedelta(days=1)
    ended = [row(1, status="closed", closed_at=later), row(2, status="consumed", closed_at=NOON), row(3, status="closed")]
    async with committed(backend) as storage:
        await storage.insert(3, 7, [*ended, row(4), row(5, status="forgetting", closed_at=NOON)])
        await storage.insert(4, 8, [row(6, status="closed", closed_at=NOON)])
    assert await backend.storage.ended(3, 9) == [Ended(NOON, row(2).demand, 7), Ended(later, row(1).demand, 7)]
    assert await backend.storage.ended(3, 1) == [Ended(NOON, row(2).demand, 7)]


async def test_demands_are_forgotten_and_only_those_that_there_are(backend: Backend) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1), row(2)])
        await storage.insert(4, 1, [row(3)])
    async with committed(backend) as storage:
        await storage.forget(3, [row(1).demand])
    assert await backend.storage.load(3, [row(1).demand, row(2).demand]) == [row(2)]
    for missing in (1, 3):
        await backend.begin()
        with pytest.raises((DemandRowsMissing, ValueError)):
            await backend.storage.forget(3, [row(missing).demand])
        await backend.rollback()


async def test_storing_a_demand_twice_is_an_error(backend: Backend) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1)])
    await backend.begin()
    with pytest.raises((ValueError, asyncpg.UniqueViolationError)):
        await backend.storage.insert(3, 1, [row(2), row(1)])
    await backend.rollback()
    assert await backend.storage.load(3, [row(2).demand]) == []


@pytest.mark.parametrize("partition", [3, 4])
async def test_changing_a_demand_that_is_not_there_is_an_error(backend: Backend, partition: int) -> None:
    async with committed(backend) as storage:
        await storage.insert(3, 1, [row(1)])
    await backend.begin()
    with pytest.raises((ValueError, DemandRowsMissing)):
        await backend.storage.update(partition, 1, [row(1, version=2), row(2)])
    await backend.rollback()
    assert await backend.storage.load(3, [row(1).demand]) == [row(1)]


async def test_a_demand_with_everything_in_it_comes_back_equal(backend: Backend) -> None:
    state = _full()
    async with committed(backend) as storage:
        await storage.insert(3, 1, [to_row(state)])
    (found,) = await backend.storage.load(3, [state.id])
    assert from_row(found) == state


async def test_a_demand_with_nothing_in_it_comes_back_equal(backend: Backend) -> None:
    terms = Terms((TermLine("A", 1, ("w",)),), Fill.PARTIAL, Strategy.FEFO, 0, NOON)
    state = DemandState("sales-order/acme/SO-1", "acme", terms, version=1)
    async with committed(backend) as storage:
        await storage.insert(3, 1, [to_row(state)])
    (found,) = await backend.storage.load(3, [state.id])
    assert from_row(found) == state


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ({"status": "asleep"}, "demand_status_known"),
        ({"wish": "gold"}, "demand_wish_known"),
        ({"status": "trying"}, "demand_deadline_of_an_attempt"),
        ({"deadline_at": NOON}, "demand_deadline_of_an_attempt"),
        ({"closed_at": NOON}, "demand_closed_when_ended"),
        ({"version": 0}, "demand_numbers_from_zero"),
    ],
)
async def test_the_database_refuses_rows_that_can_not_be(database: str, changed: dict[str, Any], constraint: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await PostgresDemandStorage(Link(connection)).insert(3, 1, [row(1, **changed)])
        assert refused.value.constraint_name == constraint
    finally:
        await connection.close()


@pytest.mark.integration
async def test_the_tables_are_what_the_migrations_made(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        columns = {name: await connection.fetch(_COLUMNS, name) for name in ("demand", "demand_page")}
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'demand' AND indexname <> 'demand_pkey'"
        )
    finally:
        await connection.close()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy publishes it
    names = {
        "BIGINT": "bigint",
        "TEXT": "text",
        "INTEGER": "integer",
        "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    }
    for table in (demand_tables.demand, demand_tables.demand_page):
        assert [tuple(one) for one in columns[table.name]] == [
            (column.name, names[column.type.compile(dialect)], bool(column.nullable)) for column in table.columns
        ]
    declared = {str(one.name): str(CreateIndex(one).compile(dialect=dialect)) for one in demand_tables.demand.indexes}
    assert {name: _plain(made) for name, made in declared.items()} == {name: _plain(made) for name, made in indexes}


def _plain(statement: str) -> str:
    return " ".join(statement.replace("USING btree ", "").replace("WHERE (", "WHERE ").removesuffix(")").split())


def _shortage() -> Shortage:
    """Every field is set."""
    return Shortage(
        missing_units=1,
        on_hand_units=2,
        held_units=3,
        expired_units=4,
        allocated_units=5,
        claimed_units=6,
        elsewhere_units=7,
        holders=(Holder(demand="sales-order/acme/SO-9", units=8),),
        remedies=(
            Remedy(action="release", units=9, warehouse="w", demand="sales-order/acme/SO-9", record=4),
            Remedy(action="receive", units=1),
        ),
        exact=False,
        ledger_version=11,
    )


def _outcome() -> Outcome:
    """Every field is set."""
    return Outcome(
        demand="sales-order/acme/SO-1",
        merchant="acme",
        sku="A é",
        alternative="w",
        attempt=4,
        version=9,
        reserved_units=3,
        flagged_units=1,
        waiting_units=2,
        consumed_units=5,
        pending=True,
        mark=2,
        pieces=(Piece(record=1, warehouse="w", bin="b", lot="l", label="x", units=2), Piece(record=2, warehouse="w", bin="b", units=1)),
        shortage=_shortage(),
    )


def _full() -> DemandState:
    """Every field is set."""
    terms = Terms(
        (TermLine("A é", 2, ("w", "w2")), TermLine("B", 3, ("w",))),
        Fill.ALL_OR_NOTHING,
        Strategy.LIFO,
        -7,
        NOON + timedelta(microseconds=3),
        "w",
    )
    return DemandState(
        id="sales-order/acme/SO-1",
        merchant="acme",
        terms=terms,
        version=3,
        wish=Wish.CONSUMPTION,
        status=Status.BACKOFF,
        attempt=4,
        expiries=2,
        deadline_at=NOON,
        inherited=frozenset({("A é", "w")}),
        waiting_at=frozenset({("B", "w")}),
        releasing={("B", ""): 3},
        batons=(Baton(("B", "w"), 12),),
        seen={("A é", "w"): _outcome(), ("B", ""): Outcome(demand="sales-order/acme/SO-1", merchant="acme", sku="B", attempt=1, version=1)},
        picking=Picking.CONSUMING,
        mark=2,
        command=3,
        refusals={"B": "because of 'that'"},
        told_version=6,
        told="0f",
    )
