"""The tables of both yardsticks, in a schema of their own that every run drops and makes anew."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.benchmarks.workloads import ON_HAND_UNITS, SKUS, sku

_SCHEMA = """
DROP SCHEMA IF EXISTS yardstick CASCADE;
CREATE SCHEMA yardstick;
SET search_path TO yardstick;
CREATE TABLE stock (
    sku text PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
    CHECK (reserved BETWEEN 0 AND on_hand)
);
CREATE TABLE reservation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id text NOT NULL, line_no int NOT NULL, sku text NOT NULL,
    qty int NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (order_id, line_no)
);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE consumer_offset (topic text, part int, next_offset bigint NOT NULL, PRIMARY KEY (topic, part));
"""
_BOOKS = "SELECT (SELECT sum(reserved) FROM stock), (SELECT sum(qty) FROM reservation), (SELECT count(*) FROM outbox)"


async def prepare(dsn: str) -> None:
    """Empty tables and full shelves."""
    async with connected(dsn) as connection:
        await connection.execute(_SCHEMA)
        records = [(sku(number), ON_HAND_UNITS) for number in range(SKUS)]
        await connection.copy_records_to_table("stock", schema_name="yardstick", columns=("sku", "on_hand"), records=records)
        await connection.execute("VACUUM ANALYZE yardstick.stock")
        await connection.execute("CHECKPOINT")


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the yardsticks' tables."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "yardstick"})
    try:
        yield connection
    finally:
        await connection.close()


async def check_books(dsn: str, lines_an_order: int, orders: int | None = None) -> None:
    """A yardstick that lost or doubled an order measures nothing."""
    async with connected(dsn) as connection:
        books = await connection.fetchrow(_BOOKS)
    assert books is not None, "an aggregate has a row"
    reserved, lines, events = books
    assert reserved == lines == events * lines_an_order, (reserved, lines, events)
    assert orders in {None, events}, (orders, events)
