"""SKUs kept in memory between batches, within a budget of rows. Only the fence makes that safe: nobody else writes them."""

from collections.abc import Iterable

from services.allocator.core.stock.rows import ReservationKey, SkuKey
from services.allocator.core.stock.state import SkuStock


class StockCache:
    """Least recently used first. What a batch has changed must be stored before `settle`."""

    def __init__(self, budget_rows: int) -> None:
        self.skus: dict[SkuKey, SkuStock] = {}
        self._budget, self._size = budget_rows, 0

    def settle(self, used: Iterable[SkuKey], named: Iterable[tuple[SkuStock, ReservationKey]]) -> None:
        """After a batch: a SKU in memory whole keeps its live reservations, any other keeps none; then the oldest go.

        `named`: the reservations that the batch read or wrote.
        """
        for sku, whose in named:
            if sku.complete:
                reservation = sku.reservations.get(whose)
                if reservation is not None and not (reservation.reserved or reservation.waiting):
                    del sku.reservations[whose]
        for key in used:
            self._refresh(key)
        while self._size > self._budget and len(self.skus) > 1:  # one that is larger than all would else be read for every batch
            self._size -= self.skus.pop(next(iter(self.skus))).size

    def _refresh(self, key: SkuKey) -> None:
        sku = self.skus[key] = self.skus.pop(key)
        if not sku.complete:
            sku.reservations.clear()
        size = 1 + len(sku.records) + len(sku.reservations)
        self._size += size - sku.size
        sku.size = size
