"""The statements of `PostgresStockStorage`. Every one is bulk, one per intent, driven by arrays of keys."""

from collections.abc import Sequence
from typing import Any

from services.allocator.core.stock.rows import BatonRow, MovementRow, QueueRow, RecordRow, ReservationRow
from services.allocator.store.array_text import any_texts, array, texts
from services.allocator.store.stock_text import reservations_text
from shared.partitions.link import LOAD, SAVE, Copy, Statement, columns


class StockRowsMissing(Exception):
    """Rows to be changed are gone: they were removed behind the allocator's back. Restore them; nothing was written."""


def keys(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """One array for each part of the keys."""
    found = list(map(texts, zip(*rows, strict=True)))
    assert sum([text.count('"') for text in found]) == 2 * len(rows) * len(found), "an identifier ends no other"
    assert not any("\\" in text for text in found), "an identifier escapes nothing"
    return found


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


RECORDS = Statement(LOAD + 10, _looked_up(RecordRow, "stock_record", "merchant", "sku") + " ORDER BY t.merchant, t.sku, t.record", keys, 2)
QUEUES = Statement(LOAD + 11, _looked_up(QueueRow, "sku_queue", "merchant", "sku"), keys, 2)
BATONS = Statement(LOAD + 12, _looked_up(BatonRow, "baton", "merchant", "sku"), keys, 2)
RESERVATIONS = Statement(LOAD + 20, _looked_up(ReservationRow, "reservation", "demand", "sku", "alternative"), keys, 3)
MOVEMENTS = Statement(
    LOAD + 21,
    _looked_up(MovementRow, "movement", "merchant", "sku", "command_id", where="s.origin = 'inventory' AND s.part = 0"),
    keys,
    2,
)
LIVE = _looked_up(ReservationRow, "reservation", "merchant", "sku", where="s.live")

DUE_BATONS = "SELECT merchant, sku, demand, alternative, expires_at FROM allocator.baton WHERE partition = $1 AND NOT expired"
DUE_CONTINUATIONS = "SELECT merchant, sku, continue_at FROM allocator.sku_queue WHERE partition = $1 AND continue_at IS NOT NULL"
DUE_LOTS = """
SELECT merchant, sku, min(expires_on) FROM allocator.stock_record
 WHERE partition = $1 AND expires_on IS NOT NULL AND NOT expired GROUP BY merchant, sku
"""
TOLD = """
SELECT told_at, announced_at, sweep_began_at, sweep_merchant, sweep_sku, round_due_at, round_began_at, round_merchant, round_sku
  FROM allocator.levels_told WHERE partition = $1
"""
SKUS_AFTER = """
SELECT DISTINCT merchant, sku FROM allocator.stock_record
 WHERE partition = $1 AND (merchant, sku) > ($2, $3) ORDER BY merchant, sku LIMIT $4
"""
CHANGED = """
SELECT merchant, sku, max(changed_at) FROM allocator.stock_record
 WHERE partition = $1 AND changed_at > coalesce($2, '-infinity'::timestamptz) GROUP BY merchant, sku
"""

_UPDATE_RECORDS = """
UPDATE allocator.stock_record AS t
   SET on_hand = n.on_hand, held = n.held, backed = n.backed, flagged = n.flagged, version = n.version, changed_at = n.changed_at
  FROM unnest($1::text::text[], $2::text::text[], $3::text::integer[], $4::text::bigint[], $5::text::bigint[], $6::text::bigint[],
              $7::text::bigint[], $8::text::bigint[], $9::text::timestamptz[])
       AS n (merchant, sku, record, on_hand, held, backed, flagged, version, changed_at)
 WHERE (t.merchant, t.sku, t.record) = (n.merchant, n.sku, n.record)
"""
"""Names and numbers travel as the text of a whole array, as in look-ups."""
_REDATE_RECORDS = """
UPDATE allocator.stock_record AS t
   SET expires_on = n.expires_on, received_at = n.received_at, expired = n.expired
  FROM unnest($1::text[], $2::text[], $3::integer[], $4::date[], $5::timestamptz[], $6::boolean[])
       AS n (merchant, sku, record, expires_on, received_at, expired)
 WHERE (t.merchant, t.sku, t.record) = (n.merchant, n.sku, n.record)
"""
_UPDATE_RESERVATIONS = """
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
_SAVE_QUEUES = """
INSERT INTO allocator.sku_queue AS t (merchant, sku, partition, waiting_count, wake_window, baton_seq, continue_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[], $7::timestamptz[])
    ON CONFLICT ON CONSTRAINT sku_queue_pkey DO UPDATE
   SET waiting_count = excluded.waiting_count, wake_window = excluded.wake_window, baton_seq = excluded.baton_seq,
       continue_at = excluded.continue_at
"""
_SAVE_BATONS = """
INSERT INTO allocator.baton AS t (merchant, sku, demand, alternative, partition, baton, expires_at, expired)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::timestamptz[], $8::boolean[])
    ON CONFLICT ON CONSTRAINT baton_pkey DO UPDATE
   SET baton = excluded.baton, expires_at = excluded.expires_at, expired = excluded.expired
"""
_DELETE_BATONS = """
DELETE FROM allocator.baton AS t
 USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n (merchant, sku, demand, alternative)
 WHERE (t.merchant, t.sku, t.demand, t.alternative) = (n.merchant, n.sku, n.demand, n.alternative)
"""
_FORGET_RESERVATIONS = """
DELETE FROM allocator.reservation AS t
 USING unnest($1::text[], $2::text[], $3::text[]) AS n (demand, sku, alternative)
 WHERE (t.demand, t.sku, t.alternative) = (n.demand, n.sku, n.alternative) AND NOT t.live
"""
_SAVE_TOLD = """
INSERT INTO allocator.levels_told AS t (partition, told_at, announced_at, sweep_began_at, sweep_merchant, sweep_sku, round_due_at,
       round_began_at, round_merchant, round_sku)
SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::timestamptz[],
              $8::timestamptz[], $9::text[], $10::text[])
    ON CONFLICT ON CONSTRAINT levels_told_pkey DO UPDATE
   SET told_at = excluded.told_at, announced_at = excluded.announced_at, sweep_began_at = excluded.sweep_began_at,
       sweep_merchant = excluded.sweep_merchant, sweep_sku = excluded.sweep_sku, round_due_at = excluded.round_due_at,
       round_began_at = excluded.round_began_at, round_merchant = excluded.round_merchant, round_sku = excluded.round_sku
"""


def _reservation_change(row: ReservationRow) -> tuple[Any, ...]:
    """The key and what may change. Arrays are text within the array: an array of arrays would be unnested to its leaves."""
    flags = None if row.piece_flags is None else array(row.piece_flags)
    return (*row[:3], *row[4:16], texts(row.warehouses), array(row.piece_records), array(row.piece_units), flags, row.empty_since)


_write_changes = columns(*3 * (texts,), *8 * (array,), *2 * (texts,), *2 * (array,), *4 * (any_texts,), array)


def _reservation_changes(rows: Sequence[ReservationRow]) -> list[Any]:
    return _write_changes(list(map(_reservation_change, rows)))


NEW_RECORDS = Copy(SAVE, "stock_record", RecordRow._fields)
UPDATE_RECORDS = Statement(SAVE + 1, _UPDATE_RECORDS, columns(texts, texts, *7 * (array,)), missing=StockRowsMissing)
REDATE_RECORDS = Statement(SAVE + 2, _REDATE_RECORDS, columns(*6 * (list,)), missing=StockRowsMissing)
FORGET_RESERVATIONS = Statement(SAVE + 3, _FORGET_RESERVATIONS, columns(*3 * (list,)), missing=StockRowsMissing)
NEW_RESERVATIONS = Copy(SAVE + 4, "reservation", ReservationRow._fields, reservations_text)
"""As text: for its three arrays the driver takes twice as long as for all other values of a row together."""
UPDATE_RESERVATIONS = Statement(SAVE + 5, _UPDATE_RESERVATIONS, _reservation_changes, missing=StockRowsMissing)
NEW_MOVEMENTS = Copy(SAVE + 6, "movement", MovementRow._fields)
SAVE_QUEUES = Statement(SAVE + 7, _SAVE_QUEUES, columns(*7 * (list,)))
SAVE_BATONS = Statement(SAVE + 8, _SAVE_BATONS, columns(*8 * (list,)))
DELETE_BATONS = Statement(SAVE + 9, _DELETE_BATONS, columns(*4 * (list,)))
SAVE_TOLD = Statement(SAVE + 10, _SAVE_TOLD, columns(*10 * (list,)))
