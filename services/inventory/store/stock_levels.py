"""Stock levels as the allocator announced them last."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, RowMapping, Text, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.store.tables import STOCK_LEDGER, STOCK_LEVEL
from shared.schemas.events import StockLevelChanged

Row = RowMapping
_UNITS = ("on_hand_units", "held_units", "allocated_units", "available_units")


async def keep(connection: AsyncConnection, changes: Sequence[StockLevelChanged]) -> None:
    """Replace the levels of every SKU whose ledger version is higher than the one that is known. `changes`: one for each SKU, sorted."""
    risen = await _risen(connection, changes)
    fresh = [change for change in changes if (change.merchant, change.sku) in risen]
    if fresh:
        await _clear(connection, fresh)
        await _write(connection, fresh)


async def of_sku(connection: AsyncConnection, merchant: str, sku: str) -> tuple[Row | None, list[Row]]:
    """The ledger row of a SKU and its levels by warehouse; None where nothing was announced yet. In one statement: between two, the levels
    of another version may come in."""
    known, level = STOCK_LEDGER.c, STOCK_LEVEL.c
    both = STOCK_LEDGER.outerjoin(STOCK_LEVEL, (known.merchant == level.merchant) & (known.sku == level.sku))
    wanted = select(known.ledger_version, known.changed_at, level.warehouse, *(level[name] for name in _UNITS)).select_from(both)
    query = wanted.where(known.merchant == merchant, known.sku == sku).order_by(level.warehouse)
    rows = list((await connection.execute(query)).mappings())
    return (rows[0] if rows else None), [row for row in rows if row["warehouse"] is not None]


async def page(
    connection: AsyncConnection, merchant: str, after: str | None, limit: int, warehouse: str | None, search: str | None
) -> list[Row]:
    """Sums of each SKU over its warehouses, or of one warehouse, sorted by SKU."""
    level = STOCK_LEVEL.c
    sums = [func.sum(level[name]).cast(BigInteger).label(name) for name in _UNITS]
    query = select(level.sku, *sums).where(level.merchant == merchant).group_by(level.sku).order_by(level.sku).limit(limit)
    if after is not None:
        query = query.where(level.sku > after)
    if warehouse is not None:
        query = query.where(level.warehouse == warehouse)
    if search:
        query = query.where(level.sku.icontains(search, autoescape=True))
    return list((await connection.execute(query)).mappings())


async def _risen(connection: AsyncConnection, changes: Sequence[StockLevelChanged]) -> set[tuple[str, str]]:
    sql = text("""
        INSERT INTO inventory.stock_ledger AS known (merchant, sku, ledger_version, changed_at)
        SELECT * FROM unnest(:merchants, :skus, :versions, :times)
        ON CONFLICT (merchant, sku) DO UPDATE SET ledger_version = excluded.ledger_version, changed_at = excluded.changed_at
        WHERE known.ledger_version < excluded.ledger_version
        RETURNING merchant, sku
    """).bindparams(
        bindparam("merchants", type_=ARRAY(Text)),
        bindparam("skus", type_=ARRAY(Text)),
        bindparam("versions", type_=ARRAY(BigInteger)),
        bindparam("times", type_=ARRAY(DateTime(timezone=True))),
    )
    columns = _keys(changes) | {
        "versions": [change.ledger_version for change in changes],
        "times": [change.changed_at for change in changes],
    }
    return {(row.merchant, row.sku) for row in await connection.execute(sql, columns)}


async def _clear(connection: AsyncConnection, changes: Sequence[StockLevelChanged]) -> None:
    sql = text("""
        DELETE FROM inventory.stock_level USING unnest(:merchants, :skus) AS gone(merchant, sku)
        WHERE stock_level.merchant = gone.merchant AND stock_level.sku = gone.sku
    """).bindparams(bindparam("merchants", type_=ARRAY(Text)), bindparam("skus", type_=ARRAY(Text)))
    await connection.execute(sql, _keys(changes))


async def _write(connection: AsyncConnection, changes: Sequence[StockLevelChanged]) -> None:
    columns = ", ".join(f":{name}" for name in _UNITS)
    sql = text(f"""
        INSERT INTO inventory.stock_level (merchant, sku, warehouse, {", ".join(_UNITS)})
        SELECT * FROM unnest(:merchants, :skus, :warehouses, {columns})
    """).bindparams(
        *(bindparam(name, type_=ARRAY(Text)) for name in ("merchants", "skus", "warehouses")),
        *(bindparam(name, type_=ARRAY(BigInteger)) for name in _UNITS),
    )
    rows = [(change, level) for change in changes for level in change.warehouses]
    values: dict[str, list[Any]] = {
        "merchants": [change.merchant for change, _ in rows],
        "skus": [change.sku for change, _ in rows],
        "warehouses": [level.warehouse for _, level in rows],
    }
    await connection.execute(sql, values | {name: [getattr(level, name) for _, level in rows] for name in _UNITS})


def _keys(changes: Sequence[StockLevelChanged]) -> dict[str, list[Any]]:
    return {"merchants": [change.merchant for change in changes], "skus": [change.sku for change in changes]}
