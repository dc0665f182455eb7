"""A ledger of any size whose books balance, made by SQL alone: what the checks of `earmark verify` are timed on, and what a ledger that
has grown costs. Filled by both cores at once, without indexes, which are made when everything is there."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg

from shared.database import hot_connection

SKUS = 400
LINES = 100
"""Long orders, as wholesale has them: what is read once for each line, and not once for each demand, shows."""
BATCHES_OF_A_PARTITION = 1_000
FILL_SECONDS = 1_800
FILLERS = 2
AT_ONCE = 2_500
"""Demands of one step of one filler."""
_BARED = ("reservation", "demand")
_QUICK = {"synchronous_commit": "off", "maintenance_work_mem": "512MB", "max_parallel_maintenance_workers": "1", "work_mem": "256MB"}

# JSON by hand: json_build_array and json_agg took as long as all reservations.
_SOME = """
WITH line AS MATERIALIZED (
SELECT i AS demand_number, concat('sales-order/acme/o-', i) AS demand,
       concat('SKU-', lpad(((i * 7 + k * 131) % $SKUS)::text, 6, '0')) AS sku,
       1 + i % 2 AS record, 2 AS reserved, CASE WHEN i % 10 < $WAITING THEN 1 ELSE 0 END AS waiting,
       timestamptz '2026-11-01 12:00:00+00' + make_interval(secs => i) AS demanded_at
  FROM generate_series($FIRST, $LAST) AS i, generate_series(0, $LINES - 1) AS k
), reserved AS (
INSERT INTO allocator.reservation (demand, sku, alternative, merchant, attempt, version, reserved_units, flagged_units, waiting_units,
       consumed_units, pending, fill, strategy, priority, demanded_at, warehouses, piece_records, piece_units, created_at)
SELECT demand, sku, '', 'acme', 1, 1, reserved, 0, waiting, 0, false, 'partial', 'fefo', 0, demanded_at, ARRAY['main'], ARRAY[record],
       ARRAY[reserved], demanded_at FROM line
)
INSERT INTO allocator.demand (demand, partition, merchant, status, wish, version, attempt, state)
SELECT demand, demand_number % 8, 'acme', 'lines', 'stock', 1, 1, concat(
         '{"lines":[', string_agg(concat('["', sku, '",', reserved + waiting, ',["main"]]'), ','),
         '],"fill":"partial","strategy":"fefo","demanded_at":', to_json(demanded_at), ',"told_version":1,"told":"x","seen":[',
         string_agg(concat('["', sku, '","",1,1,', reserved, ',0,', waiting, ',0,false,null,[],null]'), ','), ']}')
  FROM line GROUP BY demand, demand_number, demanded_at;
"""

_REST = """
CREATE TEMPORARY TABLE shelf AS
SELECT sku, piece_records[1] AS record, sum(reserved_units)::bigint AS units, count(*) FILTER (WHERE waiting_units > 0) AS waiting
  FROM allocator.reservation GROUP BY 1, 2;

INSERT INTO allocator.stock_record (merchant, sku, record, partition, warehouse, bin, received_at, on_hand, held, backed, flagged, version,
       expired, changed_at)
SELECT 'acme', sku, record, 0, 'main', concat('A-', record), now(), units, 0, units, 0, 1, false, now() FROM shelf;
INSERT INTO allocator.stock_record (merchant, sku, record, partition, warehouse, bin, received_at, on_hand, held, backed, flagged, version,
       expired, changed_at)
SELECT 'acme', sku, 3 - record, 0, 'main', concat('A-', 3 - record), now(), 0, 0, 0, 0, 1, false, now()
  FROM (SELECT sku, min(record) AS record FROM shelf GROUP BY sku HAVING count(*) = 1) AS lonely;

INSERT INTO allocator.movement (merchant, sku, origin, command_id, part, digest, kind, record, field, remedy, reason, cause, change,
       on_hand_before, on_hand_after, record_version, ledger_version, moved_at)
SELECT merchant, sku, 'inventory', concat('r-', record), 0, '', 'receive', record, '', '', '', '', on_hand, 0, on_hand, 1, record + 1, now()
  FROM allocator.stock_record WHERE on_hand > 0;

INSERT INTO allocator.sku_queue (merchant, sku, partition, waiting_count, wake_window, baton_seq)
SELECT 'acme', sku, 0, sum(waiting), 1, 0 FROM shelf GROUP BY sku;

INSERT INTO allocator.batch
SELECT side, number, n, 1, gen_random_uuid(), timestamptz '2026-11-01 12:00:00+00' + make_interval(secs => n),
       jsonb_build_object('earmark.a', ARRAY[10 * (n - 1), 10 * n], 'earmark.b', ARRAY[5 * (n - 1), 5 * n]), 3 * n - 2, 3 * n, '', ''
  FROM (VALUES ('stock'), ('demand')) AS s (side), generate_series(0, 7) AS number, generate_series(1, $BATCHES) AS n;
INSERT INTO allocator.state_partition (side, number, epoch, batch_no, positions, out_sequence, published_sequence)
SELECT side, number, 1, max(batch_no), jsonb_build_object(
         'earmark.a', jsonb_build_object('next_offset', 10 * max(batch_no), 'last_offset', 10 * max(batch_no) - 1),
         'earmark.b', jsonb_build_object('next_offset', 5 * max(batch_no), 'last_offset', 5 * max(batch_no) - 1)), max(last_sequence),
       max(last_sequence)
  FROM allocator.batch GROUP BY 1, 2;
ANALYZE;
"""

_INDEXES = """
SELECT CASE WHEN c.oid IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, c.conname) END AS drop,
       pg_get_indexdef(i.indexrelid) AS make,
       CASE WHEN c.oid IS NOT NULL
            THEN format('ALTER TABLE %1$s ADD CONSTRAINT %2$I PRIMARY KEY USING INDEX %2$I', i.indrelid::regclass, c.conname)
            END AS make_key
  FROM pg_index AS i LEFT JOIN pg_constraint AS c ON c.conindid = i.indexrelid AND c.contype = 'p'
 WHERE i.indrelid = ANY ($1::text[]::regclass[])
"""


def _silent(_: float) -> None:
    """Nobody watches."""


async def large_ledger(
    dsn: str, reservations: int, skus: int = SKUS, waiting_tenths: int = 1, say: Callable[[float], None] = _silent
) -> None:
    """Fill an empty database with so many reservations over so many SKUs, some tenths of their orders waiting for more. `say` hears which
    share of them is there."""
    given = {"SKUS": skus, "LINES": LINES, "WAITING": waiting_tenths, "BATCHES": BATCHES_OF_A_PARTITION}
    demands = reservations // LINES
    async with _connected(dsn) as connection:
        indexes = await connection.fetch(_INDEXES, [f"allocator.{table}" for table in _BARED])
        for one in indexes:
            await connection.execute(one["drop"])
        steps = iter(range(1, demands + 1, AT_ONCE))
        await asyncio.gather(*[_fill(dsn, steps, demands, given, say) for _ in range(FILLERS)])
        await asyncio.gather(*[_make(dsn, one["make"]) for one in indexes])
        for one in indexes:
            if one["make_key"]:
                await connection.execute(one["make_key"])
        await connection.execute(_filled_in(_REST, given))


async def _fill(dsn: str, steps: Iterator[int], demands: int, given: dict[str, int], say: Callable[[float], None]) -> None:
    async with _connected(dsn) as connection:
        for first in steps:
            last = min(first + AT_ONCE - 1, demands)
            await connection.execute(_filled_in(_SOME, given | {"FIRST": first, "LAST": last}))
            say(last / demands)


async def _make(dsn: str, index: str) -> None:
    async with _connected(dsn) as connection:
        await connection.execute(index)


def _filled_in(sql: str, given: dict[str, int]) -> str:
    return re.sub(r"\$([A-Z]+)", lambda name: str(given[name[1]]), sql)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection: asyncpg.Connection = await hot_connection(dsn, "test", command_seconds=FILL_SECONDS, **_QUICK)
    try:
        yield connection
    finally:
        await connection.close()
