"""A line that lacks units, and what would come of actions that others might take for it. Pure; knows values only.

The replay is what a rise does (design, "The stock side"): flagged reservations are healed first, then better placed waiters that fit take
theirs, then the line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.schemas.events import Remedy


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

    `free` by warehouse, before claims. `flagged` in backing order, `claims` in queue order. `holdings`: what can be given back, one a
    demand. `held`: (record, warehouse, units). `may_move`: whether another warehouse could be allowed for this line alone. `crowd_units`:
    where too many stand ahead to look at each, how many units they are about to get in all; `flagged` and `claims` are empty then.
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

    @property
    def ahead(self) -> tuple[Claim, ...]:
        """Everybody who is served before the line, in order."""
        return (*self.flagged, *self.claims)


class Replay:
    """What would come of actions in one situation, time and again.

    Most sets of actions fail by their sums alone, and are not replayed. Take the claims that can draw on every warehouse of the line, but
    those of all or nothing that want more than the line: while one of them is not served, nothing is left for the line. So where the line
    succeeds, these are served with it, all from the warehouses that they and the line name.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._ahead = situation.ahead
        self._given = {holding.demand: holding.units for holding in situation.holdings}
        served = [one for one in self._ahead if _is_served_with(situation, one)]
        self._within = {*situation.warehouses}.union(*[one.warehouses for one in served])
        self._gains = {demand: sum_of(units, self._within) for demand, units in self._given.items()}
        for claim in served:
            self._gains[claim.demand] = self._gains.get(claim.demand, 0) + claim.units
        self.needed = situation.units + sum([claim.units for claim in served]) - sum_of(situation.free, self._within)
        """Units that actions must gain at least."""
        self.steps = 0
        """Claims walked past so far."""

    def gain(self, action: Remedy) -> int:
        """At most so many of the needed units come of it. Of another warehouse nothing is known beforehand: it may do by itself."""
        if action.demand is not None:
            return self._gains.get(action.demand, 0)
        if action.action == "allow_warehouse":
            return max(self.needed, 0)
        return action.units if action.warehouse in self._within else 0

    def succeeds(self, actions: Sequence[Remedy]) -> bool:
        """Whether the line gets all its units after these actions."""
        if sum([self.gain(action) for action in actions]) < self.needed:
            return False
        allowed = [action.warehouse or "" for action in actions if action.action == "allow_warehouse"]
        return sum_of(self.left_over(actions), (*self._situation.warehouses, *allowed)) >= self._situation.units

    def left_over(self, actions: Iterable[Remedy] = ()) -> dict[str, int]:
        """Free units by warehouse after these actions, healing, and the better placed waiters."""
        free, gone = dict(self._situation.free), set()
        for action in actions:
            if action.demand is not None:
                gone.add(action.demand)
                for warehouse, units in self._given.get(action.demand, {}).items():
                    free[warehouse] = free.get(warehouse, 0) + units
            elif action.action != "allow_warehouse":
                assert action.warehouse is not None, "stock rises in a warehouse"
                free[action.warehouse] = free.get(action.warehouse, 0) + action.units
        self.steps += 1 + len(self._ahead)
        for claim in self._ahead:
            if claim.demand not in gone and (claim.partial or sum_of(free, claim.warehouses) >= claim.units):
                _take(free, claim.warehouses, claim.units)
        return free


def sum_of(units: Mapping[str, int], warehouses: Iterable[str]) -> int:
    """Units in these warehouses."""
    return sum([units.get(warehouse, 0) for warehouse in warehouses])


def _is_served_with(situation: Situation, claim: Claim) -> bool:
    return (claim.partial or claim.units <= situation.units) and all(warehouse in claim.warehouses for warehouse in situation.warehouses)


def _take(free: dict[str, int], warehouses: Iterable[str], units: int) -> None:
    for warehouse in warehouses:
        part = min(free.get(warehouse, 0), units)
        if part:
            free[warehouse] -= part
            units -= part
