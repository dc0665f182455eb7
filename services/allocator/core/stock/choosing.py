"""Which stock records serve a line: warehouses in the line's order, within a warehouse by the line's strategy."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from services.allocator.core.stock.state import SkuStock, StockRecord
from shared.schemas.values import Strategy

NEVER = date.max
Picks = list[tuple[StockRecord, int]]
"""Units per stock record."""


def choose(sku: SkuStock, warehouses: Iterable[str], strategy: Strategy, units: int, today: date) -> Picks:
    """As many of `units` as are free in these warehouses."""
    picks: Picks = []
    for warehouse in warehouses:
        units = _choose_within(sku, warehouse, strategy, units, today, picks)
        if not units:
            break
    return picks


def choose_allotted(sku: SkuStock, allotment: Iterable[tuple[str, int]], strategy: Strategy, today: date) -> Picks:
    """Records for exactly the units that were allotted per warehouse."""
    picks: Picks = []
    for warehouse, units in allotment:
        left = _choose_within(sku, warehouse, strategy, units, today, picks)
        assert not left, "what was allotted is free"
    return picks


def preference(sku: SkuStock, warehouses: Sequence[str], strategy: Strategy) -> list[StockRecord]:
    """All records of these warehouses, the one that serves first first."""
    return [record for warehouse in warehouses for record in _in_order(sku, warehouse, strategy)]


def free_units(sku: SkuStock, warehouses: Iterable[str], enough: int, today: date) -> int:
    """Free units of these warehouses; stops counting at `enough`."""
    free = 0
    for warehouse in warehouses:
        for record in sku.records_in(warehouse):
            free += record.room(today)
            if free >= enough:
                return free
    return free


def free_by_warehouse(sku: SkuStock, today: date) -> dict[str, int]:
    """Free units of every warehouse that has any."""
    free: dict[str, int] = {}
    for record in sku.records:
        room = record.room(today)
        if room:
            free[record.warehouse] = free.get(record.warehouse, 0) + room
    return free


def allot(free: dict[str, int], warehouses: Iterable[str], units: int) -> list[tuple[str, int]]:
    """Take up to `units` out of `free`, from these warehouses in order: what was taken, by warehouse."""
    taken: list[tuple[str, int]] = []
    for warehouse in warehouses:
        there = free.get(warehouse, 0)
        if there:
            part = min(there, units)
            free[warehouse] = there - part
            taken.append((warehouse, part))
            units -= part
            if not units:
                break
    return taken


def _choose_within(sku: SkuStock, warehouse: str, strategy: Strategy, units: int, today: date, picks: Picks) -> int:
    if strategy is Strategy.FEWEST_RECORDS:
        return _fewest(sku.records_in(warehouse), units, today, picks)
    for record in _in_order(sku, warehouse, strategy):
        room = record.room(today)
        if room >= units:
            picks.append((record, units))
            return 0
        if room:
            picks.append((record, room))
            units -= room
    return units


def _fewest(records: Sequence[StockRecord], units: int, today: date, picks: Picks) -> int:
    """Largest first; the last one is the smallest that is enough, so that large ones stay whole."""
    rooms = sorted(((-record.room(today), record.number, record) for record in records if record.room(today)), key=lambda one: one[:2])
    for at, (room, _, record) in enumerate(rooms):
        if -room >= units:
            enough = [one for one in rooms[at:] if -one[0] >= units]
            least = enough[-1][0]
            picks.append((next(one[2] for one in enough if one[0] == least), units))
            return 0
        picks.append((record, -room))
        units += room
    return units


def _in_order(sku: SkuStock, warehouse: str, strategy: Strategy) -> Sequence[StockRecord]:
    records = sku.records_in(warehouse)
    if len(records) < 2:
        return records
    if sku.orders is None:
        sku.orders = {}
    name = strategy._value_  # the hash of an enum member is a call of Python's
    order = sku.orders.get((warehouse, name))
    if order is None:
        order = sku.orders[warehouse, name] = sorted(records, key=_KEYS[strategy])
    return order


def _first_expired(record: StockRecord) -> tuple[object, ...]:
    return (record.expires_on or NEVER, record.received_at, record.number)


def _first_received(record: StockRecord) -> tuple[object, ...]:
    return (record.received_at, record.number)


def _last_received(record: StockRecord) -> tuple[object, ...]:
    return (_FAR - record.received_at, record.number)


_FAR = datetime.max.replace(tzinfo=UTC)
_KEYS = {
    Strategy.FEFO: _first_expired,
    Strategy.FIFO: _first_received,
    Strategy.LIFO: _last_received,
    Strategy.FEWEST_RECORDS: _first_received,
}
