"""The metric of waiting lines: of the partitions that this process serves, and of no others."""

import asyncpg
import pytest
from prometheus_client import REGISTRY

from services.allocator.waiting_lines import WaitingLines
from shared.database import dispose, engine, hot_connection
from tests.support.allocator import settings_for

pytestmark = pytest.mark.integration

QUEUES = """
INSERT INTO allocator.sku_queue (merchant, sku, partition, waiting_count, wake_window, baton_seq)
SELECT 'acme', sku, partition, waiting, 1, 0 FROM unnest($1::text[], $2::int[], $3::int[]) AS new (sku, partition, waiting)
"""


def shown() -> dict[str, float]:
    """Partition to lines, as Prometheus would read it."""
    samples = [one for family in REGISTRY.collect() if family.name == "earmark_waiting_lines" for one in family.samples]
    return {one.labels["partition"]: one.value for one in samples}


async def test_waiting_lines_are_summed_per_partition_and_not_shown_for_what_others_serve(database: str) -> None:
    connection: asyncpg.Connection = await hot_connection(database, "test")
    await connection.execute(QUEUES, ["A", "B", "C", "D"], [1, 1, 2, 3], [4, 3, 0, 9])
    await connection.close()
    ours, pool = {1, 2}, engine(settings_for("nowhere:1", database))
    try:
        lines = WaitingLines(pool, lambda: ours)
        await lines.show()
        assert shown() == {"1": 7, "2": 0}
        ours.remove(1)
        await lines.show()
        assert shown() == {"2": 0}
    finally:
        await dispose(pool)
