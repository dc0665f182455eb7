"""What the stock side needs of storage. Postgres and memory implement it; one contract suite runs on both."""

from collections.abc import Sequence
from typing import Protocol

from services.allocator.core.stock.rows import MovementRow, ReservationRow, SkuKey, StockChanges, StoredDeadlines, StoredSku


class StockStorage(Protocol):
    """The rows of the stock side, over one partition's connection and inside its transactions. Answers come in no promised order."""

    async def deadlines(self, partition: int) -> StoredDeadlines:
        """What a takeover of the partition must know. Prepares the connection, too; called before anything else."""

    async def summaries(self, skus: Sequence[SkuKey]) -> dict[SkuKey, StoredSku]:
        """Stock records (by number), queue and batons of these SKUs. A SKU of which nothing is stored is missing."""

    async def reservations(self, names: Sequence[tuple[str, str, str]]) -> list[ReservationRow]:
        """Those of the (demand, SKU, alternative) that exist."""

    async def live_reservations(self, skus: Sequence[SkuKey]) -> list[ReservationRow]:
        """Every reservation of these SKUs that holds units or waits for some."""

    async def movements(self, commands: Sequence[tuple[str, str, str]]) -> list[MovementRow]:
        """What became of these (merchant, SKU, command id) of inventory, as far as they are known."""

    async def skus_after(self, partition: int, after: SkuKey | None, most: int) -> list[SkuKey]:
        """The next SKUs of the partition that have stock records, in order, at most so many; from the first where `after` is None."""

    async def save(self, changes: StockChanges) -> None:
        """Write the changes of one batch, in bulk. New rows that exist, changed rows and forgotten ones that are missing are errors.
        Raises WasKnown for a new reservation that exists."""
