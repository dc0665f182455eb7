"""The stock side again, with ten million reservations on file: what it costs that a ledger has grown."""

from urllib.parse import urlsplit

import asyncpg

from shared.database import hot_connection
from tests.benchmarks import stock_side
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.workloads import SKUS
from tests.support import databases
from tests.support.large_ledger import large_ledger

RESERVATIONS = 10_000_000
TIDY_SECONDS = 600
_made: dict[tuple[str, int], str] = {}


async def measure(dsn: str, bootstrap: str, reservations: int = RESERVATIONS) -> Measurement:
    """Run it once, on a copy of a ledger that the first run fills."""
    key = (dsn, reservations)
    if key not in _made:
        _made[key] = await _fill(dsn, reservations)
    return await stock_side.measure(dsn, bootstrap, "uniform", template=_made[key])


async def _fill(dsn: str, reservations: int) -> str:
    """The name of a database with so many reservations, which no state partition has worked on yet."""
    filled = await databases.create(dsn, await databases.template(dsn))
    await large_ledger(filled, reservations, skus=SKUS, waiting_tenths=0)
    connection: asyncpg.Connection = await hot_connection(filled, "bench", command_seconds=TIDY_SECONDS)
    try:
        await connection.execute("TRUNCATE allocator.state_partition, allocator.batch")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return urlsplit(filled).path.lstrip("/")
