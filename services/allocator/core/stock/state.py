"""The mutable state inside the fold: one SKU with its stock records, its reservations, its queue. Never leaves the fold."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from services.allocator.core.shortage import Holding
from services.allocator.core.stock.rows import BatonRow, QueueRow, RecordRow, ReservationKey, ReservationRow, SkuKey, StoredSku
from services.allocator.core.stock.waiting import Rank, WaitingQueue
from shared.schemas.values import Fill, Strategy

FILLS = {fill.value: fill for fill in Fill}
STRATEGIES = {strategy.value: strategy for strategy in Strategy}
Identity = tuple[str, str, str | None, str | None]
"""Where a stock record is, and what lies there: (warehouse, bin, lot, label)."""
FEW_RECORDS = 8
"""So many are looked through as quickly as an index is asked."""


class StockRecord:
    """A stock record. `backed` units of reservations lie here; `flagged` ones fell from here and have no stock behind them."""

    __slots__ = (
        "backed", "bin", "changed", "expired", "expires_on", "flagged", "held", "label", "lot", "number", "on_hand", "received_at",
        "stored", "version", "warehouse",
    )  # fmt: skip

    def __init__(self, number: int, warehouse: str, bin_: str, lot: str | None, label: str | None, received_at: datetime) -> None:
        self.number, self.warehouse, self.bin, self.lot, self.label = number, warehouse, bin_, lot, label
        self.expires_on: date | None = None
        self.received_at = received_at
        self.on_hand = self.held = self.backed = self.flagged = self.version = 0
        self.expired = self.stored = self.changed = False

    @property
    def identity(self) -> Identity:
        return self.warehouse, self.bin, self.lot, self.label

    def capacity(self, today: date) -> int:
        """Units that may back reservations."""
        if self.expires_on is not None and self.expires_on < today:
            return 0
        return max(0, self.on_hand - self.held)

    def room(self, today: date) -> int:
        """Units that are free. Flagged units do not lessen them: wherever somebody is flagged who could use them, none are free."""
        if self.expires_on is not None and self.expires_on < today:
            return 0
        free = self.on_hand - self.held - self.backed
        return free if free > 0 else 0

    def ends_unnoticed(self, today: date) -> bool:
        """Its lot's last day is over, and that has not been acted on."""
        return self.expires_on is not None and self.expires_on < today and not self.expired

    def row(self, sku: SkuKey, partition: int, now: datetime) -> RecordRow:
        return RecordRow(
            sku[0], sku[1], self.number, partition, self.warehouse, self.bin, self.lot, self.label, self.expires_on, self.received_at,
            self.on_hand, self.held, self.backed, self.flagged, self.version, self.expired, now,
        )  # fmt: skip


def record_of(row: RecordRow) -> StockRecord:
    record = StockRecord(row.record, row.warehouse, row.bin, row.lot, row.label, row.received_at)
    record.expires_on, record.expired = row.expires_on, row.expired
    record.on_hand, record.held, record.backed, record.flagged, record.version = row.on_hand, row.held, row.backed, row.flagged, row.version
    record.stored = True
    return record


class Reservation:
    """One (demand, SKU, alternative): reservation, waiting place, memory of the highest attempt, tombstone.

    `pieces` and `flags`: units by stock record, backed and flagged. reserved = sum of both.
    """

    __slots__ = (
        "attempt", "changed", "consumed", "created_at", "empty_since", "fill", "flagged", "flags", "key", "mark", "pending", "pieces",
        "rank", "reserved", "stored", "strategy", "version", "waiting", "warehouses",
    )  # fmt: skip

    def __init__(self, key: ReservationKey, created_at: datetime) -> None:
        self.key, self.created_at = key, created_at
        self.rank: Rank = (0, created_at, *key)
        self.attempt = self.version = self.reserved = self.flagged = self.waiting = self.consumed = 0
        self.pending = self.stored = self.changed = False
        self.mark: int | None = None
        self.empty_since: datetime | None = None
        self.fill, self.strategy = Fill.PARTIAL, Strategy.FEFO
        self.warehouses: tuple[str, ...] = ()
        self.pieces: dict[int, int] = {}
        self.flags: dict[int, int] = {}

    @property
    def backing_rank(self) -> tuple[bool, Rank]:
        """Backing goes to what is being picked first, then in queue order."""
        return (self.mark is None, self.rank)

    def row(self, sku: SkuKey) -> ReservationRow:
        priority, demanded_at, demand, alternative = self.rank
        records, units, flags = self._piece_columns()
        return ReservationRow(
            demand, sku[1], alternative, sku[0], self.attempt, self.version, self.reserved, self.flagged, self.waiting, self.consumed,
            self.pending, self.mark, self.fill._value_, self.strategy._value_, priority, demanded_at, self.warehouses,
            records, units, flags, self.created_at, self.empty_since,
        )  # fmt: skip

    def _piece_columns(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]:
        if not self.flags and len(self.pieces) <= 1:
            return tuple(self.pieces), tuple(self.pieces.values()), None
        records = tuple(sorted({**self.pieces, **self.flags}))
        units = tuple([self.pieces.get(number, 0) for number in records])
        return records, units, tuple([self.flags.get(number, 0) for number in records]) if self.flags else None


def reservation_of(row: ReservationRow) -> Reservation:
    reservation = Reservation((row.demand, row.alternative), row.created_at)
    reservation.rank = (row.priority, row.demanded_at, row.demand, row.alternative)
    reservation.attempt, reservation.version = row.attempt, row.version
    reservation.reserved, reservation.flagged = row.reserved_units, row.flagged_units
    reservation.waiting, reservation.consumed = row.waiting_units, row.consumed_units
    reservation.pending, reservation.mark, reservation.empty_since = row.pending, row.mark, row.empty_since
    reservation.fill, reservation.strategy = FILLS[row.fill], STRATEGIES[row.strategy]
    reservation.warehouses = tuple(row.warehouses)
    reservation.pieces = {number: units for number, units in zip(row.piece_records, row.piece_units, strict=True) if units}
    if row.piece_flags:
        reservation.flags = {number: units for number, units in zip(row.piece_records, row.piece_flags, strict=True) if units}
    reservation.stored = True
    return reservation


class Baton:
    """A waiter has been woken and has not answered. Expired: it has no claim and no place in the window, and is not woken again."""

    __slots__ = ("expired", "expires_at", "number")

    def __init__(self, number: int, expires_at: datetime, expired: bool = False) -> None:
        self.number, self.expires_at, self.expired = number, expires_at, expired


class Walked(NamedTuple):
    """At this ledger version, which the end of a lot raises too, the waiters up to `rank` leave so much, by warehouse, for those behind
    it."""

    ledger_version: int
    rank: Rank
    left: dict[str, int]


class Largest(NamedTuple):
    """The largest holders at this ledger version, for those that draw on the same warehouses."""

    ledger_version: int
    by_warehouses: dict[tuple[str, ...], list[Holding]]


class SkuStock:
    """Everything in memory of one SKU. Most lie in one place and nobody waits for them; a hundred thousand of those are kept, so what only
    others need is made when it is needed.

    `complete`: every live reservation is here, and so is `queue`; otherwise `reservations` holds only those that the batch names.
    `crowded` SKUs, where anybody waits or is flagged, are decided only when complete. `orders`, `largest` and `walked` are remembered
    results.
    """

    __slots__ = (
        "_by_identity", "_by_warehouse", "baton_seq", "batons", "complete", "continue_at", "flagged", "key", "largest", "ledger_version",
        "on_hand", "orders", "queue", "records", "reservations", "size", "waiting_count", "wake_window", "walked",
    )  # fmt: skip

    def __init__(self, key: SkuKey) -> None:
        self.key = key
        self.records: list[StockRecord] = []
        self._by_identity: dict[Identity, StockRecord] | None = None
        self._by_warehouse: dict[str, list[StockRecord]] | None = None
        self.orders: dict[tuple[str, str], list[StockRecord]] | None = None
        self.ledger_version, self.on_hand, self.flagged = 1, 0, 0
        self.waiting_count, self.wake_window, self.baton_seq = 0, 1, 0
        self.continue_at: datetime | None = None
        self.batons: dict[ReservationKey, Baton] = {}
        self.reservations: dict[ReservationKey, Reservation] = {}
        self.queue: WaitingQueue
        self.largest: Largest | None = None
        self.walked: Walked | None = None
        self.complete = False
        self.size = 0

    @property
    def name(self) -> str:
        """The Kafka key of what concerns this SKU."""
        return f"{self.key[0]}/{self.key[1]}"

    @property
    def crowded(self) -> bool:
        return self.waiting_count > 0 or self.flagged > 0

    def add_record(self, record: StockRecord) -> None:
        assert record.number == len(self.records) + 1, "stock records of a SKU are numbered without holes"
        self.records.append(record)
        if self._by_identity is not None:
            self._by_identity[record.identity] = record
        if self._by_warehouse is not None:
            self._by_warehouse.setdefault(record.warehouse, []).append(record)
        elif record.warehouse != self.records[0].warehouse:
            self._by_warehouse = {self.records[0].warehouse: self.records[:-1], record.warehouse: [record]}
        self.orders = None
        self.on_hand += record.on_hand
        self.flagged += record.flagged
        self.ledger_version += record.version

    def record_at(self, *identity: *Identity) -> StockRecord | None:
        """The stock record there, of that lot and label."""
        if len(self.records) <= FEW_RECORDS:
            return next((record for record in self.records if record.identity == identity), None)
        if self._by_identity is None:
            self._by_identity = {record.identity: record for record in self.records}
        return self._by_identity.get(identity)

    def records_in(self, warehouse: str) -> Sequence[StockRecord]:
        """Its stock records in a warehouse, in the order of their numbers. Do not change the list."""
        if self._by_warehouse is not None:
            return self._by_warehouse.get(warehouse, ())
        return self.records if self.records and self.records[0].warehouse == warehouse else ()

    def records_by_warehouse(self) -> Mapping[str, Sequence[StockRecord]]:
        """All of them."""
        if self._by_warehouse is not None:
            return self._by_warehouse
        return {self.records[0].warehouse: self.records} if self.records else {}

    def next_end(self) -> date | None:
        """The next last day of a lot that has to be acted on."""
        return min((record.expires_on for record in self.records if record.expires_on is not None and not record.expired), default=None)

    def queue_row(self, partition: int) -> QueueRow:
        return QueueRow(*self.key, partition, self.waiting_count, self.wake_window, self.baton_seq, self.continue_at)

    def baton_row(self, key: ReservationKey, partition: int) -> BatonRow:
        baton = self.batons[key]
        return BatonRow(*self.key, *key, partition, baton.number, baton.expires_at, baton.expired)

    def complete_with(self, rows: list[ReservationRow]) -> None:
        """Add every live reservation. What is in memory already may have been changed by this batch and wins."""
        for row in rows:
            if (row.demand, row.alternative) not in self.reservations:
                self.reservations[row.demand, row.alternative] = reservation_of(row)
        waiting = [one for one in self.reservations.values() if one.waiting]
        self.queue = WaitingQueue()
        self.queue.add_all((one.rank, one.warehouses, one.waiting, one.fill) for one in waiting)
        self.complete = True
        assert len(self.queue) == self.waiting_count, f"{self.name}: {len(self.queue)} wait, the queue row says {self.waiting_count}"


def sku_of(key: SkuKey, stored: StoredSku | None) -> SkuStock:
    """A SKU from its stored summary; one that was never heard of is empty."""
    sku = SkuStock(key)
    if stored is None:
        return sku
    for row in stored.records:
        sku.add_record(record_of(row))
    if stored.queue is not None:
        sku.waiting_count, sku.wake_window = stored.queue.waiting_count, stored.queue.wake_window
        sku.baton_seq, sku.continue_at = stored.queue.baton_seq, stored.queue.continue_at
    for baton in stored.batons:
        sku.batons[baton.demand, baton.alternative] = Baton(baton.baton, baton.expires_at, baton.expired)
    return sku
