"""`DemandStorage` in memory, for the simulation and for contract tests."""

from collections.abc import Callable, Sequence
from datetime import datetime

from services.allocator.store.demand_ports import DemandRow
from shared.partitions.memory import MemoryTransaction

TABLE = "demand"


class MemoryDemandStorage:
    """Rows as (partition, row) by demand, in the transaction that `current` gives."""

    def __init__(self, current: Callable[[], MemoryTransaction]) -> None:
        self._current = current

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """See the port."""
        rows = (row for _, (home, row) in self._current().scan(TABLE) if home == partition)
        return [(row.deadline_at, row.demand) for row in rows if row.deadline_at is not None]

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """See the port."""
        transaction = self._current()
        found = (transaction.get(TABLE, demand) for demand in dict.fromkeys(demands))
        return [row for home, row in filter(None, found) if home == partition]

    async def insert(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        transaction = self._current()
        for row in rows:
            if transaction.get(TABLE, row.demand) is not None:
                raise ValueError(f"{row.demand} exists")
        for row in rows:
            transaction.put(TABLE, row.demand, (partition, row))

    async def update(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        transaction = self._current()
        for row in rows:
            found = transaction.get(TABLE, row.demand)
            if found is None or found[0] != partition:
                raise ValueError(f"{row.demand} does not exist in demand/{partition}")
        for row in rows:
            transaction.put(TABLE, row.demand, (partition, row))
