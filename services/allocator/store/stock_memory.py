"""`StockStorage` in memory, for the simulation and for contract tests."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from typing import Any

from services.allocator.core.stock.rows import (
    BatonRow,
    MovementRow,
    QueueRow,
    RecordRow,
    ReservationRow,
    SkuKey,
    StockChanges,
    StoredDeadlines,
    StoredSku,
)
from shared.partitions.memory import MemoryTransaction
from shared.partitions.ports import WasKnown

RECORDS, QUEUES, BATONS, RESERVATIONS, MOVEMENTS, TOLD = "stock_record", "sku_queue", "baton", "reservation", "movement", "levels_told"


class MemoryStockStorage:
    """Rows under the names of the Postgres tables, in the transaction that `current` gives. Scans: made for small worlds."""

    def __init__(self, current: Callable[[], MemoryTransaction]) -> None:
        self._current = current

    async def deadlines(self, partition: int) -> StoredDeadlines:
        """See the port."""
        telling, levels_round = self._current().get(TOLD, partition) or (None, None)
        records: list[RecordRow] = [row for row in self._rows(RECORDS) if row.partition == partition]
        lots: dict[SkuKey, Any] = {}
        for row in records:
            if row.expires_on is not None and not row.expired:
                lots[row.merchant, row.sku] = min(row.expires_on, lots.get((row.merchant, row.sku), row.expires_on))
        batons: list[BatonRow] = [row for row in self._rows(BATONS) if row.partition == partition and not row.expired]
        queues: list[QueueRow] = [row for row in self._rows(QUEUES) if row.partition == partition and row.continue_at is not None]
        return StoredDeadlines(
            [((row.merchant, row.sku), (row.demand, row.alternative), row.expires_at) for row in batons],
            [((row.merchant, row.sku), row.continue_at) for row in queues if row.continue_at is not None],
            list(lots.items()),
            telling,
            list(_last_changes(row for row in records if telling is None or row.changed_at > telling.told_at).items()),
            levels_round,
        )

    async def summaries(self, skus: Sequence[SkuKey]) -> dict[SkuKey, StoredSku]:
        """See the port."""
        found: dict[SkuKey, StoredSku] = {}
        for key in skus:
            records = sorted((row for row in self._rows(RECORDS) if row[:2] == key), key=lambda row: row.record)
            queue = self._current().get(QUEUES, key)
            if records or queue:
                found[key] = StoredSku(records, queue, [row for row in self._rows(BATONS) if row[:2] == key])
        return found

    async def reservations(self, names: Sequence[tuple[str, str, str]]) -> list[ReservationRow]:
        """See the port."""
        return [row for name in names if (row := self._current().get(RESERVATIONS, name)) is not None]

    async def live_reservations(self, skus: Sequence[SkuKey]) -> list[ReservationRow]:
        """See the port."""
        wanted = set(skus)
        rows: Iterable[ReservationRow] = self._rows(RESERVATIONS)
        return [row for row in rows if (row.merchant, row.sku) in wanted and (row.reserved_units or row.waiting_units)]

    async def movements(self, commands: Sequence[tuple[str, str, str]]) -> list[MovementRow]:
        """See the port."""
        names = [(merchant, sku, "inventory", command_id, 0) for merchant, sku, command_id in commands]
        return [row for name in names if (row := self._current().get(MOVEMENTS, name)) is not None]

    async def skus_after(self, partition: int, after: SkuKey | None, most: int) -> list[SkuKey]:
        """See the port."""
        keys = {(row.merchant, row.sku) for row in self._rows(RECORDS) if row.partition == partition}
        return sorted(key for key in keys if after is None or key > after)[:most]

    async def save(self, changes: StockChanges) -> None:
        """See the port."""
        self._insert(RECORDS, [(row[:3], row) for row in changes.new_records])
        self._replace(RECORDS, [(row[:3], row) for row in changes.changed_records])
        self._replace(RECORDS, [(row[:3], row) for row in changes.redated_records])
        for name in changes.forgotten_reservations:
            row: ReservationRow | None = self._current().get(RESERVATIONS, name)
            if row is None or row.reserved_units or row.waiting_units:
                raise ValueError(f"{RESERVATIONS} {name} is no tombstone: {row}")
            self._current().delete(RESERVATIONS, name)
        self._insert(RESERVATIONS, [(row[:3], row) for row in changes.new_reservations], refusal=WasKnown)
        self._replace(RESERVATIONS, [(row[:3], row) for row in changes.changed_reservations])
        self._insert(MOVEMENTS, [(row[:5], row) for row in changes.movements])
        transaction = self._current()
        for queue in changes.queues:
            transaction.put(QUEUES, queue[:2], queue)
        for baton in changes.batons:
            transaction.put(BATONS, baton[:4], baton)
        for key, whose in changes.returned_batons:
            transaction.delete(BATONS, (*key, *whose))
        if changes.telling is not None:
            transaction.put(TOLD, changes.partition, (changes.telling, changes.levels_round))

    def _rows(self, table: str) -> list[Any]:
        return [row for _, row in self._current().scan(table)]

    def _insert(self, table: str, rows: list[tuple[Hashable, Any]], refusal: type[Exception] = ValueError) -> None:
        for key, row in rows:
            if self._current().get(table, key) is not None:
                raise refusal(f"{table} {key} exists")
            self._current().put(table, key, row)

    def _replace(self, table: str, rows: list[tuple[Hashable, Any]]) -> None:
        for key, row in rows:
            if self._current().get(table, key) is None:
                raise ValueError(f"{table} {key} does not exist")
            self._current().put(table, key, row)


def _last_changes(records: Iterable[RecordRow]) -> dict[SkuKey, datetime]:
    found: dict[SkuKey, datetime] = {}
    for row in records:
        found[row.merchant, row.sku] = max(row.changed_at, found.get((row.merchant, row.sku), row.changed_at))
    return found
