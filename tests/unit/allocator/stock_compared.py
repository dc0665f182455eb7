"""What a stock partition has stored and said in a batch, against what the naive model says of it: everything that anybody can see."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.partitions.model import Send
from shared.schemas.commands import ReserveChain
from shared.schemas.events import Outcome, StockCommandRefused, StockLevelChanged, StockMoved, Wake
from tests.models.messages import Messages
from tests.models.records import Line
from tests.models.stock import Stock
from tests.unit.allocator.allocator_duet import levels_of
from tests.unit.allocator.stock_partition import StockPartition

Figures = tuple[Any, ...]
"""Of a line: attempt, reserved, flagged, waiting, consumed, pending, being picked, units by number of the record."""


class Compared:
    """`heard`: by (SKU, line) what was told of it last."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, str], Figures] = {}
        self.levels: dict[str, Any] = {}

    def compare(self, partition: StockPartition, models: Mapping[str, Messages], sends: Sequence[Send]) -> None:
        """Fails with both where they differ."""
        for sku, model in models.items():
            said = [send.message for send in sends if not isinstance(send.message, StockLevelChanged) and _sku_of(send.message) == sku]
            self._hear(sku, said)
            _same(f"answers of {sku}", [one for message in said if (one := _answer(message))], model.said)
            _compare_rows(sku, _rows(partition, sku), model)
            self._compare_told(sku, model)
        self.levels |= {one.message.sku: _levels(one.message) for one in sends if isinstance(one.message, StockLevelChanged)}
        _same("levels", self.levels, {sku: found for sku, model in models.items() if (found := levels_of(model.stock))})

    def _hear(self, sku: str, said: Sequence[Any]) -> None:
        for one in said:
            if isinstance(one, Outcome):
                figures = one.reserved_units, one.flagged_units, one.waiting_units, one.consumed_units
                pieces = {piece.record: piece.units for piece in one.pieces}
                self.heard[sku, _short(one.demand)] = (one.attempt, *figures, one.pending, one.mark is not None, pieces)

    def _compare_told(self, sku: str, model: Messages) -> None:
        """Who is concerned has heard of it; but a chain that goes on says so to the next stop only."""
        for name, line in model.stock.lines.items():
            if model.attempts[name] == self.heard.get((sku, name), (0,))[0] or not line.pending:
                _same(f"told of {name} at {sku}", self.heard.get((sku, name)), _figures(model, line))


def _compare_rows(sku: str, rows: Mapping[str, list[Any]], model: Messages) -> None:
    stock = model.stock
    _same(f"stock records of {sku}", [_record(row) for row in rows["stock_record"]], _records(stock))
    lines = {name: (_figures(model, line), _by_number(stock, line.flagged)) for name, line in stock.lines.items()}
    _same(f"lines at {sku}", {_short(row.demand): _line(row) for row in rows["reservation"]}, lines)
    _same(f"queue of {sku}", _queue(rows["reservation"]), [(line.demand, line.place[:2]) for line in stock.queue()])
    batons = {name: (baton.number, baton.expired) for name, baton in model.batons.items()}
    _same(f"batons of {sku}", {_short(row.demand): (row.baton, row.expired) for row in rows["baton"]}, batons)
    _same(f"window of {sku}", [row.wake_window for row in rows["sku_queue"]] or [1], [model.window])
    given_back = Counter((demand, stock.records.index(record) + 1) for demand, record in stock.released)
    _same(f"released at {sku}", _released(rows["movement"]), given_back)


def _same(what: str, product: Any, model: Any) -> None:
    assert product == model, f"{what}:\n  product {product}\n  model   {model}"


# ---------------------------------------------------------------- the product's


def _rows(partition: StockPartition, sku: str) -> dict[str, list[Any]]:
    tables = ("stock_record", "reservation", "baton", "movement", "sku_queue")
    return {name: [row for row in partition.rows(name) if row.sku == sku] for name in tables}


def _record(row: Any) -> tuple[Any, ...]:
    return row.warehouse, row.bin, row.lot, row.expires_on, row.on_hand, row.backed, row.flagged


def _line(row: Any) -> tuple[Figures, dict[int, int]]:
    flags = row.piece_flags or (0,) * len(row.piece_records)
    units = {number: units for number, units in zip(row.piece_records, row.piece_units, strict=True) if units}
    fell = {number: units for number, units in zip(row.piece_records, flags, strict=True) if units}
    figures = row.reserved_units, row.flagged_units, row.waiting_units, row.consumed_units
    return (row.attempt, *figures, row.pending, row.mark is not None, units), fell


def _queue(rows: Sequence[Any]) -> list[Any]:
    waiting = sorted((row.priority, row.demanded_at, _short(row.demand)) for row in rows if row.waiting_units)
    return [(name, (priority, at)) for priority, at, name in waiting]


def _released(movements: Sequence[Any]) -> Counter[tuple[str, int]]:
    released: Counter[tuple[str, int]] = Counter()
    for row in movements:
        if row.kind == "release":
            released[_short(row.cause), row.record] += row.released_units
    return released


def _levels(message: StockLevelChanged) -> dict[str, tuple[int, int, int]]:
    return {one.warehouse: (one.on_hand_units, one.allocated_units, one.available_units) for one in message.warehouses}


def _answer(message: Any) -> tuple[Any, ...] | None:
    match message:
        case StockMoved():
            who = ("consumed", _short(message.cause)) if message.kind == "consume" else ("moved", message.command_id)
            return (*who, message.record, message.change, message.on_hand_before, message.on_hand_after)
        case StockCommandRefused():
            return "refused", message.command_id, message.reason
        case Wake():
            return "wake", _short(message.demand), message.baton
        case ReserveChain():
            return "goes on", _short(message.demand), message.sku
        case Outcome() if message.note:
            return message.note, _short(message.demand), message.about
    return None


def _sku_of(message: Any) -> str:
    """Whose message it is: a chain that goes on was sent by the stop before."""
    sku: str = message.stops[message.stop - 1].sku if isinstance(message, ReserveChain) else message.sku
    return sku


def _short(name: str) -> str:
    return name.rpartition("/")[2]


# ---------------------------------------------------------------- the model's


def _records(stock: Stock) -> list[tuple[Any, ...]]:
    found = []
    for record in stock.records:
        backed = sum(line.units.count(record) for line in stock.lines.values())
        flagged = sum(line.flagged.count(record) for line in stock.lines.values())
        found.append((record.warehouse, record.bin, record.lot, record.ends_on, record.on_hand, backed, flagged))
    return found


def _figures(model: Messages, line: Line) -> Figures:
    figures = line.reserved, len(line.flagged), line.waiting, line.consumed
    return (model.attempts[line.demand], *figures, line.pending, line.picking, _by_number(model.stock, line.units))


def _by_number(stock: Stock, units: Sequence[Any]) -> dict[int, int]:
    return {number: units.count(record) for number, record in enumerate(stock.records, 1) if record in units}
