"""asyncpg below a SQLAlchemy connection, for statements in bulk: unnest of arrays costs a twentieth of a VALUES list (measured)."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection


async def driver(connection: AsyncConnection) -> Any:  # asyncpg.Connection: SQLAlchemy does not type it
    """The asyncpg connection, inside the transaction of `connection`: SQLAlchemy begins it only with its own first statement."""
    found: Any = (await connection.get_raw_connection()).driver_connection  # typed by SQLAlchemy as Any
    if not found.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")
        assert found.is_in_transaction(), "open it by begin(): a connection on AUTOCOMMIT sees every statement at another time"
    return found
