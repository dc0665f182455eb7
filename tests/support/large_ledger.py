"""A ledger of any size whose books balance, made by SQL alone: what the checks of `earmark verify` are timed on."""

import re

import asyncpg

from shared.database import hot_connection

SKUS = 400
LINES = 100
"""Long orders, as wholesale has them: what is read once for each line, and not once for each demand, shows."""
BATCHES_OF_A_PARTITION = 1_000
FILL_SECONDS = 1_800

LEDGER = """
CREATE TEMPORARY TABLE line AS
SELECT i AS demand_number, concat('sales-order/acme/o-', i) AS demand,
       concat('SKU-', lpad(((i * 7 + k * 131) % $SKUS)::text, 6, '0')) AS sku,
       1 + i % 2 AS record, 2 AS reserved, CASE WHEN i % 10 < $WAITING THEN 1 ELSE 0 END AS waiting,
       timestamptz '2026-11-01 12:00:00+00' + make_interval(secs => i) AS demanded_at
  FROM generate_series(1, $COUNT / $LINES) AS i, generate_series(0, $LINES - 1) AS k;

INSERT INTO allocator.reservation (demand, sku, alternative, merchant, attempt, version, reserved_units, flagged_units, waiting_units,
       consumed_units, pending, fill, strategy, priority, demanded_at, warehouses, piece_records, piece_units, created_at)
SELECT demand, sku, '', 'acme', 1, 1, reserved, 0, waiting, 0, false, 'partial', 'fefo', 0, demanded_at, ARRAY['main'], ARRAY[record],
       ARRAY[reserved], demanded_at FROM line;

INSERT INTO allocator.demand (demand, partition, merchant, status, wish, version, attempt, state)
SELECT demand, demand_number % 8, 'acme', 'lines', 'stock', 1, 1, json_build_object(
         'lines', json_agg(json_build_array(sku, reserved + waiting, ARRAY['main'])), 'fill', 'partial', 'strategy', 'fefo',
         'demanded_at', demanded_at, 'told_version', 1, 'told', 'x',
         'seen', json_agg(json_build_array(sku, '', 1, 1, reserved, 0, waiting, 0, false, NULL, '{}'::text[], NULL)))::text
  FROM line GROUP BY demand, demand_number, demanded_at;

INSERT INTO allocator.stock_record (merchant, sku, record, partition, warehouse, bin, received_at, on_hand, held, backed, flagged, version,
       expired, changed_at)
SELECT 'acme', sku, record, 0, 'main', concat('A-', record), now(), sum(reserved), 0, sum(reserved), 0, 1, false, now()
  FROM line GROUP BY sku, record;
INSERT INTO allocator.stock_record (merchant, sku, record, partition, warehouse, bin, received_at, on_hand, held, backed, flagged, version,
       expired, changed_at)
SELECT 'acme', sku, 3 - record, 0, 'main', concat('A-', 3 - record), now(), 0, 0, 0, 0, 1, false, now()
  FROM (SELECT sku, min(record) AS record FROM line GROUP BY sku HAVING count(DISTINCT record) = 1) AS lonely;

INSERT INTO allocator.movement (merchant, sku, origin, command_id, part, digest, kind, record, field, remedy, reason, cause, change,
       on_hand_before, on_hand_after, record_version, ledger_version, moved_at)
SELECT merchant, sku, 'inventory', concat('r-', record), 0, '', 'receive', record, '', '', '', '', on_hand, 0, on_hand, 1, record + 1, now()
  FROM allocator.stock_record WHERE on_hand > 0;

INSERT INTO allocator.sku_queue (merchant, sku, partition, waiting_count, wake_window, baton_seq)
SELECT 'acme', sku, 0, count(*) FILTER (WHERE waiting > 0), 1, 0 FROM line GROUP BY sku;

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


async def large_ledger(dsn: str, reservations: int, skus: int = SKUS, waiting_tenths: int = 1) -> None:
    """Fill an empty database with so many reservations over so many SKUs, some tenths of their orders waiting for more."""
    given = {"COUNT": reservations, "SKUS": skus, "LINES": LINES, "WAITING": waiting_tenths, "BATCHES": BATCHES_OF_A_PARTITION}
    connection: asyncpg.Connection = await hot_connection(dsn, "test", command_seconds=FILL_SECONDS)
    try:
        await connection.execute(re.sub(r"\$([A-Z]+)", lambda name: str(given[name[1]]), LEDGER))
    finally:
        await connection.close()
