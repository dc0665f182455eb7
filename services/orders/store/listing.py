"""Lists of orders: filters, sorts that an index serves, pages by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    DateTime,
    Row,
    Select,
    Text,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Entry, Happening
from services.orders.store.rows import entry_in
from services.orders.store.tables import allocation, answered_order, history, known, sales_order, sku_keys
from shared.schemas.values import AllocationStatus, sku_key

Sort = Literal["demanded_at", "-demanded_at", "priority", "created_at", "-created_at", "number", "-number"]
_SORTS: Mapping[str, tuple[Column[Any], ...]] = {
    "demanded_at": (sales_order.c.demanded_at, sales_order.c.number),
    "priority": (sales_order.c.priority, sales_order.c.demanded_at, sales_order.c.number),
    "created_at": (sales_order.c.created_at, sales_order.c.number),
    "number": (sales_order.c.number,),
}

_SUMS = text("""
SELECT o.number, count(*), sum(l.units), coalesce(sum(told.reserved_units), 0), coalesce(sum(told.flagged_units), 0)
  FROM orders.sales_order o CROSS JOIN LATERAL jsonb_to_recordset(o.lines::jsonb) AS l (sku text, units bigint)
  LEFT JOIN (SELECT a.number, t.sku, t.reserved_units, t.flagged_units
               FROM orders.allocation a, jsonb_to_recordset(a.lines::jsonb) AS t (sku text, reserved_units bigint, flagged_units bigint)
              WHERE a.merchant = :merchant AND a.number = ANY (:numbers)) AS told ON (told.number, told.sku) = (o.number, l.sku)
 WHERE o.merchant = :merchant AND o.number = ANY (:numbers)
 GROUP BY o.number
""").bindparams(bindparam("numbers", type_=ARRAY(Text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list shows; empty or null: everything. `search`: in the receiver's name, or the beginning of a number."""

    statuses: tuple[str, ...] = ()
    allocation_statuses: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    sku: str | None = None
    search: str | None = None
    demanded_from: datetime | None = None
    demanded_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a list: the order's columns, and sums over its lines."""

    order: Mapping[str, Any]
    line_count: int
    units: int
    reserved_units: int
    flagged_units: int


async def list_orders(
    connection: AsyncConnection, merchant: str, wanted: Filter, sort: Sort, after: Sequence[Any] | None, limit: int
) -> tuple[list[Listed], list[str | int] | None]:
    """One page, and the sort values of its last row where more may follow."""
    query = _sorted(_selected(select(sales_order, *known).select_from(answered_order), merchant, wanted), sort, after)
    rows = (await connection.execute(query.limit(limit + 1))).mappings().all()
    sums = await _sums(connection, merchant, [row["number"] for row in rows[:limit]])
    last = [_plain(rows[limit - 1][key.name]) for key in _keys(sort)] if len(rows) > limit else None
    return [Listed(dict(row), *sums[row["number"]]) for row in rows[:limit]], last


async def list_numbers(connection: AsyncConnection, merchant: str, wanted: Filter, sort: Sort, limit: int) -> list[str]:
    """The numbers of the orders, in the order of the sort."""
    query = _sorted(_selected(select(sales_order.c.number).select_from(answered_order), merchant, wanted), sort, None)
    return list((await connection.execute(query.limit(limit))).scalars())


async def list_history(connection: AsyncConnection, merchant: str, number: str, after: int, limit: int) -> list[tuple[int, Entry]]:
    """Entries of one order and their places, oldest first; the first place is 0. Two entries stand with what they tell of."""
    query = select(history).where(history.c.merchant == merchant, history.c.number == number, history.c.id > after)
    found = [(row.id, _entry(row)) for row in await connection.execute(query.order_by(history.c.id).limit(limit))]
    kept = select(sales_order.c.first_entry, allocation.c.first_entry.label("first_told"), allocation.c.first_entry_id)
    of_order = kept.select_from(answered_order).where(sales_order.c.merchant == merchant, sales_order.c.number == number)
    for row in await connection.execute(of_order):
        places = ((0, row.first_entry), (row.first_entry_id, row.first_told))
        found += [(place, entry_in(text)) for place, text in places if text is not None and place > after]
    return sorted(found, key=itemgetter(0))[:limit]


def _entry(row: Row[Any]) -> Entry:
    return Entry(happening=Happening(row.happening), version=row.version, at=row.at, by=row.by, details=row.details)


async def _sums(connection: AsyncConnection, merchant: str, numbers: Sequence[str]) -> dict[str, tuple[int, int, int, int]]:
    rows = await connection.execute(_SUMS, {"merchant": merchant, "numbers": list(numbers)})
    return {number: (count, int(units), int(reserved), int(flagged)) for number, count, units, reserved, flagged in rows}


def _selected(query: Select[Any], merchant: str, wanted: Filter) -> Select[Any]:
    order = sales_order.c
    query = query.where(order.merchant == merchant)
    if wanted.statuses:
        query = query.where(order.status.in_(wanted.statuses))
    if wanted.allocation_statuses:
        query = query.where(_has_status(wanted.allocation_statuses))
    if wanted.channels:
        query = query.where(order.channel.in_(wanted.channels))
    if wanted.numbers:
        query = query.where(order.number.in_(wanted.numbers))
    if wanted.sku is not None:
        query = query.where(sku_keys.contains([sku_key(merchant, wanted.sku)]))
    if wanted.search:
        begins = func.lower(order.number).startswith(wanted.search.lower(), autoescape=True)
        query = query.where(or_(begins, order.receiver.icontains(wanted.search, autoescape=True)))
    if wanted.demanded_from is not None:
        query = query.where(order.demanded_at >= wanted.demanded_from)
    if wanted.demanded_before is not None:
        query = query.where(order.demanded_at < wanted.demanded_before)
    return query


def _has_status(statuses: Sequence[str]) -> ColumnElement[bool]:
    """An order that was never answered is unallocated. Where that is not asked for, the join becomes an inner one, and a rare status is
    read from its index."""
    said = allocation.c.status.in_(statuses)
    return or_(said, allocation.c.status.is_(None)) if AllocationStatus.UNALLOCATED in statuses else said


def _keys(sort: Sort) -> tuple[Column[Any], ...]:
    return _SORTS[sort.removeprefix("-")]


def _sorted(query: Select[Any], sort: Sort, after: Sequence[Any] | None) -> Select[Any]:
    keys, descending = _keys(sort), sort.startswith("-")
    if after is not None:
        place = tuple_(*(literal(_value(value, key), key.type) for value, key in zip(after, keys, strict=True)))
        query = query.where(tuple_(*keys) < place if descending else tuple_(*keys) > place)
    return query.order_by(*(key.desc() if descending else key.asc() for key in keys))


def _value(value: Any, key: Column[Any]) -> Any:
    return datetime.fromisoformat(value) if isinstance(key.type, DateTime) else value


def _plain(value: Any) -> str | int:
    plain: str | int = value.isoformat() if isinstance(value, datetime) else value
    return plain
