"""Why a line could not be reserved, and the smallest set of actions that would make it succeed. Pure; knows values only.

The search is over a replay of what a rise really does (`core.shortage`), so an action is proposed only when it really helps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.allocator.core.shortage import Replay, Situation, sum_of
from shared.schemas.events import Remedy

MAX_EXACT_ACTIONS = 4
MAX_REMEDIES = 50
MAX_CANDIDATES = 12
"""Of more possible actions the largest are tried."""
MAX_STEPS = 1_000
"""Waiters and flagged ones that may be walked past in each of the two searches, so that a shortage costs a few milliseconds at most.
Where a third of the lines found too little, explaining them was half of an allocator's work while six times as many were walked past and
sums excluded none."""
MAX_RECEIPTS = 20
MAX_CLAIMS = 100
"""With more waiters ahead they are not looked at one by one: only bringing stock for all of them is proposed."""
_KINDEST = ("lift_hold", "allow_warehouse", "release")


@dataclass(frozen=True, slots=True)
class Advice:
    """`exact`: no smaller set would do."""

    remedies: tuple[Remedy, ...]
    exact: bool


def advise(situation: Situation) -> Advice:
    """The smallest set of actions with what is there; where that cannot do it, what has to be received. Cost is bounded."""
    if situation.crowd_units is not None:
        return Advice((_received(situation, situation.units + situation.crowd_units),), exact=False)
    search = _Search(situation)
    if search.is_hopeless:
        return Advice((search.receipt(),), exact=True)
    found = search.smallest()
    exact = search.tried_all or (bool(found) and _only_sums_count(situation))
    found = found or search.greedy()
    if found:
        return Advice(found, exact and len(found) <= MAX_EXACT_ACTIONS)
    return Advice((search.receipt(),), exact)


class _Search:
    """For actions with what is there, and for what has to be received without them."""

    def __init__(self, situation: Situation) -> None:
        self._situation, self._replay = situation, Replay(situation)
        self._candidates = _candidates(situation, self._replay)
        self._more_helps = all(claim.partial for claim in situation.claims)
        """More actions never hurt: not so where more stock lets a better placed one that needs its whole quantity fit."""
        nothing_does = self._more_helps and not self._replay.succeeds(self._candidates)
        self.is_hopeless = nothing_does or not self._candidates
        """Not even all of them together would do."""

    @property
    def tried_all(self) -> bool:
        """Whether no candidate was left out so far for the sake of what it costs."""
        return len(self._candidates) <= MAX_CANDIDATES and self._replay.steps < MAX_STEPS

    def smallest(self) -> tuple[Remedy, ...] | None:
        """At most MAX_EXACT_ACTIONS of the largest candidates: the kindest one that does by itself, else the fewest."""
        self._replay.steps = 0
        tried = self._candidates[:MAX_CANDIDATES]
        kindest = sorted(tried, key=lambda action: (_KINDEST.index(action.action), action.units))
        largest = sorted(tried, key=self._replay.gain, reverse=True)
        gains = [self._replay.gain(action) for action in largest]
        sizes = range(2, min(MAX_EXACT_ACTIONS, len(tried)) + 1)
        several = (tuple([largest[at] for at in places]) for size in sizes for places in _places(gains, size, self._replay.needed))
        return self._first((action,) for action in kindest) or self._first(several)

    def greedy(self) -> tuple[Remedy, ...] | None:
        """The largest first until it does, then whatever turns out to be needless is left out again."""
        self._replay.steps = 0
        tried = self._candidates[:MAX_REMEDIES]
        chosen = self._first(tuple(tried[:size]) for size in range(MAX_EXACT_ACTIONS + 1, len(tried) + 1))
        while chosen and (fewer := self._first(_without_one(chosen))):
            chosen = fewer
        return chosen if self._replay.steps < MAX_STEPS else None

    def receipt(self) -> Remedy:
        """Into the line's first warehouse: enough also for everybody whom the receipt would serve before it."""
        situation = self._situation
        if self._more_helps:
            return _received(situation, self._least_receipt())
        units = situation.units - sum_of(self._replay.left_over(), situation.warehouses)
        for _ in range(MAX_RECEIPTS):
            missing = situation.units - sum_of(self._replay.left_over([_received(situation, units)]), situation.warehouses)
            if missing <= 0:
                return _received(situation, units)
            units += missing
        return _received(situation, _everything(situation))

    def _least_receipt(self) -> int:
        """By halving, because more never hurts."""
        too_few, enough = 0, _everything(self._situation)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self._replay.succeeds([_received(self._situation, middle)]):
                enough = middle
            else:
                too_few = middle
        return enough

    def _first(self, sets: Iterator[tuple[Remedy, ...]]) -> tuple[Remedy, ...] | None:
        for actions in sets:
            if self._replay.steps >= MAX_STEPS:
                return None
            if self._replay.succeeds(actions):
                return actions
        return None


def _without_one(chosen: tuple[Remedy, ...]) -> Iterator[tuple[Remedy, ...]]:
    """Without the smallest first."""
    return (chosen[:at] + chosen[at + 1 :] for at in reversed(range(len(chosen))))


def _places(gains: Sequence[int], size: int, needed: int, start: int = 0) -> Iterator[tuple[int, ...]]:
    """Places of so many gains, sorted from the largest, that together reach what is needed."""
    for first in range(start, len(gains) - size + 1):
        if sum(gains[first : first + size]) < needed:
            return  # nor do any that begin later
        if size == 1:
            yield (first,)
        else:
            for others in _places(gains, size - 1, needed - gains[first], first + 1):
                yield (first, *others)


def _candidates(situation: Situation, replay: Replay) -> list[Remedy]:
    """Actions that could help, the largest first."""
    lifts = [Remedy(action="lift_hold", units=units, warehouse=warehouse, record=record) for record, warehouse, units in situation.held]
    other = replay.left_over() if situation.may_move else {}
    allows = [
        Remedy(action="allow_warehouse", units=units, warehouse=warehouse)
        for warehouse, units in sorted(other.items())
        if units and warehouse not in situation.warehouses
    ]
    reach = (*situation.warehouses, *[action.warehouse or "" for action in allows])
    return sorted([*lifts, *allows, *_releases(situation, reach)], key=lambda action: -action.units)


def _releases(situation: Situation, reach: tuple[str, ...]) -> list[Remedy]:
    """Every demand that holds or claims units: what it holds within reach and what it would take before the line."""
    gains = {holding.demand: sum_of(holding.units, reach) for holding in situation.holdings}
    for flagged in situation.flagged:
        if flagged.demand in gains:
            gains[flagged.demand] += flagged.units
    for claim in situation.claims:
        gains[claim.demand] = gains.get(claim.demand, 0) + claim.units
    return [Remedy(action="release", units=gain, demand=demand) for demand, gain in gains.items() if gain]


def _only_sums_count(situation: Situation) -> bool:
    """All that is there is in the line's one warehouse, and everybody takes from it what there is: then the largest actions make the
    smallest set."""
    stocked = [situation.free, *[holding.units for holding in situation.holdings]]
    return (
        len(situation.warehouses) == 1
        and all(one.partial and one.warehouses == situation.warehouses for one in situation.ahead)
        and not any(units for stock in stocked for warehouse, units in stock.items() if warehouse not in situation.warehouses)
    )


def _everything(situation: Situation) -> int:
    """Enough for the line and for everybody ahead."""
    return situation.units + sum(one.units for one in situation.ahead)


def _received(situation: Situation, units: int) -> Remedy:
    return Remedy(action="receive", units=units, warehouse=situation.warehouses[0])
