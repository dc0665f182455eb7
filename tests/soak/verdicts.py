"""What a series of samples says: flat, falling, kept by decision, or growing. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Points = Sequence[tuple[float, float]]
Kind = Literal["flat", "kept", "shown"]
Word = Literal["flat", "falls", "kept", "shown", "grows"]
HOUR_SECONDS = 3_600.0
MOST_POINTS = 120
"""Slopes are looked at between all pairs: more points than this stand together, as their medians."""
SHARE = 0.10
NOISES = 2.0
ACCELERATION = 1.3


@dataclass(frozen=True, slots=True)
class Rule:
    """What a series may do. `floor`: a change in its own unit that means nothing. `flat`: not grow with time. `kept`: grow with the
    orders, by as much for the last as for the first. `shown`: anything."""

    kind: Kind
    floor: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Medians of the first and the last third; `rate`: per hour, or for each order where it is kept."""

    name: str
    word: Word
    first: float
    last: float
    rate: float
    unit: str

    @property
    def is_fault(self) -> bool:
        return self.word == "grows"


def slope(points: Points) -> float:
    """The median of the slopes between all pairs (Theil and Sen): a third of the points may be anything and it says the same."""
    found = [(y - v) / (x - u) for (u, v), (x, y) in itertools.combinations(thinned(points), 2) if x != u]
    return median(found) if found else 0.0


def thinned(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most so many points, each the median of its neighbours."""
    size = -(-len(points) // most) or 1
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(median(x for x, _ in group), median(y for _, y in group)) for group in groups]


def judge(name: str, points: Points, rule: Rule, orders: Points = ()) -> Verdict:
    """`points`: (seconds, value), the warm-up left out. `orders`: how many there were at the same seconds."""
    if len(points) < 3:
        return Verdict(name, "shown", 0.0, 0.0, 0.0, rule.unit)
    third = len(points) // 3
    first, last = (median(y for _, y in part) for part in (points[:third], points[-third:]))
    if rule.kind == "kept":
        word, rate = _kept(points, orders, rule)
        return Verdict(name, word, first, last, rate, rule.unit + " an order")
    rate = slope(points)
    word = "shown" if rule.kind == "shown" else _trend(points, rate, rule, first, last)
    return Verdict(name, word, first, last, rate * HOUR_SECONDS, rule.unit + " an hour")


def _trend(points: Points, rate: float, rule: Rule, first: float, last: float) -> Word:
    """The whole change has to stand out: from the floor, from a tenth of the level, and from what the samples differ anyway. A saw with
    few teeth rises nearly all the time, and is no higher at its end."""
    change = rate * (points[-1][0] - points[0][0])
    level = median(y for _, y in points)
    began = points[0][0]
    noise = median(abs(y - level - rate * (x - began - (points[-1][0] - began) / 2)) for x, y in points)
    if abs(change) <= max(rule.floor, SHARE * abs(level), NOISES * noise):
        return "flat"
    if change < 0:
        return "falls"
    return "grows" if last > first else "flat"


def _kept(points: Points, orders: Points, rule: Rule) -> tuple[Word, float]:
    """Growth for each order, of the last half of them beside that of the first."""
    made = dict(orders)
    over = [(made[x], y) for x, y in points if x in made]
    if len(over) < 2:
        return "shown", 0.0
    middle = (over[0][0] + over[-1][0]) / 2
    before, after = slope([one for one in over if one[0] <= middle]), slope([one for one in over if one[0] > middle])
    more = (after - before) * (over[-1][0] - middle)
    return "grows" if after > ACCELERATION * before and more > rule.floor else "kept", slope(over)
