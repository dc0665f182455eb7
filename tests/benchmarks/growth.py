"""The stock side again, with ten million reservations on file: what it costs that a ledger has grown."""

from collections.abc import Callable
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
    return await stock_side.measure(dsn, bootstrap, "uniform", template=await filled(dsn, reservations))


async def filled(dsn: str, reservations: int, say: Callable[[float], None] = lambda _: None) -> str:
    """The name of a database with so many reservations, which no state partition has worked on yet; made once. `say` hears which share of
    them is there."""
    key = (dsn, reservations)
    if key not in _made:
        _made[key] = await _fill(dsn, reservations, say)
    return _made[key]


async def _fill(dsn: str, reservations: int, say: Callable[[float], None]) -> str:
    made = await databases.create(dsn, await databases.template(dsn))
    await large_ledger(made, reservations, skus=SKUS, waiting_tenths=0, say=say)
    connection: asyncpg.Connection = await hot_connection(made, "bench", command_seconds=TIDY_SECONDS)
    try:
        await connection.execute("TRUNCATE allocator.state_partition, allocator.batch")
        await connection.execute("VACUUM")
    finally:
        await connection.close()
    return urlsplit(made).path.lstrip("/")
