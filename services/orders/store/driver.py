"""asyncpg below a SQLAlchemy connection, for statements in bulk: unnest of arrays costs a twentieth of a VALUES list (measured)."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_BEGIN_BATCH = text("""
SELECT now() AS now, set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
""")


async def begin_batch(connection: AsyncConnection) -> datetime:
    """The first statement of a transaction over many rows, which it finds by their keys; returns the database's time.

    Its statements are planned anew and walk an index: a plan that was kept from when the tables were empty reads the whole table for
    every key, until the server has analyzed it, which takes a minute or more. Measured after 10,000 orders: 500 us of Postgres per order
    instead of 30. For a few hundred keys of 20,000 it would still read the table once: 30 us per key instead of 4.
    """
    now: datetime = (await connection.execute(_BEGIN_BATCH)).one().now
    return now


async def driver(connection: AsyncConnection) -> Any:  # asyncpg.Connection: SQLAlchemy does not type it
    """The asyncpg connection, inside the transaction of `connection`: SQLAlchemy begins it only with its own first statement."""
    assert connection.sync_connection is not None, "ask inside its block"
    found: Any = connection.sync_connection.connection.driver_connection  # through its asynchronous face it costs 80 us more
    if not found.is_in_transaction():
        await connection.exec_driver_sql("SELECT 1")
        assert found.is_in_transaction(), "open it by begin(): a connection on AUTOCOMMIT sees every statement at another time"
    return found
