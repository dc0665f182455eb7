"""What an HTTP service forgets: replies after seven days, dead letters that somebody settled when `EARMARK_KEEP_DAYS` have passed since."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

AT_ONCE = 1_000
REPLIES_KEPT = timedelta(days=7)


async def forget_replies(engine: AsyncEngine, service: str) -> int:
    """The oldest replies of the service, at most a thousand of those whose time is over. Returns how many went."""
    return await _forget(
        engine,
        f"""DELETE FROM {service}.idempotency_key WHERE (merchant, route, key) IN (
            SELECT merchant, route, key FROM {service}.idempotency_key
            WHERE created_at < now() - CAST(:kept AS interval) ORDER BY created_at LIMIT :most)""",
        REPLIES_KEPT,
    )


async def forget_settled(engine: AsyncEngine, service: str, keep: timedelta) -> int:
    """At most a thousand dead letters that were settled so long ago; those that wait for somebody stay. Returns how many went."""
    return await _forget(
        engine,
        f"""DELETE FROM {service}.dead_letter WHERE (topic, partition, record_offset) IN (
            SELECT topic, partition, record_offset FROM {service}.dead_letter
            WHERE settled_at < now() - CAST(:kept AS interval) LIMIT :most)""",
        keep,
    )


async def _forget(engine: AsyncEngine, sql: str, kept: timedelta) -> int:
    async with engine.begin() as connection:
        return (await connection.execute(text(sql), {"kept": kept, "most": AT_ONCE})).rowcount
