"""The stock side against the naive model: whatever is said, in whatever batches, repeated and late, both hold, say and explain the same."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.allocator.core.stock.settings import StockSettings
from tests.models.messages import Messages
from tests.models.records import Line
from tests.support.effort import effort
from tests.unit.allocator.stock_duet import CHAINS, ORDERS, Duet
from tests.unit.allocator.stock_explained import compare_explanation

LIMITS = [
    StockSettings(level_interval_ms=0),
    StockSettings(level_interval_ms=0, serve_limit=1, window_limit=1, cache_rows=0),
    StockSettings(level_interval_ms=0, serve_limit=2, window_limit=2, cache_rows=3),
]
FITS: dict[str, Callable[[Messages, Line], bool]] = {
    "lose": lambda _, line: bool(line.units),
    "supply": lambda _, line: bool(line.waiting),
    "edit": lambda _, line: line.demand in ORDERS and bool(line.reserved or line.waiting),
    "activate": lambda _, line: line.pending,
    "reduce": lambda _, line: line.demand in CHAINS and bool(line.reserved),
    "return_baton": lambda model, line: line.demand in model.batons,
    "release": lambda _, line: bool(line.reserved or line.waiting),
    "mark": lambda _, line: bool(line.reserved) and not line.picking,
    "unmark": lambda _, line: line.picking,
    "consume": lambda _, line: line.picking,
    "explain": lambda _, line: bool(line.waiting or line.flagged),
}
"""To which lines a thing is done. What is done to others is repeated, late, or was meant for what they were at the start of the batch."""
DAYS = [None, None, None, date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22), date(2027, 1, 1)]
skus, picks, late, units = st.sampled_from("AAAB"), st.integers(0, 999), st.integers(0, 9).map(lambda dice: dice == 0), st.integers(1, 6)
strategies, priorities = st.sampled_from(["fefo", "fifo", "lifo", "fewest_records"]), st.integers(0, 1)
warehouses = st.sampled_from([("W",), ("V",), ("W", "V"), ("W", "V"), ("V", "W")])
receipts = st.tuples(skus, st.sampled_from("WWV"), st.sampled_from(["B1", "B2"]), st.none(), st.sampled_from(DAYS), units)
lines = st.tuples(units, st.sampled_from(["partial", "partial", "whole_lines"]), warehouses, strategies, priorities)
needs = st.tuples(units, st.none() | units).map(lambda units: [("A", units[0]), *([("B", units[1])] if units[1] else [])])
adjustments = st.tuples(skus, st.sampled_from("WWV"), st.sampled_from(["B1", "B2"]), st.none(), st.integers(-6, 3))
returns = st.tuples(st.sampled_from([True, False, None]), st.booleans())
asks = st.tuples(st.just("line"), st.tuples(st.sampled_from(ORDERS), skus), lines)
acts = st.one_of(
    st.tuples(st.just("receive"), receipts),
    st.tuples(st.just("adjust"), adjustments),
    st.tuples(st.just("lose"), picks),
    st.tuples(st.just("lose"), picks),
    st.tuples(st.just("supply"), picks),
    st.tuples(st.just("supply"), picks),
    asks,
    asks,
    st.tuples(st.just("edit"), picks, lines),
    st.tuples(st.just("chain"), st.sampled_from(CHAINS), needs, strategies, priorities),
    st.tuples(st.sampled_from(["go_on", "go_on", "activate"]), picks, late),
    st.tuples(st.just("reduce"), picks, st.tuples(units, strategies, priorities)),
    st.tuples(st.just("return_baton"), picks, returns),
    st.tuples(st.just("release"), picks, late),
    st.tuples(st.sampled_from(["mark", "mark", "unmark", "consume"]), picks, late),
    st.tuples(st.sampled_from(["mark", "consume"]), picks, late),
    st.tuples(st.just("repeat"), picks),
)


class StockAgainstModel(RuleBasedStateMachine):
    """One stock partition and two models, one for each SKU. Few rules, each of which may do anything: what is left out of an example is
    drawn rule by rule, and little comes of a stock where nobody may ask for anything."""

    @initialize(
        limits=st.sampled_from(LIMITS),
        forgetful=st.booleans(),
        opening=st.lists(receipts, min_size=1, max_size=4),
        asked=st.lists(asks, min_size=2, max_size=5),
    )
    def open(self, limits: StockSettings, forgetful: bool, opening: list[Any], asked: list[Any]) -> None:
        self.duet = Duet(limits, forgetful=forgetful)
        for receipt in opening:
            self.duet.receive(*receipt)
        for act in asked:
            self._do(act)
        self.duet.cut(1)

    @rule(act=acts)
    def one_thing(self, act: Any) -> None:
        self._do(act)
        self.duet.cut(1)

    @rule(together=st.lists(acts, min_size=2, max_size=4), cut=st.booleans())
    def several_things_in_a_batch(self, together: list[Any], cut: bool) -> None:
        for act in together:
            self._do(act)
        if cut:
            self.duet.cut(1)

    @rule(seconds=st.sampled_from([0, 1, 31, 43_200]))
    def time_passes(self, seconds: float) -> None:
        self.duet.cut(seconds)

    @precondition(lambda self: any(self._fitting("explain")))
    @rule(pick=picks)
    def why(self, pick: int) -> None:
        self.duet.cut(1)
        if one := self._one("explain", pick):
            compare_explanation(self.duet, *one)

    def teardown(self) -> None:
        self.duet.cut(1)

    # ---------------------------------------------------------------- what is done

    def _do(self, act: Any) -> None:
        kind, first, *more = act
        match kind:
            case "receive" | "adjust":
                getattr(self.duet, kind)(*first)
            case "line":
                self.duet.line(*first, *more[0])
            case "chain":
                self.duet.chain(first, *more)
            case "go_on":
                if self.duet.onward:
                    self.duet.stop(self.duet.onward.pop(first % len(self.duet.onward)))
            case "repeat":
                self.duet.repeat(first)
            case _:
                if one := self._one(kind, first):
                    self._do_to(kind, one, first, *more)

    def _do_to(self, kind: str, one: tuple[str, str], pick: int, given: Any = None) -> None:
        name, sku = one
        match kind:
            case "lose":
                record = self.duet.models[sku].stock.lines[name].units[-1]
                self.duet.adjust(sku, record.warehouse, record.bin, record.lot, -1 - pick % record.on_hand)
            case "supply":
                warehouse = self.duet.models[sku].stock.lines[name].warehouses[0]
                self.duet.receive(sku, warehouse, "B1", None, None, 1 + pick % 12)
            case "edit":
                self.duet.line(name, sku, *given)
            case "reduce":
                self.duet.reduce(name, sku, *given)
            case "return_baton":
                self.duet.return_baton(name, sku, given[0], newer=given[1])
            case _:
                getattr(self.duet, kind)(name, sku, late=given)

    def _one(self, kind: str, pick: int) -> tuple[str, str] | None:
        found = list(self._fitting(kind))
        return found[pick % len(found)] if found else None

    def _fitting(self, kind: str) -> Iterator[tuple[str, str]]:
        for sku, model in self.duet.models.items():
            yield from ((name, sku) for name, line in model.stock.lines.items() if FITS[kind](model, line))


TestStockAgainstModel: Any = StockAgainstModel.TestCase
TestStockAgainstModel.settings = effort(60, stateful_step_count=25)
