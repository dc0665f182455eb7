"""What the allocator said of an order: kept beside the order, read together with it."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from services.orders.store.tables import metadata
from shared.database import hot_connection
from shared.migrations import migrate
from tests.support.migrations import migrations_until
from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration
MANY = 25
BEFORE = "0009"
"""The last revision at which an order's own rows held its allocation."""
OLD_ROWS = """
INSERT INTO orders.sales_order (merchant, number, version, status, wish, pending_step, pending_version, allocation_status,
    allocation_version, allocation_demand_version, picking, demanded_at, priority, warehouses, channel, country, receiver, tags, currency,
    created_at, changed_at, digest)
SELECT 'acme', number, 2, 'awaiting_fulfillment', 'stock', step, asked, status, version, demand_version, 'none', now(), 0, '[]', '', '', '',
       '[]', '', now(), now(), ''
  FROM (VALUES ('A-1', NULL, NULL, 'partially_allocated', 3, 2), ('A-2', 'allocation', 2, 'allocated', 1, 1),
               ('A-3', 'allocation', 2, 'unallocated', 0, 0)) AS o (number, step, asked, status, version, demand_version);
INSERT INTO orders.line (merchant, number, sku, position, units, warehouses, reserved_units, waiting_units, pieces, shortage)
VALUES ('acme', 'A-1', 'POT', 0, 1, '[]', 0, 1, '[]', '{"missing_units": 1, "on_hand_units": 0, "held_units": 0, "expired_units": 0,
            "allocated_units": 0, "claimed_units": 0, "elsewhere_units": 0, "holders": [], "remedies": [], "ledger_version": 7}'),
       ('acme', 'A-1', 'CUP', 1, 2, '[]', 2, 0, '[{"record": 4, "warehouse": "main", "bin": "B", "units": 2}]', NULL),
       ('acme', 'A-2', 'CUP', 0, 2, '[]', 2, 0, '[]', NULL), ('acme', 'A-3', 'CUP', 0, 2, '[]', 0, 0, '[]', NULL);
"""


@pytest.mark.parametrize("answers", [["allocated"], ["could_not_allocate", "allocated"]], ids=["first", "later"])
async def test_two_processes_that_fold_the_same_answers_at_once_store_each_once(database: str, orders: Orders, answers: list[str]) -> None:
    for n in range(MANY):
        await orders.made(f"A-{n}")
    *earlier, last = [[await orders.answer_of(f"A-{n}", outcome) for n in range(MANY)] for outcome in answers]
    for said in earlier:
        await orders.hand_over(said)
    async with orders_service(database) as other:
        await asyncio.gather(orders.hand_over(last), other.hand_over(reversed(last)), orders.hand_over(last[::2]))
    for n in range(MANY):
        entries = (await orders.get(f"/orders/A-{n}/history"))["items"]
        assert [one["details"]["to"] for one in entries if one["happening"] == "allocation_changed"] == answers
        assert (await orders.get(f"/orders/A-{n}"))["allocation_status"] == "allocated"


async def test_of_an_edited_order_only_its_present_lines_are_shown(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 2, "POT": 3})
    await orders.answer("A-1", "allocated")
    await orders.command("PATCH", "/orders/A-1", {"lines": lines({"CUP": 2, "JUG": 1})})
    found, (item,) = await orders.get("/orders/A-1"), (await orders.get("/orders"))["items"]
    assert [(line["sku"], line["reserved_units"]) for line in found["lines"]] == [("CUP", 2), ("JUG", 0)]
    assert (item["line_count"], item["units"], item["reserved_units"]) == (2, 3, 2)
    assert (found["pending"], item["pending"]) == ("allocation", "allocation")


async def test_a_run_waits_for_the_answer_to_what_it_has_asked(orders: Orders) -> None:
    await orders.made("A-1")
    await orders.answer("A-1", "could_not_allocate")
    late = await orders.answer_of("A-1", "overallocated")
    run = (await orders.post("/allocation-runs", {"action": "allocate", "orders": ["A-1"]})).json()["id"]
    while (await orders.last_event("A-1")).demand.version == 1:
        await asyncio.sleep(0.01)
    await orders.hand_over([late])
    assert (await orders.get(f"/allocation-runs/{run}"))["state"] == "running"
    await orders.answer("A-1", "allocated")
    assert (await orders.get(f"/allocation-runs/{run}"))["state"] == "ended"


async def test_what_was_known_before_the_allocation_had_a_table_is_carried_over(empty_database: str, tmp_path: Path) -> None:
    assert await migrate(empty_database, scripts=migrations_until(BEFORE, tmp_path)) == BEFORE
    connection = await hot_connection(empty_database, "test")
    await connection.execute(OLD_ROWS)
    await connection.close()
    await migrate(empty_database)
    async with orders_service(empty_database) as orders:
        first, second, third = [await orders.get(f"/orders/A-{n}") for n in (1, 2, 3)]
        listed = {item["number"]: (item["allocation_status"], item["reserved_units"]) for item in (await orders.get("/orders"))["items"]}
    assert [order["pending"] for order in (first, second, third)] == [None, "allocation", "allocation"]
    assert [order["allocation_version"] for order in (first, second, third)] == [3, 1, 0]
    assert listed == {"A-1": ("partially_allocated", 2), "A-2": ("allocated", 2), "A-3": ("unallocated", 0)}
    assert [(line["sku"], line["waiting_units"], line["reserved_units"]) for line in first["lines"]] == [("POT", 1, 0), ("CUP", 0, 2)]
    assert first["lines"][0]["shortage"]["missing_units"] == 1
    assert first["lines"][1]["pieces"][0]["record"] == 4


async def test_the_tables_are_as_the_migrations_made_them(orders: Orders) -> None:
    sql = text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'orders'")
    async with orders.platform.reading() as connection:
        found = {(row.table_name, row.column_name) for row in await connection.execute(sql)}
    known = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    assert {row for row in found if row[0] not in {"outbox", "idempotency_key"}} == known
