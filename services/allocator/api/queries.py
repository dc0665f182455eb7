"""What the read-only HTTP asks of the ledger, in SQL. Every query is scoped by the caller's merchant."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.allocator.store.demand_encoding import from_row
from services.allocator.store.demand_ports import DemandRow
from shared.schemas.events import Shortage

_RECORDS = """
SELECT sku, record, warehouse, bin, lot, label, expires_on, received_at, on_hand, held, backed + flagged AS allocated,
       on_hand - held - backed - flagged AS available, flagged, version, changed_at
  FROM allocator.stock_record
 WHERE merchant = :merchant
"""
_HOLDERS = """
SELECT v.demand, split_part(v.demand, '/', 1) AS kind, split_part(v.demand, '/', 3) AS number, 'allocated' AS type, v.sku,
       p.units + coalesce(p.flags, 0) AS allocated, coalesce(p.flags, 0) AS flagged, v.mark IS NOT NULL AS being_picked, v.pending,
       v.priority, v.demanded_at, v.created_at
  FROM allocator.reservation v, unnest(v.piece_records, v.piece_units, v.piece_flags) AS p (record, units, flags)
 WHERE v.merchant = :merchant AND v.sku = :sku AND p.record = :record AND v.reserved_units > 0
   AND (v.created_at, v.demand) > (coalesce(CAST(:after_at AS timestamptz), '-infinity'), coalesce(CAST(:after_demand AS text), ''))
 ORDER BY v.created_at, v.demand LIMIT :limit
"""
_MOVEMENTS = """
SELECT record, record_version, kind, command_id, reason, cause, change, on_hand_before, on_hand_after, released_units, ledger_version,
       moved_at
  FROM allocator.movement
 WHERE merchant = :merchant AND sku = :sku AND record = :record AND refusal IS NULL
   AND record_version < coalesce(CAST(:before AS bigint), 9223372036854775807)
 ORDER BY record_version DESC LIMIT :limit
"""
_QUEUE = """
SELECT demand, alternative, fill, waiting_units, reserved_units, priority, demanded_at, warehouses, rank
  FROM (SELECT *, row_number() OVER (ORDER BY priority, demanded_at, demand, alternative) AS rank
          FROM allocator.reservation WHERE merchant = :merchant AND sku = :sku AND waiting_units > 0) AS queue
 WHERE rank > :after ORDER BY rank LIMIT :limit
"""
_STANDING = """
SELECT demand, sku, alternative, fill, reserved_units, flagged_units, waiting_units, consumed_units, priority, demanded_at, warehouses,
       (SELECT coalesce(sum(s.version), 0) + 1
          FROM allocator.stock_record AS s WHERE (s.merchant, s.sku) = (v.merchant, v.sku)) AS ledger_version
  FROM allocator.reservation AS v
 WHERE merchant = :merchant AND sku = :sku AND demand = :demand
 ORDER BY live DESC, attempt DESC LIMIT 1
"""
_AHEAD = """
SELECT count(*) + 1 AS rank, coalesce(sum(waiting_units), 0)::bigint AS ahead_units
  FROM allocator.reservation
 WHERE merchant = :merchant AND sku = :sku AND live AND waiting_units > 0
   AND (priority, demanded_at, demand, alternative) < (:priority, :demanded_at, :demand, :alternative)
"""
_EXPLAINED = f"SELECT {', '.join(DemandRow._fields)} FROM allocator.demand WHERE demand = :demand"
_LARGEST = """
SELECT demand, alternative, split_part(demand, '/', 1) AS kind, split_part(demand, '/', 3) AS number, reserved_units AS units,
       flagged_units AS flagged, mark IS NOT NULL AS being_picked
  FROM allocator.reservation
 WHERE merchant = :merchant AND sku = :sku AND live AND reserved_units > 0
   AND (-reserved_units, demand, alternative) > (-CAST(:after_units AS bigint), :after_demand, :after_alternative)
 ORDER BY -reserved_units, demand, alternative LIMIT :limit
"""
_MOST = 2**62


async def records(
    connection: AsyncConnection, merchant: str, filters: Mapping[str, str | None], after: tuple[str, int] | None, limit: int
) -> list[dict[str, Any]]:
    """Stock records of a merchant, by SKU and number; `filters`: sku, warehouse, bin, lot."""
    wanted = {name: value for name, value in filters.items() if value is not None}
    conditions = "".join(f" AND {name} = :{name}" for name in sorted(wanted))
    sql = f"{_RECORDS}{conditions} AND (sku, record) > (:after_sku, :after_record) ORDER BY sku, record LIMIT :limit"
    after_sku, after_record = after or ("", 0)
    given = {"merchant": merchant, "after_sku": after_sku, "after_record": after_record, "limit": limit} | wanted
    return await _rows(connection, sql, given)


async def record(connection: AsyncConnection, merchant: str, sku: str, number: int) -> dict[str, Any] | None:
    """One stock record, or None."""
    found = await _rows(connection, f"{_RECORDS} AND sku = :sku AND record = :record", {"merchant": merchant, "sku": sku, "record": number})
    return found[0] if found else None


async def holders(
    connection: AsyncConnection, merchant: str, sku: str, number: int, after: tuple[datetime, str] | None, limit: int
) -> list[dict[str, Any]]:
    """Who holds units of a stock record now, in the order in which they got them."""
    from_at, from_demand = after or (None, None)
    given = {"merchant": merchant, "sku": sku, "record": number, "after_at": from_at, "after_demand": from_demand, "limit": limit}
    return await _rows(connection, _HOLDERS, given)


async def movements(
    connection: AsyncConnection, merchant: str, sku: str, number: int, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """The movements of a stock record, newest first."""
    given = {"merchant": merchant, "sku": sku, "record": number, "before": before, "limit": limit}
    return await _rows(connection, _MOVEMENTS, given)


async def queue(connection: AsyncConnection, merchant: str, sku: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Who waits for a SKU, in the order in which they are served, with their rank from 1."""
    return await _rows(connection, _QUEUE, {"merchant": merchant, "sku": sku, "after": after, "limit": limit})


async def standing(connection: AsyncConnection, merchant: str, sku: str, demand: str) -> dict[str, Any] | None:
    """What a demand has and lacks of a SKU, with its place in the queue if it waits, now; None if it never asked for any."""
    found = await _rows(connection, _STANDING, {"merchant": merchant, "sku": sku, "demand": demand})
    if not found:
        return None
    row = found[0]
    if not row["waiting_units"]:
        return row | {"rank": None, "ahead_units": 0}
    place = {name: row[name] for name in ("priority", "demanded_at", "demand", "alternative")}
    return row | (await _rows(connection, _AHEAD, {"merchant": merchant, "sku": sku} | place))[0]


async def shortage(connection: AsyncConnection, demand: str, sku: str, alternative: str) -> Shortage | None:
    """What the stock side said when it last answered: the demand keeps it whole, whatever was left out of the event."""
    found = await _rows(connection, _EXPLAINED, {"demand": demand})
    outcome = from_row(DemandRow(**found[0])).seen.get((sku, alternative)) if found else None
    return outcome.shortage if outcome else None


async def largest(
    connection: AsyncConnection, merchant: str, sku: str, after: tuple[int, str, str] | None, limit: int
) -> list[dict[str, Any]]:
    """Everybody who holds units of a SKU, the largest first."""
    units, demand, alternative = after or (_MOST, "", "")
    place = {"after_units": units, "after_demand": demand, "after_alternative": alternative}
    return await _rows(connection, _LARGEST, {"merchant": merchant, "sku": sku, "limit": limit} | place)


async def _rows(connection: AsyncConnection, sql: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.execute(text(sql), dict(given))).mappings()]
