"""Both sides of the allocator against the naive model: whatever orders and goods come, at rest a reader sees what the model says."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.events import Demand
from shared.schemas.values import AdjustmentReason, Fill, Line, Wish
from tests.models.demands import Demand as Known
from tests.models.demands import Demands, Terms
from tests.support.effort import effort
from tests.unit.allocator.allocator_duet import AllocatorDuet, Said
from tests.unit.allocator.allocator_in_memory import Shape, order_of
from tests.unit.allocator.stock_partition import START
from tests.unit.allocator.stock_script import MERCHANT, demand

SKUS, NAMES = ("A", "B", "C"), ("d1", "d2", "d3", "d4", "d5")
SHAPES = [Shape(), Shape(1, 1), Shape(3, 2, forgetful=True), Shape(2, 3, serve_limit=1, window_limit=1), Shape(8, 8, window_limit=2)]
FITS: dict[str, Callable[[Known], bool]] = {
    "edit": lambda known: not known.over and known.picking == "none",
    "cancel": lambda known: not known.over,
    "deallocate": lambda known: known.asks and not known.over,
    "allocate": lambda known: not known.asks and not known.over,
    "pick": lambda known: known.asks and not known.over and known.picking != "confirmed",
    "unpick": lambda known: known.picking != "none" and not known.over,
    "ship": lambda known: known.picking == "confirmed" and not known.over,
}
WISHES = {
    "cancel": Wish.CLOSED, "deallocate": Wish.NOTHING, "allocate": Wish.STOCK, "pick": Wish.PICKING, "unpick": Wish.STOCK,
    "ship": Wish.CONSUMPTION,
}  # fmt: skip
picks, units = st.integers(0, 999), st.integers(1, 5)
turns = st.lists(st.integers(0, 99), max_size=25)
terms = st.fixed_dictionaries(
    {
        "units": st.dictionaries(st.sampled_from(SKUS), units, min_size=1, max_size=3),
        "fill": st.sampled_from(["partial", "partial", "whole_lines", "all_or_nothing", "all_or_nothing"]),
        "warehouses": st.sampled_from([("W",), ("W",), ("V",), ("W", "V"), ("V", "W")]),
        "priority": st.integers(0, 1),
    }
)
acts = st.one_of(
    st.tuples(st.just("place"), picks, terms),
    st.tuples(st.just("place"), picks, terms),
    st.tuples(st.just("edit"), picks, terms),
    st.tuples(st.just("units"), picks, st.integers(-2, 2)),
    st.tuples(st.sampled_from(sorted(WISHES)), picks, st.none()),
    st.tuples(st.sampled_from(["pick", "ship"]), picks, st.none()),
    st.tuples(st.just("pick"), picks, st.none()),
    st.tuples(st.just("supply"), picks, st.integers(1, 9)),
    st.tuples(st.just("supply"), picks, st.integers(1, 9)),
    st.tuples(st.just("receive"), picks, st.tuples(st.sampled_from(SKUS), st.sampled_from("WWV"), units)),
    st.tuples(st.just("adjust"), picks, st.tuples(st.sampled_from(SKUS), st.sampled_from("WWV"), st.integers(-5, 2))),
)


class AllocatorAgainstModel(RuleBasedStateMachine):
    """Everything that anybody has said is kept, to be said again."""

    @initialize(
        shape=st.sampled_from(SHAPES),
        opening=st.lists(st.integers(0, 6), min_size=6, max_size=6),
        asked=st.lists(terms, min_size=1, max_size=4),
    )
    def open(self, shape: Shape, opening: list[int], asked: list[Any]) -> None:
        self.duet = AllocatorDuet(shape)
        self.orders: dict[str, Demand] = {}
        self.said: list[Said] = []
        places = [(sku, warehouse) for sku in SKUS for warehouse in "WV"]
        for (sku, warehouse), count in zip(places, opening, strict=True):
            if count:
                self.duet.say([self._receive((sku, warehouse, count))], ())
        for given in asked:
            self.duet.say([self._place(given)], ())

    @rule(act=acts, turns=turns)
    def one_thing(self, act: Any, turns: list[int]) -> None:
        self.duet.say(self._said(act), turns)

    @rule(act=acts, other=acts, turns=turns)
    def two_at_once(self, act: Any, other: Any, turns: list[int]) -> None:
        self.duet.say([*self._said(act), *self._said(other)], turns)

    @precondition(lambda self: self.said)
    @rule(pick=picks, turns=turns)
    def something_once_more(self, pick: int, turns: list[int]) -> None:
        self.duet.say([self.said[pick % len(self.said)]], turns)

    # ---------------------------------------------------------------- what is said

    def _said(self, act: Any) -> list[Said]:
        kind, pick, given = act
        if kind == "place" and len(self.orders) < len(NAMES):
            return [self._place(given)]
        if kind in ("receive", "adjust"):
            return [self._receive(given) if kind == "receive" else self._adjust(given)]
        if kind == "supply":
            wanted = self._wanted()
            return [self._receive((*wanted[pick % len(wanted)], given))] if wanted else []
        known = self.duet.model.demands
        found = [name for name in self.orders if name in known and FITS.get(kind, FITS["edit"])(known[name])]
        if not found:
            return []
        order = self.orders[found[pick % len(found)]]
        if kind in WISHES:
            return [self._change(order, wish=WISHES[kind])]
        return [self._change(order, **(_less_or_more(order, pick, given) if kind == "units" else _of_its_kind(order, given)))]

    def _wanted(self) -> list[tuple[str, str]]:
        """(SKU, warehouse) where somebody waits."""
        return [(sku, one.warehouses[0]) for sku, stock in self.duet.model.skus.items() for one in stock.queue()]

    def _place(self, given: Any) -> Said:
        name = NAMES[len(self.orders)]
        demanded_at = START + timedelta(seconds=NAMES.index(name))
        new = Demand(id=demand(name), merchant=MERCHANT, version=0, wish=Wish.STOCK, demanded_at=demanded_at, **_as_demanded(given))
        return self._change(new)

    def _change(self, order: Demand, **changes: Any) -> Said:
        changed = order.but(version=order.version + 1, **changes)
        name = changed.id.rpartition("/")[2]
        self.orders[name] = changed
        asked = Terms(
            tuple((line.sku, line.units) for line in changed.lines), changed.fill or "partial", changed.warehouses, changed.priority,
            changed.demanded_at,
        )  # fmt: skip
        said = name, changed.version, changed.wish.value, asked
        return self._keep(order_of(changed, self.duet.product.now), lambda model: model.want(*said))

    def _receive(self, given: Any) -> Said:
        (sku, warehouse, units), command, now = given, f"c{len(self.said)}", self.duet.product.now
        place: dict[str, Any] = {"merchant": MERCHANT, "sku": sku, "warehouse": warehouse, "bin": "B1", "issued_at": now}
        message = ReceiveStock(command_id=command, units=units, **place)
        return self._keep(message, lambda model: model.receive(command, sku, warehouse, "B1", units, now))

    def _adjust(self, given: Any) -> Said:
        (sku, warehouse, change), command = given, f"c{len(self.said)}"
        place: dict[str, Any] = {"merchant": MERCHANT, "sku": sku, "warehouse": warehouse, "bin": "B1", "issued_at": self.duet.product.now}
        message = AdjustStock(command_id=command, change=change, reason=AdjustmentReason.CORRECTION, **place)
        return self._keep(message, lambda model: model.adjust(command, sku, warehouse, "B1", change))

    def _keep(self, message: Any, does: Callable[[Demands], None]) -> Said:
        self.said.append(Said(message, does))
        return self.said[-1]


def _as_demanded(given: Any) -> dict[str, Any]:
    lines = tuple(Line(sku=sku, units=units) for sku, units in given["units"].items())
    return {"lines": lines, "fill": Fill(given["fill"]), "warehouses": given["warehouses"], "priority": given["priority"]}


def _of_its_kind(order: Demand, given: Any) -> dict[str, Any]:
    """An edit that leaves all or nothing as it is, and its warehouse: where that changes, a demand begins anew, and others come between."""
    if order.fill is Fill.ALL_OR_NOTHING:
        given = given | {"fill": order.fill, "warehouses": order.warehouses}
    return _as_demanded(
        given | ({"fill": "partial"} if given["fill"] == "all_or_nothing" and order.fill is not Fill.ALL_OR_NOTHING else {})
    )


def _less_or_more(order: Demand, pick: int, change: int) -> dict[str, Any]:
    lines: Sequence[Line] = order.lines
    at = pick % len(lines)
    return {"lines": tuple(line.but(units=max(1, line.units + change)) if line is lines[at] else line for line in lines)}


TestAllocatorAgainstModel: Any = AllocatorAgainstModel.TestCase
TestAllocatorAgainstModel.settings = effort(40, stateful_step_count=20)
