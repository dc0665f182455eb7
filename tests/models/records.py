"""The values of the naive stock: records, lines, and what needs nothing else to be said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

PARTIAL, WHOLE, ALL_OR_NOTHING = "partial", "whole_lines", "all_or_nothing"
NEVER = date.max
Place = tuple[int, datetime, str]
"""Of a line in the queue: (priority, demand time, demand id); smaller is served first."""


@dataclass(eq=False)
class Record:
    """Units of the SKU in one bin, of one lot. A lot ends when the day `ends_on` is over."""

    warehouse: str
    bin: str
    lot: str | None
    arrived_at: datetime
    ends_on: date | None
    on_hand: int = 0


@dataclass(eq=False)
class Line:
    """What one demand has of the SKU and wants of it.

    `units`: the record of each unit that it has. `flagged`: of each unit that has no stock behind it any more, the record from which it
    fell. `waiting`: how many it still waits for.
    """

    demand: str
    place: Place
    warehouses: tuple[str, ...] = ()
    strategy: str = "fefo"
    fill: str = PARTIAL
    units: list[Record] = field(default_factory=list)
    flagged: list[Record] = field(default_factory=list)
    waiting: int = 0
    picking: bool = False
    pending: bool = False
    consumed: int = 0

    @property
    def reserved(self) -> int:
        """Units that it has, with or without stock behind them."""
        return len(self.units) + len(self.flagged)


def share(free: dict[str, int], line: Line) -> dict[str, int]:
    """What a waiting line gets of what is free, warehouse by warehouse in its order; it is taken out of `free`. One that takes all or
    nothing gets nothing where there is less than it waits for."""
    missing, got = line.waiting, dict[str, int]()
    if line.fill != PARTIAL and sum(free.get(warehouse, 0) for warehouse in line.warehouses) < missing:
        return got
    for warehouse in line.warehouses:
        part = min(missing, free.get(warehouse, 0))
        if part:
            got[warehouse] = part
            free[warehouse] -= part
            missing -= part
    return got


def next_of(free: Mapping[Record, int], units: int, strategy: str) -> Record:
    """The record that serves next: the first in order; for the fewest records one that is enough, the smallest such, so that large ones
    stay whole, else the largest."""
    if strategy != "fewest_records":
        return next(iter(free))
    enough = [record for record, room in free.items() if room >= units]
    return min(enough, key=lambda record: free[record]) if enough else max(free, key=lambda record: free[record])
