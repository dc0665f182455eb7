"""Why a line could not be reserved, and the smallest set of actions that would make it succeed. Pure; knows values only.

`succeeds` replays what a rise does (design, "The stock side"): flagged reservations are healed first, then better placed waiters that
fit take theirs, then the line. The search is over that replay, so an action is proposed only when it really helps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from shared.schemas.events import Remedy

MAX_EXACT_ACTIONS = 4
MAX_REMEDIES = 50
MAX_CANDIDATES = 12
"""Of more possible actions the largest are tried."""
ALL_SETS = 793
MAX_STEPS = 6_000
"""Waiters and flagged ones that may be walked past in trying sets of actions, so that a shortage costs a millisecond at most."""
MAX_RECEIPTS = 20
MAX_CLAIMS = 100
"""With more waiters ahead they are not looked at one by one: only bringing stock for all of them is proposed."""
_KINDEST = ("lift_hold", "allow_warehouse", "release")


@dataclass(frozen=True, slots=True)
class Claim:
    """Units that somebody gets before the line does, from these warehouses in order: to be healed, or waiting better placed.
    `partial`: takes what there is; else all or nothing."""

    demand: str
    warehouses: tuple[str, ...]
    units: int
    partial: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """What a demand holds, by warehouse. What is being picked cannot be asked back: a picker has it in hand."""

    demand: str
    units: Mapping[str, int]
    picking: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides whether a line succeeds.

    `free` by warehouse, before claims. `flagged` in backing order, `claims` in queue order. `holdings`: what can be given back. `held`:
    (record, warehouse, units). `may_move`: whether another warehouse could be allowed for this line alone. `crowd_units`: with more than
    MAX_CLAIMS ahead, how many units they are about to get in all; `flagged` and `claims` are empty then.
    """

    units: int
    warehouses: tuple[str, ...]
    free: Mapping[str, int]
    flagged: Sequence[Claim]
    claims: Sequence[Claim]
    holdings: Sequence[Holding]
    held: Sequence[tuple[int, str, int]]
    may_move: bool
    crowd_units: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """`exact`: no smaller set would do."""

    remedies: tuple[Remedy, ...]
    exact: bool


def advise(situation: Situation) -> Advice:
    """The smallest set of actions with what is there; where that cannot do it, what has to be received. Cost is bounded."""
    if situation.crowd_units is None:
        candidates = _candidates(situation)
        found = _smallest(situation, candidates) or _greedy(situation, candidates)
        if found:
            all_tried = len(candidates) <= MAX_CANDIDATES and _tries(situation) >= ALL_SETS
            return Advice(found, len(found) <= MAX_EXACT_ACTIONS and (all_tried or _only_sums_count(situation)))
    return Advice((_receipt(situation),), exact=situation.crowd_units is None)


def left_over(situation: Situation, actions: Iterable[Remedy] = ()) -> dict[str, int]:
    """Free units by warehouse after these actions, healing, and the better placed waiters."""
    free = dict(situation.free)
    gone = {action.demand for action in actions if action.action == "release"}
    for action in actions:
        _apply(situation, action, free)
    for flagged in situation.flagged:
        if flagged.demand not in gone:
            _take(free, flagged.warehouses, flagged.units)
    for claim in situation.claims:
        if claim.demand not in gone and (claim.partial or _sum(free, claim.warehouses) >= claim.units):
            _take(free, claim.warehouses, claim.units)
    return free


def succeeds(situation: Situation, actions: Sequence[Remedy]) -> bool:
    """Whether the line gets all its units after these actions."""
    allowed = [action.warehouse or "" for action in actions if action.action == "allow_warehouse"]
    return _sum(left_over(situation, actions), (*situation.warehouses, *allowed)) >= situation.units


def _apply(situation: Situation, action: Remedy, free: dict[str, int]) -> None:
    if action.action in ("receive", "lift_hold"):
        assert action.warehouse is not None, "stock rises in a warehouse"
        free[action.warehouse] = free.get(action.warehouse, 0) + action.units
    elif action.action == "release":
        for holding in situation.holdings:
            if holding.demand == action.demand:
                for warehouse, units in holding.units.items():
                    free[warehouse] = free.get(warehouse, 0) + units


def _candidates(situation: Situation) -> list[Remedy]:
    """Actions that could help, the largest first."""
    lifts = [Remedy(action="lift_hold", units=units, warehouse=warehouse, record=record) for record, warehouse, units in situation.held]
    other = left_over(situation) if situation.may_move else {}
    allows = [
        Remedy(action="allow_warehouse", units=units, warehouse=warehouse)
        for warehouse, units in sorted(other.items())
        if units and warehouse not in situation.warehouses
    ]
    reach = (*situation.warehouses, *[action.warehouse or "" for action in allows])
    return sorted([*lifts, *allows, *_releases(situation, reach)], key=lambda action: -action.units)


def _releases(situation: Situation, reach: tuple[str, ...]) -> list[Remedy]:
    """Every demand that holds or claims units: what it holds within reach and what it would take before the line."""
    gains = {holding.demand: 0 for holding in situation.holdings}
    for holding in situation.holdings:
        gains[holding.demand] += _sum(holding.units, reach)
    for flagged in situation.flagged:
        if flagged.demand in gains:
            gains[flagged.demand] += flagged.units
    for claim in situation.claims:
        gains[claim.demand] = gains.get(claim.demand, 0) + claim.units
    return [Remedy(action="release", units=gain, demand=demand) for demand, gain in gains.items() if gain]


def _smallest(situation: Situation, candidates: list[Remedy]) -> tuple[Remedy, ...] | None:
    tried = candidates[:MAX_CANDIDATES]
    if _more_helps(situation) and not succeeds(situation, tried):
        return None
    kindest = sorted(tried, key=lambda action: (_KINDEST.index(action.action), action.units))
    for action in kindest:
        if succeeds(situation, (action,)):
            return (action,)
    missing = situation.units - _sum(left_over(situation), situation.warehouses)
    sizes = [size for size in range(2, min(MAX_EXACT_ACTIONS, len(tried)) + 1) if sum(one.units for one in tried[:size]) >= missing]
    sets = (actions for size in sizes for actions in combinations(tried, size))
    return next((actions for actions in islice(sets, _tries(situation)) if succeeds(situation, actions)), None)


def _tries(situation: Situation) -> int:
    """How many sets of actions are tried: all sets of up to four out of twelve, unless many stand ahead, whom each try walks past."""
    return max(MAX_STEPS // (1 + len(situation.claims) + len(situation.flagged)), 20)


def _greedy(situation: Situation, candidates: list[Remedy]) -> tuple[Remedy, ...] | None:
    """The largest first until it does, then whatever turns out to be needless is left out again."""
    tried = candidates[:MAX_REMEDIES]
    if _more_helps(situation) and not succeeds(situation, tried):
        return None
    for size in range(MAX_EXACT_ACTIONS + 1, len(tried) + 1):
        if succeeds(situation, tried[:size]):
            return tuple(_without_needless(situation, tried[:size]))
    return None


def _without_needless(situation: Situation, chosen: list[Remedy]) -> list[Remedy]:
    for action in reversed(chosen):
        fewer = [one for one in chosen if one is not action]
        if succeeds(situation, fewer):
            return _without_needless(situation, fewer)
    return chosen


def _more_helps(situation: Situation) -> bool:
    """Whether more actions never hurt: not so where more stock lets a better placed one that needs its whole quantity fit."""
    return all(claim.partial for claim in situation.claims)


def _only_sums_count(situation: Situation) -> bool:
    """Everybody takes what there is from the same one warehouse: then the largest actions make the smallest set."""
    others = (*situation.flagged, *situation.claims)
    return (
        len(situation.warehouses) == 1
        and not situation.may_move
        and all(one.partial and one.warehouses == situation.warehouses for one in others)
    )


def _receipt(situation: Situation) -> Remedy:
    """What has to be received into the line's first warehouse: enough also for everybody whom the receipt would serve before it."""
    warehouse = situation.warehouses[0]
    if situation.crowd_units is not None:
        return _received(warehouse, situation.units + situation.crowd_units)
    if _more_helps(situation):
        return _received(warehouse, _least_receipt(situation, warehouse))
    units = situation.units - _sum(left_over(situation), situation.warehouses)
    for _ in range(MAX_RECEIPTS):
        missing = situation.units - _sum(left_over(situation, [_received(warehouse, units)]), situation.warehouses)
        if missing <= 0:
            return _received(warehouse, units)
        units += missing
    return _received(warehouse, _everything(situation))


def _least_receipt(situation: Situation, warehouse: str) -> int:
    """By halving, because more never hurts."""
    too_few, enough = 0, _everything(situation)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if succeeds(situation, [_received(warehouse, middle)]):
            enough = middle
        else:
            too_few = middle
    return enough


def _everything(situation: Situation) -> int:
    """Enough for the line and for everybody ahead."""
    return situation.units + sum(one.units for one in (*situation.flagged, *situation.claims))


def _received(warehouse: str, units: int) -> Remedy:
    return Remedy(action="receive", units=units, warehouse=warehouse)


def _take(free: dict[str, int], warehouses: Iterable[str], units: int) -> None:
    for warehouse in warehouses:
        part = min(free.get(warehouse, 0), units)
        if part:
            free[warehouse] -= part
            units -= part


def _sum(units: Mapping[str, int], warehouses: Iterable[str]) -> int:
    return sum([units.get(warehouse, 0) for warehouse in warehouses])
