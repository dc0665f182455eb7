"""Loads orders under lock and saves what was decided: orders, lines, history and outbox, each in bulk, whatever came of how many."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Changed, Entry, Key, Order
from services.orders.store.allocations import load_told
from services.orders.store.driver import driver
from services.orders.store.rows import ORDER_COLUMNS, UNTOLD, Row, order_of, order_row, texts_json
from shared.database import constraint
from shared.relay import Outbox, Outgoing
from shared.schemas.quick import quick
from shared.schemas.topics import ORDERS

COPY_FROM = 20
"""From so many new orders on, three COPYs are cheaper than one statement over arrays: 36 against 58 us of CPU per order of three lines."""
LINE_COLUMNS = ("merchant", "number", "sku", "position", "units", "warehouses")
HISTORY_COLUMNS = ("merchant", "number", "happening", "version", "at", "by", "details")
_made_outgoing = quick(Outgoing)
_TAKEN = {"sales_order_pkey", "line_pkey"}

_NAMES = ", ".join(ORDER_COLUMNS)
_ARRAYS = ", ".join(f"${index}::{kind}[]" for index, kind in enumerate(ORDER_COLUMNS.values(), 1))
_LINE_NAMES, _HISTORY_NAMES = ", ".join(LINE_COLUMNS), ", ".join(HISTORY_COLUMNS)
_LINE_ARRAYS = "${}::text[], ${}::text[], ${}::text[], ${}::integer[], ${}::bigint[], ${}::jsonb[]"
_HISTORY_ARRAYS = "${}::text[], ${}::text[], ${}::text[], ${}::bigint[], ${}::timestamptz[], ${}::text[], ${}::jsonb[]"
_SETS = ", ".join(f"{name} = n.{name}" for name in ORDER_COLUMNS if name not in {"merchant", "number", "created_at"})
_AFTER_ORDERS = len(ORDER_COLUMNS)
_CREATE = f"""
WITH orders AS (
    INSERT INTO orders.sales_order ({_NAMES}) SELECT * FROM unnest({_ARRAYS})
), lines AS (
    INSERT INTO orders.line ({_LINE_NAMES})
    SELECT * FROM unnest({_LINE_ARRAYS.format(*range(_AFTER_ORDERS + 1, _AFTER_ORDERS + 7))})
)
INSERT INTO orders.history ({_HISTORY_NAMES})
SELECT * FROM unnest({_HISTORY_ARRAYS.format(*range(_AFTER_ORDERS + 7, _AFTER_ORDERS + 14))})
"""
"""Everything of new orders in one round trip."""
_UPDATE_ORDERS = f"""
UPDATE orders.sales_order o SET {_SETS}
  FROM unnest({_ARRAYS}) AS n ({_NAMES})
 WHERE o.merchant = n.merchant AND o.number = n.number AND o.version < n.version
"""
_UPSERT_LINES = f"""
INSERT INTO orders.line ({_LINE_NAMES})
SELECT * FROM unnest({_LINE_ARRAYS.format(*range(1, 7))})
ON CONFLICT ON CONSTRAINT line_pkey DO UPDATE SET position = excluded.position, units = excluded.units, warehouses = excluded.warehouses
"""
_DELETE_LINES = """
DELETE FROM orders.line l USING unnest($1::text[], $2::text[], $3::text[]) AS gone (merchant, number, sku)
 WHERE l.merchant = gone.merchant AND l.number = gone.number AND l.sku = gone.sku
"""
_INSERT_HISTORY = f"""
INSERT INTO orders.history ({_HISTORY_NAMES})
SELECT * FROM unnest({_HISTORY_ARRAYS.format(*range(1, 8))})
"""
_ORDERS = f"""
SELECT {", ".join(f"o.{name}::text" if kind == "jsonb" else f"o.{name}" for name, kind in ORDER_COLUMNS.items())}
  FROM orders.sales_order o JOIN unnest($1::text[], $2::text[]) AS k (merchant, number) USING (merchant, number)
 ORDER BY o.merchant, o.number
"""
_LINES = """
SELECT l.merchant, l.number, l.sku, l.units, l.warehouses::text
  FROM orders.line l JOIN unnest($1::text[], $2::text[]) AS k (merchant, number) USING (merchant, number)
 ORDER BY l.position
"""


def number_is_taken(error: BaseException) -> bool:
    """Whether `save` failed because somebody made an order of the same number at the same moment. Of the order and its lines, which
    are written by one statement, either may be the one that is found."""
    return constraint(error) in _TAKEN


async def load(connection: AsyncConnection, keys: Iterable[Key], *, lock: bool) -> dict[Key, Order]:
    """The orders that exist among `keys`, whole. `lock`: their rows, in key order, until the transaction ends."""
    raw = await driver(connection)
    wanted = sorted(set(keys))
    merchants, numbers = [key[0] for key in wanted], [key[1] for key in wanted]
    rows = await raw.fetch(_ORDERS + "FOR UPDATE OF o" if lock else _ORDERS, merchants, numbers)
    lines: dict[Key, list[Row]] = {Key(row["merchant"], row["number"]): [] for row in rows}
    # Of those found only: an order that somebody makes between the two statements does not exist for this transaction.
    there = [key.merchant for key in lines], [key.number for key in lines]
    for line in await raw.fetch(_LINES, *there) if rows else ():
        lines[Key(line["merchant"], line["number"])].append(line)
    told = await load_told(raw, list(lines)) if rows else {}  # after the lock: as new as the order
    return {key: order_of(row, lines[key], told.get(key, UNTOLD)) for key, row in zip(lines, rows, strict=True)}


async def save(connection: AsyncConnection, outbox: Outbox, changes: Sequence[Changed]) -> None:
    """Write the changes: several of one order in the order in which they were decided. Existing orders must have been loaded under lock.

    An error of which `number_is_taken` tells: another transaction made the order meanwhile; roll back, load and decide again.
    """
    if not changes:
        return
    raw = await driver(connection)
    first: dict[Key, Changed] = {}
    last: dict[Key, Order] = {}
    for change in changes:
        first.setdefault(change.order.key, change)
        last[change.order.key] = change.order
    new = {key: order for key, order in last.items() if first[key].before is None}
    entries = [(change.order.key, change.entry) for change in changes]
    if new:
        in_key_order = [new[key] for key in sorted(new)]  # as locks are taken: no deadlock
        await _create(raw, in_key_order, [row for row in entries if row[0] in new])
    old = {key: (before, last[key]) for key, change in first.items() if (before := change.before) is not None}
    if old:
        await _update(raw, old)
        await add_history(connection, [row for row in entries if row[0] in old])
    await outbox.append(connection, max(change.order.changed_at for change in changes), *map(_outgoing, changes))


async def add_history(connection: AsyncConnection, entries: Sequence[tuple[Key, Entry]]) -> None:
    """Append to the histories of orders."""
    raw, rows = await driver(connection), list(map(_history_row, entries))
    if len(rows) >= COPY_FROM:
        await raw.copy_records_to_table("history", schema_name="orders", columns=list(HISTORY_COLUMNS), records=rows)
    elif rows:
        await raw.execute(_INSERT_HISTORY, *_columns(rows))


async def _create(raw: Any, orders: Sequence[Order], entries: Sequence[tuple[Key, Entry]]) -> None:
    rows, lines, history = list(map(order_row, orders)), _line_rows(orders), list(map(_history_row, entries))
    if len(orders) < COPY_FROM:
        await raw.execute(_CREATE, *_columns(rows), *_columns(lines), *_columns(history))
        return
    for table, columns, records in (
        ("sales_order", ORDER_COLUMNS, rows),
        ("line", LINE_COLUMNS, lines),
        ("history", HISTORY_COLUMNS, history),
    ):
        await raw.copy_records_to_table(table, schema_name="orders", columns=list(columns), records=records)


async def _update(raw: Any, changed: Mapping[Key, tuple[Order, Order]]) -> None:
    done = await raw.execute(_UPDATE_ORDERS, *_columns(order_row(order) for _, order in changed.values()))
    assert done == f"UPDATE {len(changed)}", f"{done} of {len(changed)}: an order was saved that was not loaded under lock"
    edited = [(before, order) for before, order in changed.values() if before.details.lines != order.details.lines]
    gone = [row for before, order in edited for row in _lines_gone(before, order)]
    if gone:
        await raw.execute(_DELETE_LINES, *_columns(gone))
    if edited:
        await raw.execute(_UPSERT_LINES, *_columns(_line_rows([order for _, order in edited])))


def _lines_gone(before: Order, order: Order) -> list[tuple[str, str, str]]:
    kept = {line.sku for line in order.details.lines}
    return [(order.key.merchant, order.key.number, line.sku) for line in before.details.lines if line.sku not in kept]


def _line_rows(orders: Iterable[Order]) -> list[tuple[Any, ...]]:
    return [
        (order.key.merchant, order.key.number, line.sku, position, line.units, texts_json(line.warehouses))
        for order in orders
        for position, line in enumerate(order.details.lines)
    ]


def _history_row(entry: tuple[Key, Entry]) -> tuple[Any, ...]:
    key, told = entry
    return (key.merchant, key.number, told.happening, told.version, told.at, told.by, to_json(told.details).decode())


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows turned into one array per column."""
    return [list(column) for column in zip(*rows, strict=True)]


def _outgoing(change: Changed) -> Outgoing:
    demand = change.event.demand.id
    return _made_outgoing(entity=demand, topic=ORDERS.name, key=demand, message=change.event, traceparent=change.traceparent)
