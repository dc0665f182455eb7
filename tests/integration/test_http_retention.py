"""What an HTTP service forgets, and what it does not."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import dispose, engine
from shared.http.retention import AT_ONCE, forget_replies, forget_settled
from tests.support.http_service import KAFKA_AWAY, settings_for

pytestmark = pytest.mark.integration
SERVICES = ("orders", "inventory")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[AsyncEngine]:
    made = engine(settings_for(database, KAFKA_AWAY))
    yield made
    await dispose(made)


async def _run(pool: AsyncEngine, sql: str) -> list[object]:
    async with pool.begin() as connection:
        done = await connection.execute(text(sql))
        return [row[0] for row in done] if done.returns_rows else []


@pytest.mark.parametrize("service", SERVICES)
async def test_replies_are_kept_for_seven_days_and_go_a_thousand_at_a_time(pool: AsyncEngine, service: str) -> None:
    await _run(
        pool,
        f"""INSERT INTO {service}.idempotency_key (merchant, route, key, request_hash, status, headers, body, created_at)
            SELECT 'acme', 'r', n::text, ''::bytea, 200, '{{}}'::jsonb, ''::bytea, now() - interval '8 days'
              FROM generate_series(1, {AT_ONCE + 1}) n
            UNION ALL SELECT 'acme', 'r', 'young', ''::bytea, 200, '{{}}'::jsonb, ''::bytea, now() - interval '6 days'""",
    )
    assert [await forget_replies(pool, service) for _ in range(3)] == [AT_ONCE, 1, 0]
    assert await _run(pool, f"SELECT key FROM {service}.idempotency_key") == ["young"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_dead_letter_goes_when_it_was_settled_long_ago_and_never_while_it_waits(pool: AsyncEngine, service: str) -> None:
    await _run(
        pool,
        f"""INSERT INTO {service}.dead_letter (topic, partition, record_offset, written_at, headers, field, reason, status, settled_at)
            VALUES ('t', 0, 1, '2020-01-01', '[]', '', '', 'waiting', NULL),
                   ('t', 0, 2, '2020-01-01', '[]', '', '', 'replayed', now() - interval '31 days'),
                   ('t', 0, 3, '2020-01-01', '[]', '', '', 'discarded', now() - interval '29 days')""",
    )
    assert [await forget_settled(pool, service, timedelta(days=30)) for _ in range(2)] == [1, 0]
    assert await _run(pool, f"SELECT record_offset FROM {service}.dead_letter ORDER BY 1") == [1, 3]
