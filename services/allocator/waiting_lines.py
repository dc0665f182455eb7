"""How many lines wait for stock, as a metric: asked of the database from time to time, so that no batch counts."""

import asyncio
import logging
from collections.abc import Callable, Collection

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.allocator.store.stock_tables import sku_queue
from shared.database import Fault, classify
from shared.metrics import WAITING_LINES

log = logging.getLogger("earmark.waiting")

SHOW_SECONDS = 10.0


class WaitingLines:
    """Run it as one task. `ours`: the numbers of the stock partitions that this process serves; others show theirs."""

    def __init__(self, engine: AsyncEngine, ours: Callable[[], Collection[int]]) -> None:
        self._engine, self._ours = engine, ours
        self._shown: set[int] = set()

    async def run(self) -> None:
        """Show them until cancelled. Where they can not be counted the last word stands: nothing hangs on it, and allocation goes on."""
        while True:
            try:
                await self.show()
            except Exception as error:
                away = classify(error) is Fault.RETRY
                log.warning("waiting lines could not be counted (%s)", type(error).__name__, exc_info=not away)
            await asyncio.sleep(SHOW_SECONDS)

    async def show(self) -> None:
        """Ask once. Reads one small row for each SKU that ever had to wait."""
        lines = func.sum(sku_queue.c.waiting_count).label("lines")
        query = select(sku_queue.c.partition, lines).where(sku_queue.c.waiting_count > 0).group_by(sku_queue.c.partition)
        async with self._engine.connect() as connection:
            found = {row.partition: row.lines for row in await connection.execute(query)}
        before, self._shown = self._shown, set(self._ours())
        for number in self._shown:
            WAITING_LINES.labels(str(number)).set(found.get(number, 0))
        for number in before - self._shown:
            WAITING_LINES.remove(str(number))
