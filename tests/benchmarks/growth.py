"""The stock side again, with ten million reservations on file: what it costs that a ledger has grown."""

import itertools
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
_FORGET_THE_TOPICS = """
TRUNCATE platform.world, allocator.state_partition, allocator.batch, allocator.outbox, allocator.high_water_mark, allocator.levels_told
"""
"""What a ledger knows of the topics that it was served with: every stand makes its own."""
_made: dict[tuple[str, int], str] = {}
_runs = itertools.count()


async def measure(dsn: str, bootstrap: str, reservations: int = RESERVATIONS) -> Measurement:
    """Run it once, on a ledger that the first run fills and the others go on with: a copy of it takes longer than the run."""
    ledger = databases.named(dsn, await filled(dsn, reservations))
    await _run(ledger, _FORGET_THE_TOPICS)
    return await stock_side.measure(dsn, bootstrap, "uniform", first=next(_runs) * stock_side.ORDERS, ledger=ledger)


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
    await _run(made, _FORGET_THE_TOPICS, "VACUUM")
    return urlsplit(made).path.lstrip("/")


async def _run(ledger: str, *statements: str) -> None:
    connection: asyncpg.Connection = await hot_connection(ledger, "bench", command_seconds=TIDY_SECONDS)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
