"""What the allocator last said of each order: one row per order, which the first answer makes. Answers write here only and leave the
order's own wide row, with its many indexes, alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from services.orders.core.model import Entry, Key, Standing
from services.orders.store.rows import Row, entry_json, standing_of, told_json
from shared.schemas.events import AllocatedLine

_COLUMNS = ("merchant", "number", "status", "version", "demand_version", "picking", "lines", "first_entry")
_A_RUN_WAITS = "EXISTS (SELECT FROM orders.allocation_run_order WHERE state = 'started')"
_STANDINGS = f"""
SELECT o.merchant, o.number, o.version, o.status, o.wish, o.asked_step, o.asked_version, o.refusal,
       coalesce(a.status, 'unallocated') AS allocation_status, coalesce(a.version, 0) AS allocation_version,
       coalesce(a.demand_version, 0) AS allocation_demand_version, coalesce(a.picking, 'none') AS picking,
       {_A_RUN_WAITS} AS a_run_waits
  FROM unnest($1::text[], $2::text[]) AS k (merchant, number)
  JOIN orders.sales_order o USING (merchant, number) LEFT JOIN orders.allocation a USING (merchant, number)
"""
_LOCK = " ORDER BY o.merchant, o.number FOR UPDATE OF o"
_TOLD = """
SELECT a.merchant, a.number, a.status AS allocation_status, a.version AS allocation_version, a.demand_version AS allocation_demand_version,
       a.picking, a.lines AS told
  FROM unnest($1::text[], $2::text[]) AS k (merchant, number) JOIN orders.allocation a USING (merchant, number)
"""
_UPDATE = """
UPDATE orders.allocation a
   SET status = n.status, version = n.version, demand_version = n.demand_version, picking = n.picking, lines = n.lines
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[])
    AS n (merchant, number, status, version, demand_version, picking, lines, known)
 WHERE a.merchant = n.merchant AND a.number = n.number AND a.version = n.known
"""


class Told(NamedTuple):
    """The newest answer about an order: the version of the allocation that it was folded into, the standing that it made, its lines.
    `first_entry`: what the history says of the first answer of all, which has no row of its own there."""

    known: int
    standing: Standing
    lines: tuple[AllocatedLine, ...]
    first_entry: Entry | None


class Overtaken(Exception):
    """Another process has folded answers of the same orders meanwhile. Roll back, and fold them again."""


async def load_standings(raw: Any, keys: Sequence[Key], *, lock: bool = False) -> tuple[dict[Key, Standing], bool]:
    """The standings of those orders that exist, and whether any bulk run waits for an order, also where no order is found."""
    sql, columns = _STANDINGS + _LOCK if lock else _STANDINGS, ([key.merchant for key in keys], [key.number for key in keys])
    rows = await raw.fetch(sql, *columns) if keys else []
    a_run_waits = rows[0]["a_run_waits"] if rows else await raw.fetchval(f"SELECT {_A_RUN_WAITS}")
    return {Key(row["merchant"], row["number"]): standing_of(row, row) for row in rows}, a_run_waits


async def load_told(raw: Any, keys: Sequence[Key]) -> dict[Key, Row]:
    """The rows of those orders that have been answered."""
    rows = await raw.fetch(_TOLD, [key.merchant for key in keys], [key.number for key in keys])
    return {Key(row["merchant"], row["number"]): row for row in rows}


async def save_told(raw: Any, told: Mapping[Key, Told]) -> None:
    """Store the newest answers. Raises Overtaken."""
    new = [(*_row(key, one), entry_json(one.first_entry) if one.first_entry else None) for key, one in told.items() if not one.known]
    old = [(*_row(key, one), one.known) for key, one in told.items() if one.known]
    if new:
        try:
            await raw.copy_records_to_table("allocation", schema_name="orders", columns=_COLUMNS, records=new)
        except asyncpg.UniqueViolationError as error:
            raise Overtaken from error
    if old and await raw.execute(_UPDATE, *map(list, zip(*old, strict=True))) != f"UPDATE {len(old)}":
        raise Overtaken


def _row(key: Key, told: Told) -> tuple[Any, ...]:
    standing = told.standing
    return (
        key.merchant,
        key.number,
        standing.allocation_status,
        standing.allocation_version,
        standing.allocation_demand_version,
        standing.picking,
        told_json(told.lines),
    )
