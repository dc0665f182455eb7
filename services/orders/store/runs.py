"""Bulk runs in Postgres: which of their orders may start, which have ended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Key
from services.orders.core.runs import Planned
from services.orders.store.driver import driver
from services.orders.store.tables import allocation_run, allocation_run_order
from shared.relay import Outbox, Outgoing
from shared.schemas.events import AllocationRunChanged
from shared.schemas.topics import ORDERS

Action = Literal["allocate", "deallocate"]

_SKUS = """
SELECT k.number, string_to_array(o.sku_keys, ',') AS skus
  FROM unnest($2::text[]) AS k (number) LEFT JOIN orders.sales_order o ON o.merchant = $1 AND o.number = k.number
"""
_INSERT_RUN = text("""
INSERT INTO orders.allocation_run (merchant, id, version, action, total, created_at, created_by)
VALUES (:merchant, :id, 1, :action, :total, :now, :by)
""")
_INSERT_ORDERS = """
INSERT INTO orders.allocation_run_order (run, merchant, state, position, number, waits_for, releases)
SELECT $1, $2, 'waiting', n.position, n.number, n.waits_for, n.releases::integer[]
  FROM unnest($3::integer[], $4::text[], $5::integer[], $6::text[]) AS n (position, number, waits_for, releases)
"""
_READY = """
SELECT o.run, o.position, o.merchant, o.number, o.releases, r.action, r.created_by
  FROM orders.allocation_run_order o JOIN orders.allocation_run r ON r.id = o.run
 WHERE o.state = 'waiting' AND o.waits_for = 0 ORDER BY o.run, o.position LIMIT $1 FOR UPDATE OF o SKIP LOCKED
"""
_STARTED = """
UPDATE orders.allocation_run_order o SET state = n.state, result = n.result, detail = n.detail
  FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[]) AS n (run, position, state, result, detail)
 WHERE o.run = n.run AND o.position = n.position
"""
_STARTED_AMONG = """
SELECT DISTINCT o.merchant, o.number
  FROM unnest($1::text[], $2::text[]) AS k (merchant, number) JOIN orders.allocation_run_order o USING (merchant, number)
 WHERE o.state = 'started' ORDER BY o.merchant, o.number
"""
_ENDED = """
UPDATE orders.allocation_run_order o SET state = 'ended', result = a.status
  FROM unnest($1::text[], $2::text[]) AS k (merchant, number) JOIN orders.allocation a USING (merchant, number)
 WHERE o.state = 'started' AND o.merchant = k.merchant AND o.number = k.number
RETURNING o.run, o.position, o.releases
"""
_RELEASE = """
UPDATE orders.allocation_run_order o SET waits_for = o.waits_for - held.count
  FROM (SELECT w.run, w.position, n.count FROM orders.allocation_run_order w
          JOIN unnest($1::text[], $2::integer[], $3::integer[]) AS n (run, position, count) USING (run, position)
         ORDER BY w.run, w.position FOR UPDATE OF w) AS held
 WHERE o.run = held.run AND o.position = held.position
"""
_PROGRESS = """
UPDATE orders.allocation_run r
   SET version = r.version + 1, ended = r.ended + n.ended, refused = r.refused + n.refused,
       ended_at = CASE WHEN r.ended + n.ended + r.refused + n.refused = r.total THEN $4::timestamptz END
  FROM unnest($1::text[], $2::integer[], $3::integer[]) AS n (id, ended, refused)
 WHERE r.id = n.id
RETURNING r.merchant, r.id, r.version, r.action, r.total, r.ended, r.refused
"""


@dataclass(frozen=True, slots=True)
class Ready:
    """An order of a run that may start now; its row is locked."""

    run: str
    position: int
    key: Key
    releases: tuple[int, ...]
    action: str
    by: str


@dataclass(frozen=True, slots=True)
class Started:
    """What came of starting it: under way, or refused with `detail`."""

    ready: Ready
    refused: str | None
    detail: str = ""


async def skus_of(connection: AsyncConnection, merchant: str, numbers: Sequence[str]) -> dict[str, list[str]]:
    """The SKUs of those orders that exist, each with its merchant."""
    rows = await (await driver(connection)).fetch(_SKUS, merchant, list(numbers))
    return {row["number"]: row["skus"] for row in rows if row["skus"] is not None}


async def create_run(
    connection: AsyncConnection, outbox: Outbox, merchant: str, run: str, action: Action, planned: Sequence[Planned], now: datetime, by: str
) -> None:
    """Store a new run and its orders in their order, and tell of it."""
    row = {"merchant": merchant, "id": run, "action": action, "total": len(planned), "now": now, "by": by}
    await connection.execute(_INSERT_RUN, row)
    positions = list(range(len(planned)))
    releases = ["{" + ",".join(map(str, one.releases)) + "}" for one in planned]
    columns = [positions, [one.number for one in planned], [one.waits_for for one in planned], releases]
    await (await driver(connection)).execute(_INSERT_ORDERS, run, merchant, *columns)
    made = AllocationRunChanged(
        merchant=merchant, run=run, version=1, action=action, total=len(planned), ended=0, refused=0, changed_at=now
    )
    await outbox.append(connection, now, _outgoing(made))


async def lock_ready(connection: AsyncConnection, limit: int) -> list[Ready]:
    """Orders of any run that may start and that no other process is starting."""
    rows = await (await driver(connection)).fetch(_READY, limit)
    return [
        Ready(row["run"], row["position"], Key(row["merchant"], row["number"]), tuple(row["releases"]), row["action"], row["created_by"])
        for row in rows
    ]


async def save_started(connection: AsyncConnection, outbox: Outbox, started: Sequence[Started], now: datetime) -> list[str]:
    """Store what came of starting them. A refused one has ended: it releases those that wait for it. Returns the runs that moved on."""
    rows = [(one.ready.run, one.ready.position, "refused" if one.refused else "started", one.refused or "", one.detail) for one in started]
    raw = await driver(connection)
    await raw.execute(_STARTED, *map(list, zip(*rows, strict=True)))
    refused = [one.ready for one in started if one.refused]
    await _release(raw, ((one.run, position) for one in refused for position in one.releases))
    return await _progress(connection, outbox, {}, Counter(one.run for one in refused), now)


async def started_among(connection: AsyncConnection, keys: Sequence[Key]) -> list[Key]:
    """Those of the orders that a run has started and waits for."""
    rows = await (await driver(connection)).fetch(_STARTED_AMONG, [key.merchant for key in keys], [key.number for key in keys])
    return [Key(row["merchant"], row["number"]) for row in rows]


async def end_orders(connection: AsyncConnection, outbox: Outbox, settled: Iterable[Key], now: datetime) -> list[str]:
    """These orders have been decided: where a run waited for them it goes on. Returns the runs that did."""
    keys = sorted((key.merchant, key.number) for key in settled)
    raw = await driver(connection)
    rows = await raw.fetch(_ENDED, [merchant for merchant, _ in keys], [number for _, number in keys]) if keys else []
    if not rows:
        return []
    await _release(raw, ((row["run"], position) for row in rows for position in row["releases"]))
    return await _progress(connection, outbox, Counter(row["run"] for row in rows), {}, now)


async def find_run(connection: AsyncConnection, merchant: str, run: str) -> Row[Any] | None:
    """The run, or null."""
    query = select(allocation_run).where(allocation_run.c.merchant == merchant, allocation_run.c.id == run)
    return (await connection.execute(query)).one_or_none()


async def list_run_orders(connection: AsyncConnection, run: str, after: int, limit: int) -> list[Row[Any]]:
    """The orders of a run in the order of the selection."""
    order = allocation_run_order.c
    query = select(allocation_run_order).where(order.run == run, order.position > after).order_by(order.position).limit(limit)
    return list(await connection.execute(query))


async def _release(raw: Any, released: Iterable[tuple[str, int]]) -> None:
    counts = Counter(released)
    if counts:
        rows = [(run, position, count) for (run, position), count in sorted(counts.items())]
        await raw.execute(_RELEASE, *map(list, zip(*rows, strict=True)))


async def _progress(
    connection: AsyncConnection, outbox: Outbox, ended: Mapping[str, int], refused: Mapping[str, int], now: datetime
) -> list[str]:
    """Count them, and tell of the runs that moved on."""
    runs = sorted({*ended, *refused})
    if not runs:
        return []
    counts = [ended.get(run, 0) for run in runs], [refused.get(run, 0) for run in runs]
    rows = await (await driver(connection)).fetch(_PROGRESS, runs, *counts, now)
    told = [
        AllocationRunChanged(
            merchant=row["merchant"],
            run=row["id"],
            version=row["version"],
            action=row["action"],
            total=row["total"],
            ended=row["ended"],
            refused=row["refused"],
            changed_at=now,
        )
        for row in rows
    ]
    await outbox.append(connection, now, *map(_outgoing, told))
    return runs


def _outgoing(changed: AllocationRunChanged) -> Outgoing:
    key = f"{changed.merchant}/{changed.run}"
    return Outgoing(entity=key, topic=ORDERS.name, key=key, message=changed)
