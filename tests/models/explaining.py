"""Why a line lacks units, and what would help: every action is tried on a copy of the stock."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any, NamedTuple

from tests.models.records import Line
from tests.models.stock import Stock


class Action(NamedTuple):
    """`receive` so many units into the warehouse `what`; `release` all that the demand `what` has and waits for; `allow_warehouse`: let
    the line draw on `what`, too."""

    kind: str
    what: str
    units: int = 0


def shortage(stock: Stock, line: Line, without_claim: Sequence[str] = ()) -> dict[str, Any] | None:
    """Why the line lacks units: sums over the warehouses that it draws on. None where nothing is missing, or about to be."""
    free = stock.free_by_warehouse()
    left = stock.left_for(line.place, without_claim) if line.waiting else free
    records = [record for record in stock.records if record.warehouse in line.warehouses]
    missing = (line.waiting or len(line.flagged)) - _within(left, line)
    if missing <= 0:
        return None
    return {
        "missing": missing,
        "on_hand": sum(record.on_hand for record in records),
        "expired": sum(record.on_hand for record in records if stock.ended(record)),
        "allocated": sum(one.units.count(record) for one in stock.lines.values() for record in records),
        "claimed": _within(free, line) - _within(left, line),
        "elsewhere": sum(left.values()) - _within(left, line),
        "holders": holders(stock, line),
    }


def holders(stock: Stock, line: Line) -> dict[str, int]:
    """How many units with stock behind them every other demand has where the line draws on."""
    units = {
        one.demand: sum(1 for unit in one.units if unit.warehouse in line.warehouses)
        for one in stock.lines.values()
        if one.demand != line.demand
    }
    return {demand: count for demand, count in units.items() if count}


def helps(stock: Stock, demand: str, actions: Sequence[Action], without_claim: Sequence[str] = ()) -> bool:
    """Whether the demand has all its units, with stock behind them, once these actions are taken at the same time; and nobody has lost
    any by it, as worse placed ones would where a line that is flagged comes to draw on what they have."""
    after = deepcopy(stock)
    line = after.lines[demand]
    for action in actions:
        if action.kind == "receive":
            after.receive(action.what, "a bin of its own", None, None, action.units, line.place[1])
        elif action.kind == "release":
            after.release(after.lines[action.what])
        else:
            line.warehouses = (*line.warehouses, action.what)
    after.settle()
    wanted = line.reserved + line.waiting
    has_all = (not line.waiting or after.ask(line, wanted, without_claim)) and not line.flagged
    return has_all and all(len(one.flagged) <= len(stock.lines[name].flagged) for name, one in after.lines.items())


def possible(stock: Stock, line: Line, without_claim: Sequence[str] = ()) -> list[Action]:
    """Every action that needs no new goods: others give back what they have and want, unless a picker has it in hand; the line draws on
    other warehouses, too, where units are left."""
    releases = [Action("release", one.demand) for one in stock.lines.values() if _may_give(one) and one is not line]
    left = stock.left_for(line.place, without_claim) if line.waiting else stock.free_by_warehouse()
    others = sorted(warehouse for warehouse, units in left.items() if units and warehouse not in line.warehouses)
    allows = [Action("allow_warehouse", warehouse) for warehouse in others]
    return releases + (allows if line.fill != "all_or_nothing" else [])


def fewer_would_do(stock: Stock, line: Line, fewer_than: int, without_claim: Sequence[str] = ()) -> tuple[Action, ...] | None:
    """A set of fewer actions than that which would help; None if there is none."""
    actions = possible(stock, line, without_claim)
    sets = (some for size in range(1, fewer_than) for some in combinations(actions, size))
    return next((some for some in sets if helps(stock, line.demand, some, without_claim)), None)


def _may_give(line: Line) -> bool:
    return not line.picking and bool(line.reserved or line.waiting)


def _within(units: dict[str, int], line: Line) -> int:
    return sum(units.get(warehouse, 0) for warehouse in line.warehouses)
