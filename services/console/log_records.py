"""From a record of a topic to the row that `earmark verify --from-log` compares by: parsed by shapes of its own, which know the few fields
that count, so that a fault of the published language's classes does not hide itself.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.schemas import topics

Number = Annotated[int, Meta(ge=-(2**62), le=2**62)]
"""What a `bigint` takes, so that nobody's record can make COPY fail."""
_text = msgspec.json.Encoder().encode
Row = tuple[Any, ...]


class NotReadable(Exception):
    """The record is none of those that belong on its topic; says why."""


class _AllocatedLine(msgspec.Struct, frozen=True, gc=False):
    sku: str
    wanted_units: Number
    reserved_units: Number
    flagged_units: Number
    waiting_units: Number
    consumed_units: Number


class _Allocation(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="allocation_changed"):
    demand: str
    version: Number
    demand_version: Number
    outcome: str
    lines: list[_AllocatedLine]


class _Moved(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="stock_moved"):
    command_id: str
    merchant: str
    sku: str
    record: Annotated[int, Meta(ge=0, lt=2**31)]
    kind: str
    change: Number
    on_hand_before: Number
    on_hand_after: Number
    record_version: Number
    ledger_version: Number


class _Refused(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="stock_command_refused"):
    command_id: str
    merchant: str
    sku: str
    reason: str


class _WarehouseLevel(msgspec.Struct, frozen=True, gc=False):
    warehouse: str
    on_hand_units: Number
    held_units: Number
    allocated_units: Number


class _Levels(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="stock_level_changed"):
    merchant: str
    sku: str
    ledger_version: Number
    warehouses: list[_WarehouseLevel]


class _Line(msgspec.Struct, frozen=True, gc=False):
    sku: str
    units: Number


class _Demand(msgspec.Struct, frozen=True, gc=False):
    id: str
    version: Number
    wish: str
    lines: list[_Line]


class _Order(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="order_changed"):
    demand: _Demand


class _Run(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="allocation_run_changed"):
    pass


class _Received(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="receive_stock"):
    command_id: str
    merchant: str
    sku: str
    units: Number


class _Adjusted(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="adjust_stock"):
    command_id: str
    merchant: str
    sku: str
    change: Number


_allocation = msgspec.json.Decoder(_Allocation).decode
_movement = msgspec.json.Decoder(_Moved | _Refused).decode
_levels = msgspec.json.Decoder(_Levels).decode
_order = msgspec.json.Decoder(_Order | _Run).decode
_command = msgspec.json.Decoder(_Received | _Adjusted).decode


def _allocation_row(value: bytes) -> Row:
    """demand, version, demand_version, outcome, lines: JSON, of each its SKU and five figures."""
    told = _allocation(value)
    lines = [
        (one.sku, one.wanted_units, one.reserved_units, one.flagged_units, one.waiting_units, one.consumed_units) for one in told.lines
    ]
    return told.demand, told.version, told.demand_version, told.outcome, _text(lines).decode()


def _movement_row(value: bytes) -> Row:
    """merchant, sku, command_id, kind, refusal, record, change, before, after, record_version, ledger_version."""
    told = _movement(value)
    if isinstance(told, _Refused):
        return told.merchant, told.sku, told.command_id, None, told.reason, None, None, None, None, None, None
    return (
        told.merchant, told.sku, told.command_id, told.kind, None, told.record, told.change, told.on_hand_before, told.on_hand_after,
        told.record_version, told.ledger_version,
    )  # fmt: skip


def _levels_row(value: bytes) -> Row:
    """merchant, sku, ledger_version, levels: JSON, of each warehouse its name and three figures."""
    told = _levels(value)
    levels = [(one.warehouse, one.on_hand_units, one.held_units, one.allocated_units) for one in told.warehouses]
    return told.merchant, told.sku, told.ledger_version, _text(levels).decode()


def _nothing_more(_: bytes) -> Row:
    """Records whose numbers alone count."""
    return ()


def _order_row(value: bytes) -> Row:
    """demand, version, wish, lines: JSON, each SKU once and in order with its units. Nothing of how far a bulk run is."""
    said = _order(value)
    if isinstance(said, _Run):
        return None, None, None, None
    units: dict[str, int] = {}
    for line in said.demand.lines:
        units[line.sku] = units.get(line.sku, 0) + line.units
    return said.demand.id, said.demand.version, said.demand.wish, _text(sorted(units.items())).decode()


def _command_row(value: bytes) -> Row:
    """merchant, sku, command_id, kind, change."""
    said = _command(value)
    received = isinstance(said, _Received)
    return said.merchant, said.sku, said.command_id, "receive" if received else "adjust", said.units if received else said.change


Parse = Callable[[bytes], Row]
OUTPUTS: Mapping[str, tuple[str, Parse]] = {
    topics.ALLOCATIONS.name: ("log_allocation", _allocation_row),
    topics.MOVEMENTS.name: ("log_movement", _movement_row),
    topics.STOCK_LEVELS.name: ("log_level", _levels_row),
    topics.RESERVATIONS.name: ("log_other", _nothing_more),
    topics.OUTCOMES.name: ("log_other", _nothing_more),
    topics.DEAD_LETTERS.name: ("log_other", _nothing_more),
}
"""Everything that state partitions write: topic to table and how its rows are made, behind the columns that all records have."""
INPUTS: Mapping[str, tuple[str, Parse]] = {
    topics.ORDERS.name: ("log_order", _order_row),
    topics.INVENTORY.name: ("log_command", _command_row),
}
"""What others say to the allocator."""


def row_of(value: bytes | None, parse: Parse) -> Row:
    """Of one record. Raises NotReadable."""
    if value is None:
        raise NotReadable("a tombstone")
    if b"\\u0000" in value and parse is not _nothing_more:  # a dead letter quotes what others wrote, whatever that was
        raise NotReadable("it holds NUL, which Postgres does not take")
    try:
        return parse(value)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise NotReadable(str(error)) from error


def digest(key: bytes | None, value: bytes | None, kind: bytes) -> int:
    """What makes two records the same, in a `bigint`."""
    found = blake2b(value or b"", digest_size=8, key=kind[:64])
    found.update(b"\0" + (key or b""))
    return int.from_bytes(found.digest(), "big", signed=True)
