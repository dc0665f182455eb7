"""`DemandStorage` in memory, for the simulation and for contract tests."""

from collections.abc import Callable, Sequence
from datetime import datetime

from services.allocator.store.demand_ports import DemandRow, Ended, Page
from shared.partitions.memory import MemoryTransaction

TABLE, PAGES = "demand", "demand_page"


class MemoryDemandStorage:
    """Rows as (partition, row, page) by demand and pages by (partition, number), in the transaction that `current` gives."""

    def __init__(self, current: Callable[[], MemoryTransaction]) -> None:
        self._current = current

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """See the port."""
        rows = (row for _, (home, row, _) in self._current().scan(TABLE) if home == partition)
        return [(row.deadline_at, row.demand) for row in rows if row.deadline_at is not None]

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """See the port."""
        transaction = self._current()
        found = (transaction.get(TABLE, demand) for demand in dict.fromkeys(demands))
        return [row for home, row, _ in filter(None, found) if home == partition]

    async def ended(self, partition: int, most: int) -> list[Ended]:
        """See the port."""
        found = [(row, page) for _, (home, row, page) in self._current().scan(TABLE) if home == partition]
        ended = [Ended(row.closed_at, row.demand, page) for row, page in found if row.closed_at and row.status != "forgetting"]
        return sorted(ended)[:most]

    async def insert(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        transaction = self._current()
        for row in rows:
            if transaction.get(TABLE, row.demand) is not None:
                raise ValueError(f"{row.demand} exists")
        for row in rows:
            transaction.put(TABLE, row.demand, (partition, row, page))

    async def update(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        transaction = self._current()
        for row in rows:
            found = transaction.get(TABLE, row.demand)
            if found is None or found[0] != partition:
                raise ValueError(f"{row.demand} does not exist in demand/{partition}")
        for row in rows:
            transaction.put(TABLE, row.demand, (partition, row, page))

    async def pages(self, partition: int) -> list[Page]:
        """See the port."""
        found = (page for (home, _), page in self._current().scan(PAGES) if home == partition)
        return sorted(found, key=lambda page: page.number)

    async def outdated_to(self, partition: int, demands: Sequence[str]) -> dict[str, int]:
        """See the port."""
        transaction = self._current()
        found = {demand: stored for demand in demands if (stored := transaction.get(TABLE, demand)) is not None}
        return {demand: page for demand, (home, _, page) in found.items() if home == partition}

    async def turn(self, partition: int, page: Page | None, over: Sequence[int]) -> None:
        """See the port."""
        transaction = self._current()
        for number in over:
            transaction.delete(PAGES, (partition, number))
        if page is not None:
            transaction.put(PAGES, (partition, page.number), page)

    async def forget(self, partition: int, demands: Sequence[str]) -> None:
        """See the port."""
        transaction = self._current()
        for demand in demands:
            found = transaction.get(TABLE, demand)
            if found is None or found[0] != partition:
                raise ValueError(f"{demand} does not exist in demand/{partition}")
            transaction.delete(TABLE, demand)
