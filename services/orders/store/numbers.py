"""Order numbers, counted per merchant and month."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_DRAW = text("""
INSERT INTO orders.number_counter AS c (merchant, month, last) VALUES (:merchant, :month, :count)
ON CONFLICT ON CONSTRAINT number_counter_pkey DO UPDATE SET last = c.last + :count
RETURNING last
""")


async def draw_counts(engine: AsyncEngine, merchant: str, month: str, count: int) -> range:
    """`count` numbers that nobody else gets. In a transaction of its own: a long command must not hold up the merchant's others, so a
    command that fails leaves a gap."""
    async with engine.begin() as connection:
        return await draw_within(connection, merchant, month, count)


async def draw_within(connection: AsyncConnection, merchant: str, month: str, count: int) -> range:
    """The same within a short transaction, whose end the merchant's others wait for. Draw last, and by merchant in order."""
    last: int = (await connection.execute(_DRAW, {"merchant": merchant, "month": month, "count": count})).scalar_one()
    return range(last - count + 1, last + 1)
