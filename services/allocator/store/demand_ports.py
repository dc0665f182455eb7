"""What the demand side needs of storage: one row per demand. Postgres and memory implement it; one contract suite runs on both."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class DemandRow(NamedTuple):
    """One demand as it is stored. `state` is JSON of what the other columns do not say (`demand_encoding`)."""

    demand: str
    merchant: str
    status: str
    wish: str
    version: int
    attempt: int
    deadline_at: datetime | None
    closed_at: datetime | None
    state: str


class DemandStorage(Protocol):
    """The demands of one state partition, over that partition's connection and inside its transactions."""

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """Every demand of the partition that has a deadline, in no promised order."""

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """Those of the demands that exist in the partition, in no promised order."""

    async def insert(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """Store demands that are new. An existing one is an error: nothing is stored."""

    async def update(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """Store demands that exist. A missing one is an error: nothing is stored."""
