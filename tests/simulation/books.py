"""The simulation's own books of the allocator, kept from committed rows and published records only.

Shares no code with the cores: what a rule says is written here a second time, in the plainest way.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import date
from typing import Any

from services.allocator.core.stock.rows import BatonRow, MovementRow, QueueRow, RecordRow, ReservationRow
from tests.simulation.failed import Failed

Sku = tuple[str, str]


class SkuBooks:
    """The committed rows of one SKU."""

    def __init__(self) -> None:
        self.records: dict[int, RecordRow] = {}
        self.reservations: dict[tuple[str, str], ReservationRow] = {}
        self.movements: list[MovementRow] = []
        self.batons: dict[tuple[str, str], BatonRow] = {}
        self.queue: QueueRow | None = None

    def before(self) -> "SkuBooks":
        """As it is now, to be compared with later, but for the movements, which only grow; rows never change."""
        other = SkuBooks()
        other.records, other.reservations = dict(self.records), dict(self.reservations)
        other.batons, other.queue = dict(self.batons), self.queue
        return other


def room(record: RecordRow, today: date) -> int:
    """Units of a record that nobody has."""
    if record.expires_on is not None and record.expires_on < today:
        return 0
    return max(0, record.on_hand - record.held - record.backed)


def room_for(sku: SkuBooks, warehouses: Collection[str], today: date) -> int:
    """Units that are free in these warehouses."""
    return sum([room(record, today) for record in sku.records.values() if record.warehouse in warehouses])


# ---------------------------------------------------------------- after every transaction


def check_sku(name: Sku, sku: SkuBooks, today: date) -> None:
    """Nothing oversold, sums agree, flags are where they belong."""
    _check_records(name, sku, today)
    for reservation in sku.reservations.values():
        _check_reservation(name, reservation)
    _check_flags(name, sku, today)
    waiting = sum(1 for one in sku.reservations.values() if one.waiting_units)
    if waiting != (sku.queue.waiting_count if sku.queue else 0):
        raise Failed(f"the queue row is wrong: {name}, where {waiting} wait: {sku.queue}")


def _check_records(name: Sku, sku: SkuBooks, today: date) -> None:
    backed: dict[int, int] = defaultdict(int)
    flagged: dict[int, int] = defaultdict(int)
    for one in sku.reservations.values():
        flags = one.piece_flags or (0,) * len(one.piece_records)
        for number, units, without in zip(one.piece_records, one.piece_units, flags, strict=True):
            backed[number] += units
            flagged[number] += without
    for record in sku.records.values():
        if (backed[record.record], flagged[record.record]) != (record.backed, record.flagged):
            raise Failed(f"sums of a stock record: {name} {record}: reservations say {backed[record.record]} and {flagged[record.record]}")
        if record.on_hand < 0 or record.backed < 0 or record.flagged < 0 or record.backed > max(0, record.on_hand - record.held):
            raise Failed(f"oversold: {name} record {record}")
        if record.expired and record.backed:
            raise Failed(f"expired stock backs reservations: {name} record {record}")


def _check_reservation(name: Sku, one: ReservationRow) -> None:
    flags = sum(one.piece_flags or ())
    if one.reserved_units != sum(one.piece_units) + flags or one.flagged_units != flags:
        raise Failed(f"sums of a reservation: {name} {one}")
    if min(one.reserved_units, one.flagged_units, one.waiting_units, one.consumed_units, *one.piece_units, 0) < 0:
        raise Failed(f"below nothing: {name} reservation {one}")


def place(one: ReservationRow) -> tuple[bool, int, Any, str, str]:
    """Who is backed first: those being picked, then the order of the queue."""
    return (one.mark is None, one.priority, one.demanded_at, one.demand, one.alternative)


def _check_flags(name: Sku, sku: SkuBooks, today: date) -> None:
    for one in sku.reservations.values():
        if not one.flagged_units:
            continue
        if room_for(sku, one.warehouses, today):
            raise Failed(f"flagged beside available: {name} {one}")
        for other in sku.reservations.values():
            within = [number for number, units in zip(other.piece_records, other.piece_units, strict=True) if units]
            usable = any(sku.records[number].warehouse in one.warehouses for number in within)
            if place(other) > place(one) and usable:
                raise Failed(f"the wrong ones are flagged: {name} {one} is flagged, the worse placed {other} is not")


def check_nobody_passed_over(name: Sku, sku: SkuBooks, today: date) -> None:
    """Nobody is left waiting beside stock that would serve them, not even in between. One whose baton has expired is about to get nothing.
    Left out while somebody is awake, whose baton comes back and lets the others be served, and where serving goes on in the next batch:
    a better placed newcomer may have taken what one waiter was about to get, so that another fits."""
    if (sku.queue and sku.queue.continue_at) or any(not baton.expired for baton in sku.batons.values()):
        return
    if any(one.flagged_units for one in sku.reservations.values()):
        return
    for one in sku.reservations.values():
        if not one.waiting_units or (one.demand, one.alternative) in sku.batons:
            continue
        there = room_for(sku, one.warehouses, today)
        if there > 0 and (one.fill == "partial" or there >= one.waiting_units):
            raise Failed(f"passed over: {name} {one} waits beside {there} free units")


def in_queue(one: ReservationRow) -> tuple[Any, ...]:
    """The place of a waiter."""
    return one.priority, one.demanded_at, one.demand, one.alternative


def claim(waiter: ReservationRow, free: dict[str, int]) -> None:
    """Takes what a waiter is about to get."""
    need = waiter.waiting_units
    if waiter.fill != "partial" and need > sum(free.get(warehouse, 0) for warehouse in set(waiter.warehouses)):
        return
    for warehouse in waiter.warehouses:
        part = min(need, free.get(warehouse, 0))
        free[warehouse] = free.get(warehouse, 0) - part
        need -= part


# ---------------------------------------------------------------- at rest


def check_movements(name: Sku, sku: SkuBooks) -> None:
    """What is on hand is the sum of what moved; versions and figures of a record follow each other."""
    for record in sku.records.values():
        moves = sorted((one for one in sku.movements if one.record == record.record), key=lambda one: one.record_version)
        on_hand = 0
        for one in moves:
            if one.on_hand_before != on_hand or one.on_hand_after != on_hand + one.change:
                raise Failed(f"movements do not add up: {name} {one} after {on_hand} on hand")
            on_hand = one.on_hand_after
        if on_hand != record.on_hand:
            raise Failed(f"movements do not add up: {name} record {record} should have {on_hand} on hand")


def check_nobody_asleep(name: Sku, sku: SkuBooks, today: date) -> None:
    """Nobody waits beside stock that would serve it, no baton is left, nothing is pending."""
    if sku.batons:
        raise Failed(f"a baton is still out: {name} {sku.batons}")
    for one in sku.reservations.values():
        if one.pending and one.reserved_units:
            raise Failed(f"still pending: {name} {one}")
        free = room_for(sku, one.warehouses, today)
        if one.waiting_units and free and (one.fill == "partial" or free >= one.waiting_units):
            raise Failed(f"asleep: {name} {one} waits beside {free} free units")
