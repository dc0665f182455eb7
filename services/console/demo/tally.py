"""What a demo knows of its orders: what was posted and when, and the latest that `earmark.allocations` told of each. Pure: times are given.

Queue order is booking order: (position of the order in the file); the demo demands its orders at rising times.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from shared.schemas.events import AllocatedLine, AllocationChanged
from shared.schemas.values import DemandKind, demand_id

DECISIONS = ("allocated", "partially_allocated", "could_not_allocate", "overallocated")
"""Outcomes that answer a demand for stock; `released` answers a cancel."""


@dataclass(frozen=True, slots=True)
class Telling:
    """One new event of an order of ours. `latency_ms`: since its post, where this is its first decision. `before`: the outcome that
    stood until now."""

    number: str
    outcome: str
    before: str | None
    lines: int
    whole_lines: int
    missing: tuple[str, int] | None
    latency_ms: float | None


class Place(NamedTuple):
    """One order's share in a SKU: reserved, flagged or waiting units, and its place in the queue."""

    position: int
    number: str
    units: int


@dataclass(slots=True)
class Known:
    """One order: its place in the queue, when it was posted, what came of it."""

    position: int
    posted_at: float
    ships_whole: bool
    canceled: bool = False
    decided_at: float | None = None
    latest: AllocationChanged | None = None


@dataclass(slots=True)
class Tally:
    """All orders of one merchant in one demo. `events`: new events of our orders; `repeats`: events that were told before."""

    merchant: str
    orders: dict[str, Known] = field(default_factory=dict)
    events: int = 0
    repeats: int = 0
    last_event_at: float = 0.0
    first_posted_at: float = 0.0
    last_decided_at: float = 0.0
    _numbers: dict[str, str] = field(default_factory=dict)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _open: set[str] = field(default_factory=set)
    _positions: Iterator[int] = field(default_factory=count)

    # ---------------------------------------------------------------- what happens

    def posted(self, number: str, at: float, *, ships_whole: bool = False) -> None:
        """The order is being sent now."""
        assert number not in self.orders, number
        self.first_posted_at = self.first_posted_at or at
        self.orders[number] = Known(next(self._positions), at, ships_whole)
        self._numbers[demand_id(DemandKind.SALES_ORDER, self.merchant, number)] = number
        self._open.add(number)

    def withdrawn(self, number: str) -> None:
        """The order was refused: it is none of ours."""
        del self.orders[number], self._numbers[demand_id(DemandKind.SALES_ORDER, self.merchant, number)]
        self._open.discard(number)

    def canceled(self, number: str) -> None:
        """Its cancel is being sent now: it is settled when it is released."""
        self.orders[number].canceled = True
        if self.outcome(number) != "released":
            self._open.add(number)

    def told(self, event: AllocationChanged, at: float) -> Telling | None:
        """Take in an event. None where it tells nothing new: a repeat, or somebody else's order."""
        number = self._numbers.get(event.demand)
        if number is None:
            return None
        known = self.orders[number]
        if known.latest is not None and known.latest.version >= event.version:
            self.repeats += 1
            return None
        before = known.latest.outcome if known.latest else None
        known.latest, self.last_event_at, self.events = event, at, self.events + 1
        self._recount(before, event.outcome)
        latency = self._decide(known, event, at)
        if event.outcome == "released" if known.canceled else event.outcome in DECISIONS:
            self._open.discard(number)
        whole = sum(line.reserved_units - line.flagged_units + line.consumed_units >= line.wanted_units for line in event.lines)
        return Telling(number, event.outcome, before, len(event.lines), whole, _missing(event), latency)

    def _recount(self, before: str | None, outcome: str) -> None:
        self._outcomes[outcome] += 1
        if before is not None:
            self._outcomes[before] -= 1

    def _decide(self, known: Known, event: AllocationChanged, at: float) -> float | None:
        if known.decided_at is not None or event.outcome not in DECISIONS:
            return None
        known.decided_at = self.last_decided_at = at
        return (at - known.posted_at) * 1000

    # ---------------------------------------------------------------- what is known

    def outcome(self, number: str) -> str | None:
        """What the allocator last said of the order."""
        latest = self.orders[number].latest
        return latest.outcome if latest else None

    @property
    def outcomes(self) -> dict[str, int]:
        """Orders by what the allocator last said of them. May be asked from another thread, hence the copy."""
        return {outcome: count for outcome, count in dict(self._outcomes).items() if count}

    @property
    def settled(self) -> int:
        """How many orders have their answer: a decision, or for a canceled one its release."""
        return len(self.orders) - len(self._open)

    @property
    def unsettled_count(self) -> int:
        """How many orders have no answer yet."""
        return len(self._open)

    @property
    def unsettled(self) -> list[str]:
        """Numbers of the orders whose answer is missing, in booking order."""
        return sorted(self._open, key=lambda number: self.orders[number].position)

    @property
    def latencies_ms(self) -> list[float]:
        """From post to decision, of every order that was decided; sorted."""
        known = self.orders.values()
        return sorted((one.decided_at - one.posted_at) * 1000 for one in known if one.decided_at is not None)

    @property
    def reservations(self) -> tuple[int, int]:
        """Reserved lines and reserved units, of all orders."""
        units = [line.reserved_units for _, line in self.lines() if line.reserved_units]
        return len(units), sum(units)

    @property
    def wanted_units(self) -> int:
        """Units that the orders which still want stock ask for."""
        return sum(line.wanted_units for number, line in self.lines() if self.outcome(number) != "released")

    def lines(self) -> Iterator[tuple[str, AllocatedLine]]:
        """Every line of every order as last told, with the order's number, in booking order."""
        for number, known in self.orders.items():
            for line in known.latest.lines if known.latest else ():
                yield number, line

    def waiting(self) -> dict[str, list[Place]]:
        """SKU to the orders that wait for it, in queue order."""
        return self._places("waiting_units")

    def flagged(self) -> dict[str, list[Place]]:
        """SKU to the orders that hold more of it than there is, in queue order."""
        return self._places("flagged_units")

    def holding(self) -> dict[str, list[Place]]:
        """SKU to the orders that hold units of it, in queue order."""
        return self._places("reserved_units")

    def _places(self, what: str) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for number, line in self.lines():
            if units := getattr(line, what):
                found.setdefault(line.sku, []).append(Place(self.orders[number].position, number, units))
        return {sku: sorted(places) for sku, places in found.items()}


def _missing(event: AllocationChanged) -> tuple[str, int] | None:
    """The line that lacks most, and how many units."""
    lacking = [(line.sku, line.wanted_units - line.reserved_units - line.consumed_units + line.flagged_units) for line in event.lines]
    worst = max(lacking, key=lambda one: one[1], default=("", 0))
    return worst if worst[1] > 0 and event.outcome != "released" else None


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 of nothing."""
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1))] if ordered else 0.0
