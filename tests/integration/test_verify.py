"""`earmark verify` finds what is wrong: a small ledger made by the real allocator, then every kind of row spoiled, one at a time."""

import asyncio
import time

import asyncpg
import pytest

from services.console.verify import proof, statements, verify
from shared.database import hot_connection
from shared.settings import Settings
from tests.integration.spoiled_rows import SPOILED, Spoiled
from tests.support import ledger_story
from tests.support.allocator import allocator, channel
from tests.support.careful_reader import careful_reader
from tests.support.large_ledger import large_ledger
from tests.support.settling import until_settled

pytestmark = pytest.mark.integration

MANY, MANY_ORDERS = 100_000, 6_000
SECONDS_FOR_MANY = 30.0
SECONDS_FOR_ORDERS = 5.0
"""With the first twenty rows asked for by LIMIT it took thirty."""


# ---------------------------------------------------------------- a small ledger, with something of everything

NEIGHBOURS = """
INSERT INTO orders.sales_order (merchant, number, version, status, wish, demanded_at, priority, warehouses, channel, country, receiver,
       tags, currency, created_at, changed_at, digest, lines, sku_keys)
SELECT merchant, 'whole', version, 'awaiting_fulfillment', wish, now(), 0, '[]', '', '', '', '[]', '', now(), now(), '',
       (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'units', reserved_units)) FROM allocator.reservation r WHERE r.demand = d.demand),
       (SELECT string_agg(merchant || '/' || sku, ',') FROM allocator.reservation r WHERE r.demand = d.demand)
  FROM allocator.demand_now d WHERE demand = 'sales-order/acme/whole';
INSERT INTO orders.allocation (merchant, number, status, version, demand_version, picking, lines)
SELECT d.merchant, 'whole', 'allocated', (d.state ->> 'told_version')::bigint, d.version, 'none',
       (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'reserved_units', reserved_units, 'flagged_units', 0, 'waiting_units', 0,
                                            'consumed_units', 0)) FROM allocator.reservation r WHERE r.demand = d.demand)
  FROM allocator.demand_now d WHERE demand = 'sales-order/acme/whole';
INSERT INTO inventory.stock_ledger SELECT merchant, sku, 1 + sum(version), now() FROM allocator.stock_record GROUP BY 1, 2;
INSERT INTO inventory.stock_level
SELECT merchant, sku, warehouse, sum(on_hand), sum(held), sum(allocated), sum(available) FROM allocator.stock_record GROUP BY 1, 2, 3;
INSERT INTO allocator.outbox
SELECT side, number, first_sequence, last_sequence, batch_no, 'earmark.movements', 0, 'x'
  FROM (SELECT DISTINCT ON (side, number) * FROM allocator.batch ORDER BY side, number, batch_no DESC) AS newest
 WHERE last_sequence >= first_sequence ON CONFLICT DO NOTHING;
UPDATE allocator.state_partition p SET published_sequence = o.first_sequence - 1
  FROM allocator.outbox o WHERE (o.side, o.number) = (p.side, p.number);
"""
"""What the other services would know of it, and what a process leaves that died before it could publish."""
DROP_CONSTRAINTS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
  FROM pg_constraint
 WHERE contype IN ('c', 'f') AND connamespace = ANY (ARRAY['allocator', 'orders', 'inventory']::regnamespace[])
"""


@pytest.fixture(scope="module")
def ledger(world: Settings) -> Settings:
    """Made once; every test spoils it inside a transaction that it rolls back."""
    asyncio.run(_make_ledger(world))
    return world


async def _make_ledger(world: Settings) -> None:
    async with allocator(world), channel(world.bootstrap) as shop, careful_reader(world.bootstrap) as reader:
        for told in ledger_story.STORY:
            await told(shop)
            await until_settled(world.dsn, reader)
    connection: asyncpg.Connection = await hot_connection(world.dsn, "test")
    try:
        await connection.execute(NEIGHBOURS)
        for row in await connection.fetch(DROP_CONSTRAINTS):
            await connection.execute(row[0])
    finally:
        await connection.close()


async def test_a_sound_ledger_passes_every_check_and_no_check_goes_over_nothing(ledger: Settings) -> None:
    report = await verify(ledger.dsn, settled=True)
    assert report.ok, [check for check in report.checks if check.problems]
    assert {check.name for check in report.checks if not check.counted} <= MAY_BE_EMPTY


MAY_BE_EMPTY = {
    "every baton was numbered by the queue of its SKU",
    "a reservation is marked as being picked exactly where its demand is",
    "a stock command is answered as the ledger says",
}
"""A settled ledger has no batons, and this one no order that is being picked and no command of the inventory service."""


def test_every_check_has_a_row_that_it_finds() -> None:
    assert {one.name for one in statements()} == {one.check for one in SPOILED}


async def test_what_is_forgotten_is_not_missed(ledger: Settings) -> None:
    """Half way, with the tombstones gone; to the end, with the demand gone too; and history that begins later."""
    connection: asyncpg.Connection = await hot_connection(ledger.dsn, "test")
    transaction = connection.transaction()
    await transaction.start()
    try:
        gone = "sales-order/acme/gone"
        await connection.execute("UPDATE allocator.demand SET status = 'forgetting' WHERE demand = $1 AND status = 'consumed'", gone)
        assert await connection.execute("DELETE FROM allocator.reservation WHERE demand = $1 AND NOT live", gone) != "DELETE 0"
        half_way = await proof(connection, statements())
        assert await connection.execute("DELETE FROM allocator.demand WHERE demand = $1 AND status = 'forgetting'", gone) == "DELETE 1"
        told = "(b.side, b.number) = (p.side, p.number) AND b.last_sequence <= p.published_sequence"
        await connection.execute(f"DELETE FROM allocator.outbox b USING allocator.state_partition p WHERE {told}")
        await connection.execute(
            f"DELETE FROM allocator.batch b USING allocator.state_partition p WHERE {told} AND b.batch_no < p.batch_no"
        )
        whole = await proof(connection, statements())
    finally:
        await transaction.rollback()
        await connection.close()
    assert [check.problems for report in (half_way, whole) for check in report.checks if check.problems] == []


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda one: one.what)
async def test_a_spoiled_row_is_found_and_named(spoiled: Spoiled, ledger: Settings) -> None:
    connection: asyncpg.Connection = await hot_connection(ledger.dsn, "test")
    transaction = connection.transaction()
    await transaction.start()
    try:
        changed = await connection.execute(spoiled.sql)
        assert int(changed.split()[-1]) > 0, "nothing was spoiled"
        report = await proof(connection, statements())
    finally:
        await transaction.rollback()
        await connection.close()
    found = {check.name: check.problems for check in report.checks if check.problems}
    assert spoiled.check in found, f"found only {found}"
    assert any(spoiled.named in problem for problem in found[spoiled.check]), found[spoiled.check]


# ---------------------------------------------------------------- a large ledger


async def test_a_hundred_thousand_reservations_are_proved_in_seconds(database: str) -> None:
    await large_ledger(database, MANY)
    began = time.monotonic()
    report = await verify(database, settled=True)
    took = time.monotonic() - began
    assert report.ok, [check for check in report.checks if check.problems]
    print(f"{MANY} reservations proved in {took:.1f} s")
    assert took < SECONDS_FOR_MANY


RELEASED_ORDERS = """
INSERT INTO allocator.demand (demand, partition, merchant, status, wish, version, attempt, state)
SELECT concat('sales-order/acme/o-', i), 0, 'acme', 'released', 'nothing', 1, 1, '{"lines": [], "seen": [], "told_version": 1}'
  FROM generate_series(1, $ORDERS) AS i;
INSERT INTO orders.sales_order (merchant, number, version, status, wish, demanded_at, priority, warehouses, channel, country, receiver,
       tags, currency, created_at, changed_at, digest, lines, sku_keys)
SELECT 'acme', concat('o-', i), 1, 'awaiting_fulfillment', 'nothing', now(), 0, '[]', '', '', '', '[]', '', now(), now(), '', '[]', ''
  FROM generate_series(1, $ORDERS) AS i;
INSERT INTO orders.allocation (merchant, number, status, version, demand_version, picking, lines)
SELECT 'acme', concat('o-', i), 'unallocated', 1, 1, 'none', '[]' FROM generate_series(1, $ORDERS) AS i;
ANALYZE;
"""


async def test_many_orders_are_compared_with_as_many_demands_in_one_go_and_not_each_with_each(database: str) -> None:
    connection = await hot_connection(database, "test")
    try:
        await connection.execute(RELEASED_ORDERS.replace("$ORDERS", str(MANY_ORDERS)))
    finally:
        await connection.close()
    began = time.monotonic()
    report = await verify(database, settled=True)
    took = time.monotonic() - began
    assert report.ok, [check for check in report.checks if check.problems]
    assert took < SECONDS_FOR_ORDERS
