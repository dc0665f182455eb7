"""The allocator in memory and the naive model, told the same, and compared at rest by what a reader of the public topics sees.

Where several things are said at once, in batches and turns as they may fall, any result of telling the model one after the other will do.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import permutations, product
from typing import Any, NamedTuple

from shared.schemas.events import AllocationChanged
from tests.models.demands import Demands
from tests.models.stock import Stock
from tests.unit.allocator.allocator_in_memory import AllocatorInMemory, Shape
from tests.unit.allocator.stock_partition import START

View = dict[str, Any]


class Said(NamedTuple):
    """Something said to both."""

    message: Any
    does: Callable[[Demands], None]


class AllocatorDuet:
    """`model`: of all that may be, the one that the product turned out to be like. `over`: only where units lie is not as in any: what
    an attempt held on its way that came to nothing, another had to pass by. Nothing can be compared from then on."""

    def __init__(self, shape: Shape) -> None:
        self.product, self.model = AllocatorInMemory(shape), Demands(START.date())
        self.over = False

    def say(self, said: Sequence[Said], picks: Sequence[int]) -> None:
        """Say all of it at once, and wait for rest. Fails with what is seen and what might be."""
        if self.over:
            return
        self.product.say(*[one.message for one in said])
        self.product.settle(picks)
        seen, possible = seen_of(self.product), []
        for model in afterwards(self.model, said):
            if view_of(model) == seen:
                self.model = model
                return
            possible.append(view_of(model))
        self.over = len(said) > 1 and roughly(seen) in map(roughly, possible)
        assert self.over, f"\n  product {seen}" + "".join(f"\n  model   {one}" for one in _each_once(possible))


def afterwards(model: Demands, said: Sequence[Said]) -> Iterator[Demands]:
    """What may come of it: one after the other in any order, SKU by SKU in any order; and after each, whoever waits is served, or only
    lines are while who takes all or nothing is on the way, or nobody, as in one batch."""
    every_sku = sorted({*model.skus, *(sku for one in said for sku in _skus(one.message))})
    for in_turn, skus, served in product(permutations(said), permutations(every_sku), ("all", "lines", "nobody")):
        after = deepcopy(model)
        for one in in_turn:
            one.does(after)
            if served != "nobody":
                after.serve(skus, woken=served == "all")
        after.serve(skus)
        yield after


def _skus(message: Any) -> list[str]:
    return [line.sku for line in message.demand.lines] if hasattr(message, "demand") else [message.sku]


def _each_once(views: Sequence[View]) -> list[View]:
    return [view for at, view in enumerate(views) if view not in views[:at]]


# ---------------------------------------------------------------- what is seen


def seen_of(allocator: AllocatorInMemory) -> View:
    """As a reader sees the product."""
    orders = {name: _told(told) for name, told in allocator.allocations().items()}
    return {"orders": orders, "levels": allocator.levels(), "answers": allocator.answers()}


def _told(told: AllocationChanged) -> Any:
    lines = {
        line.sku: (
            line.reserved_units,
            line.flagged_units,
            line.waiting_units,
            line.consumed_units,
            {piece.warehouse: piece.units for piece in line.pieces},
        )
        for line in told.lines
    }
    picking = "none" if told.outcome == "consumed" else told.picking
    return told.demand_version, told.outcome, picking, told.refusal is not None, lines


def view_of(model: Demands) -> View:
    """As a reader would see the model."""
    orders = {}
    for name, demand in model.demands.items():
        lines = {}
        for sku, _ in demand.terms.units:
            line = model.line(demand, sku)
            pieces = {unit.warehouse: sum(1 for one in line.units if one.warehouse == unit.warehouse) for unit in line.units}
            lines[sku] = (line.reserved, len(line.flagged), line.waiting, line.consumed, pieces)
        answer = model.answer(demand)
        orders[name] = (demand.version, answer, "none" if answer == "consumed" else demand.picking, demand.refused, lines)
    levels = {sku: found for sku, stock in model.skus.items() if (found := levels_of(stock))}
    return {"orders": orders, "levels": levels, "answers": model.answers}


def roughly(view: View) -> View:
    """The same whichever warehouse the units come from."""
    orders = {name: (*said, {sku: figures for sku, (*figures, _) in lines.items()}) for name, (*said, lines) in view["orders"].items()}
    levels = {sku: [sum(one) for one in zip(*levels.values(), strict=True)] for sku, levels in view["levels"].items()}
    return {"orders": orders, "levels": levels, "answers": view["answers"]}


def levels_of(stock: Stock) -> dict[str, tuple[int, int, int]]:
    """On hand, allocated, available by warehouse: available record by record, none netted against another (R18)."""
    levels: dict[str, tuple[int, int, int]] = {}
    for record in stock.records:
        backed = sum(line.units.count(record) for line in stock.lines.values())
        flagged = sum(line.flagged.count(record) for line in stock.lines.values())
        on_hand, allocated, available = levels.get(record.warehouse, (0, 0, 0))
        more = max(0, stock.free(record) - flagged)
        levels[record.warehouse] = (on_hand + record.on_hand, allocated + backed + flagged, available + more)
    return levels
