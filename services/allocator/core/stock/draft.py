"""What a batch has decided so far: messages to send, rows that changed. One per batch; the leaves of the fold write into it."""

from datetime import date, datetime
from typing import Any

from services.allocator.core.stock.rows import MovementRow, ReservationKey, SkuKey
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import Reservation, SkuStock, StockRecord

Sent = tuple[int, str, str, Any]
"""A message on its way out: index of the command that sent it, topic, key, message. Sends of a batch are put in the order of their
commands, so that they do not depend on what was cached."""


class Draft:
    """The fold's locals. `at` is the index of the present command."""

    __slots__ = (
        "at", "batons", "continuations", "forgotten", "lots", "memory", "movements", "now", "queues", "records", "redated", "reservations",
        "sends", "settings", "to_serve", "today",
    )  # fmt: skip

    def __init__(self, now: datetime, today: date, settings: StockSettings) -> None:
        self.now, self.today, self.settings, self.at = now, today, settings, 0
        self.sends: list[Sent] = []
        self.records: list[tuple[SkuStock, StockRecord]] = []
        self.reservations: list[tuple[SkuStock, Reservation]] = []
        self.forgotten: dict[tuple[SkuKey, ReservationKey], Reservation] = {}
        self.redated: dict[tuple[SkuKey, int], tuple[SkuStock, StockRecord]] = {}
        self.queues: dict[SkuKey, SkuStock] = {}
        self.to_serve: dict[SkuKey, SkuStock] = {}
        self.batons: dict[tuple[SkuKey, ReservationKey], SkuStock] = {}
        self.continuations: dict[SkuKey, datetime | None] = {}
        self.lots: dict[SkuKey, date | None] = {}
        self.memory: dict[tuple[str, str, str], MovementRow] = {}
        self.movements: list[MovementRow] = []

    def send(self, topic: str, key: str, message: Any) -> None:
        self.sends.append((self.at, topic, key, message))

    def changed_record(self, sku: SkuStock, record: StockRecord) -> None:
        """Raises the record's version, and so the SKU's ledger version, which is one more than their sum."""
        record.version += 1
        sku.ledger_version += 1
        if not record.changed:
            record.changed = True
            self.records.append((sku, record))

    def changed_dates(self, sku: SkuStock, record: StockRecord) -> None:
        """When its goods came, when they end, whether that has been acted on. Changes with its figures."""
        if record.stored:
            self.redated[sku.key, record.number] = (sku, record)

    def changed_reservation(self, sku: SkuStock, reservation: Reservation) -> None:
        if not reservation.changed:
            reservation.changed = True
            self.reservations.append((sku, reservation))

    def forget_reservation(self, sku: SkuStock, reservation: Reservation) -> None:
        """Its row goes; whatever else this batch did to it is not stored."""
        del sku.reservations[reservation.key]
        if reservation.changed:
            reservation.changed = False
            self.reservations = [one for one in self.reservations if one[1] is not reservation]
        if reservation.stored:
            self.forgotten[sku.key, reservation.key] = reservation

    def changed_queue(self, sku: SkuStock) -> None:
        self.queues[sku.key] = sku

    def changed_baton(self, sku: SkuStock, key: ReservationKey) -> None:
        self.batons[sku.key, key] = sku

    def serve_later(self, sku: SkuStock) -> None:
        """Something rose or left the queue: at the end of the batch the waiters are served."""
        self.to_serve[sku.key] = sku

    def enqueue(self, sku: SkuStock, reservation: Reservation, units: int) -> None:
        assert sku.complete, "a queue is changed only when all of it is in memory"
        assert not reservation.waiting, "one place per reservation"
        reservation.waiting = units
        sku.queue.add(reservation.rank, reservation.warehouses, units, reservation.fill)
        sku.waiting_count += 1
        self._changed_claims(sku, reservation)

    def dequeue(self, sku: SkuStock, reservation: Reservation) -> None:
        """Leaves the queue, if it waits; what it claimed goes to others."""
        if reservation.waiting:
            sku.queue.remove(reservation.rank, reservation.warehouses, reservation.waiting, reservation.fill)
            reservation.waiting = 0
            sku.waiting_count -= 1
            self._changed_claims(sku, reservation)
            self.serve_later(sku)

    def _changed_claims(self, sku: SkuStock, reservation: Reservation) -> None:
        """Somebody came or went: what is remembered of those before it still holds."""
        self.changed_queue(sku)
        if sku.walked is not None and reservation.rank <= sku.walked.rank:
            sku.walked = None
