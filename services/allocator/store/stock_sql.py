"""The statements of `PostgresStockStorage`. Every one is bulk, one per intent, driven by arrays of keys."""

from services.allocator.core.stock.rows import BatonRow, MovementRow, QueueRow, RecordRow, ReservationRow


def _looked_up(row: type[tuple[object, ...]], table: str, *keys: str, where: str = "true") -> str:
    """The rows of a table under each of the keys, which are given as one array per column, written as text: the driver looks at every
    element of a binary array three times.

    LATERAL and OFFSET 0: one look-up for each key, whatever the planner thinks. The settings of the connection leave it one other way, to
    go along the index and over all keys for each row; it took that for a table that was empty when the plan was made, and kept it.
    """
    arrays = ", ".join(f"${number}::text::text[]" for number in range(1, len(keys) + 1))
    columns = ", ".join(f"t.{name}" for name in row._fields)  # type: ignore[attr-defined]  # only named tuples are given
    match = f"({', '.join(f's.{key}' for key in keys)}) = ({', '.join(f'k.{key}' for key in keys)})"
    return f"""
SELECT {columns}
  FROM unnest({arrays}) AS k ({", ".join(keys)})
 CROSS JOIN LATERAL (SELECT * FROM allocator.{table} AS s WHERE {match} AND {where} OFFSET 0) AS t
"""


RECORDS = _looked_up(RecordRow, "stock_record", "merchant", "sku") + " ORDER BY t.merchant, t.sku, t.record"
QUEUES = _looked_up(QueueRow, "sku_queue", "merchant", "sku")
BATONS = _looked_up(BatonRow, "baton", "merchant", "sku")
LIVE = _looked_up(ReservationRow, "reservation", "merchant", "sku", where="s.live")
RESERVATIONS = _looked_up(ReservationRow, "reservation", "demand", "sku", "alternative")
MOVEMENTS = _looked_up(MovementRow, "movement", "merchant", "sku", "command_id", where="s.origin = 'inventory' AND s.part = 0")

DUE_BATONS = "SELECT merchant, sku, demand, alternative, expires_at FROM allocator.baton WHERE partition = $1 AND NOT expired"
DUE_CONTINUATIONS = "SELECT merchant, sku, continue_at FROM allocator.sku_queue WHERE partition = $1 AND continue_at IS NOT NULL"
DUE_LOTS = """
SELECT merchant, sku, min(expires_on) FROM allocator.stock_record
 WHERE partition = $1 AND expires_on IS NOT NULL AND NOT expired GROUP BY merchant, sku
"""
TOLD = "SELECT told_at, round_due_at, round_began_at, round_merchant, round_sku FROM allocator.levels_told WHERE partition = $1"
SKUS_AFTER = """
SELECT DISTINCT merchant, sku FROM allocator.stock_record
 WHERE partition = $1 AND (merchant, sku) > ($2, $3) ORDER BY merchant, sku LIMIT $4
"""
UNTOLD = (
    "SELECT DISTINCT merchant, sku FROM allocator.stock_record WHERE partition = $1 AND changed_at > coalesce($2, '-infinity'::timestamptz)"
)

UPDATE_RECORDS = """
UPDATE allocator.stock_record AS t
   SET on_hand = n.on_hand, held = n.held, backed = n.backed, flagged = n.flagged, version = n.version, changed_at = $1
  FROM unnest($2::text::text[], $3::text::text[], $4::text::integer[], $5::text::bigint[], $6::text::bigint[], $7::text::bigint[],
              $8::text::bigint[], $9::text::bigint[])
       AS n (merchant, sku, record, on_hand, held, backed, flagged, version)
 WHERE (t.merchant, t.sku, t.record) = (n.merchant, n.sku, n.record)
"""
"""Names and numbers travel as the text of a whole array, as in look-ups."""
REDATE_RECORDS = """
UPDATE allocator.stock_record AS t
   SET expires_on = n.expires_on, received_at = n.received_at, expired = n.expired
  FROM unnest($1::text[], $2::text[], $3::integer[], $4::date[], $5::timestamptz[], $6::boolean[])
       AS n (merchant, sku, record, expires_on, received_at, expired)
 WHERE (t.merchant, t.sku, t.record) = (n.merchant, n.sku, n.record)
"""
UPDATE_RESERVATIONS = """
UPDATE allocator.reservation AS t
   SET attempt = n.attempt, version = n.version, reserved_units = n.reserved_units, flagged_units = n.flagged_units,
       waiting_units = n.waiting_units, consumed_units = n.consumed_units, pending = n.pending, mark = n.mark, fill = n.fill,
       strategy = n.strategy, priority = n.priority, demanded_at = n.demanded_at, warehouses = n.warehouses::text[],
       piece_records = n.piece_records::integer[], piece_units = n.piece_units::bigint[], piece_flags = n.piece_flags::bigint[],
       empty_since = n.empty_since
  FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::bigint[], $5::text::bigint[], $6::text::bigint[],
              $7::text::bigint[], $8::text::bigint[], $9::text::bigint[], $10::text::boolean[], $11::text::bigint[], $12::text::text[],
              $13::text::text[], $14::text::integer[], $15::text::timestamptz[], $16::text::text[], $17::text::text[],
              $18::text::text[], $19::text::text[], $20::text::timestamptz[])
       AS n (demand, sku, alternative, attempt, version, reserved_units, flagged_units, waiting_units, consumed_units, pending, mark,
             fill, strategy, priority, demanded_at, warehouses, piece_records, piece_units, piece_flags, empty_since)
 WHERE (t.demand, t.sku, t.alternative) = (n.demand, n.sku, n.alternative)
"""
SAVE_QUEUES = """
INSERT INTO allocator.sku_queue AS t (merchant, sku, partition, waiting_count, wake_window, baton_seq, continue_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[], $7::timestamptz[])
    ON CONFLICT ON CONSTRAINT sku_queue_pkey DO UPDATE
   SET waiting_count = excluded.waiting_count, wake_window = excluded.wake_window, baton_seq = excluded.baton_seq,
       continue_at = excluded.continue_at
"""
SAVE_BATONS = """
INSERT INTO allocator.baton AS t (merchant, sku, demand, alternative, partition, baton, expires_at, expired)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::timestamptz[], $8::boolean[])
    ON CONFLICT ON CONSTRAINT baton_pkey DO UPDATE
   SET baton = excluded.baton, expires_at = excluded.expires_at, expired = excluded.expired
"""
DELETE_BATONS = """
DELETE FROM allocator.baton AS t
 USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n (merchant, sku, demand, alternative)
 WHERE (t.merchant, t.sku, t.demand, t.alternative) = (n.merchant, n.sku, n.demand, n.alternative)
"""
FORGET_RESERVATIONS = """
DELETE FROM allocator.reservation AS t
 USING unnest($1::text[], $2::text[], $3::text[]) AS n (demand, sku, alternative)
 WHERE (t.demand, t.sku, t.alternative) = (n.demand, n.sku, n.alternative) AND NOT t.live
"""
SAVE_TOLD = """
INSERT INTO allocator.levels_told AS t (partition, told_at, round_due_at, round_began_at, round_merchant, round_sku)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT ON CONSTRAINT levels_told_pkey DO UPDATE
   SET told_at = excluded.told_at, round_due_at = excluded.round_due_at, round_began_at = excluded.round_began_at,
       round_merchant = excluded.round_merchant, round_sku = excluded.round_sku
"""
