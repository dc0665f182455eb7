"""Master data: merchants, warehouses, bins, products. The four are rows with a key, a name and a version, so they share their SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, RowMapping, Table, Text, and_, any_, bindparam, insert, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.core.model import Document, Known, Product

Row = RowMapping


async def add(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Insert all or none. A key that is taken raises IntegrityError with our constraint's name."""
    stamped = [row | {"version": 1, "created_at": now, "changed_at": now} for row in rows]
    await connection.execute(insert(table), stamped)


async def taken(connection: AsyncConnection, table: Table, within: Mapping[str, str], column: str, values: Sequence[str]) -> set[str]:
    """Which of the values of a key column exist within the rest of the key."""
    found = await connection.scalars(select(table.c[column]).where(_is(table, within), table.c[column] == _any(values)))
    return set(found)


async def one(connection: AsyncConnection, table: Table, key: Mapping[str, str]) -> Row | None:
    """The row of a key."""
    found = await connection.execute(select(table).where(_is(table, key)))
    return found.mappings().one_or_none()


async def page(
    connection: AsyncConnection, table: Table, within: Mapping[str, str], by: str, after: str | None, limit: int, search: str | None = None
) -> list[Row]:
    """Rows within a partial key, sorted by the column that ends it, after a value. `search` looks into that column and the name."""
    query = select(table).where(_is(table, within)).order_by(table.c[by]).limit(limit)
    if after is not None:
        query = query.where(table.c[by] > after)
    if search:
        query = query.where(or_(table.c[by].icontains(search, autoescape=True), table.c.name.icontains(search, autoescape=True)))
    return list((await connection.execute(query)).mappings())


async def change(
    connection: AsyncConnection, table: Table, key: Mapping[str, str], changes: Mapping[str, Any], version: int | None, now: datetime
) -> Row | None:
    """Change a row, and raise its version. None where there is no such row, or it has another version than the one that is expected."""
    query = update(table).where(_is(table, key)).values(**changes, version=table.c.version + 1, changed_at=now).returning(*table.c)
    if version is not None:
        query = query.where(table.c.version == version)
    return (await connection.execute(query)).mappings().one_or_none()


async def name_merchant(connection: AsyncConnection, merchant: str, name: str, now: datetime) -> Row:
    """A merchant's row comes with its first name; before that it is known by its API keys only."""
    sql = text("""
        INSERT INTO inventory.merchant (merchant, name, created_at, changed_at) VALUES (:merchant, :name, :now, :now)
        ON CONFLICT (merchant) DO UPDATE SET name = excluded.name, version = merchant.version + 1, changed_at = excluded.changed_at
        RETURNING *""")
    return (await connection.execute(sql, {"merchant": merchant, "name": name, "now": now})).mappings().one()


async def known(connection: AsyncConnection, merchant: str, documents: Sequence[Document]) -> Known:
    """What the documents name and that exists. Locks the products, in order of SKU: so the ids of a SKU's commands rise in the order of
    their commits, and two requests with the same SKUs can not wait for each other."""
    places = [document.place for document in documents]
    named = {
        "merchant": merchant,
        "skus": sorted({place.sku for place in places}),
        "warehouses": sorted({place.warehouse for place in places}),
        "bins": sorted({place.bin for place in places}),
    }
    found = (await connection.execute(_KNOWN, named)).all()
    return Known(
        {row.sku: Product(row.sku, row.serialized, row.lot_tracked) for row in found if row.sku is not None},
        frozenset(row.warehouse for row in found if row.warehouse is not None and row.bin is None),
        frozenset((row.warehouse, row.bin) for row in found if row.bin is not None),
    )


# One round trip for three kinds of rows: every command asks this.
_KNOWN = text("""
    WITH product AS (
        SELECT sku, serialized, lot_tracked FROM inventory.product
        WHERE merchant = :merchant AND sku = ANY(:skus) ORDER BY sku FOR NO KEY UPDATE)
    SELECT sku, serialized, lot_tracked, NULL AS warehouse, NULL AS bin FROM product
    UNION ALL
    SELECT NULL, NULL, NULL, warehouse, NULL FROM inventory.warehouse WHERE merchant = :merchant AND warehouse = ANY(:warehouses)
    UNION ALL
    SELECT NULL, NULL, NULL, warehouse, bin FROM inventory.bin
    WHERE merchant = :merchant AND warehouse = ANY(:warehouses) AND bin = ANY(:bins)
""").bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("skus", "warehouses", "bins")))


def _any(values: Sequence[str]) -> Any:
    return any_(literal(list(values), ARRAY(Text)))


def _is(table: Table, key: Mapping[str, str]) -> Any:
    return and_(*(table.c[name] == value for name, value in key.items()))
