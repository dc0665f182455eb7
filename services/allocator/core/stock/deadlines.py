"""When a state partition of the stock side must make a batch although no record comes."""

import heapq
from datetime import datetime
from typing import NamedTuple

from services.allocator.core.stock.rows import ReservationKey, SkuKey

NOBODY: ReservationKey = ("", "")
LEVELS: SkuKey = ("", "")


class Deadline(NamedTuple):
    """`lots`: the last day of a lot is over. `baton`: a waiter did not answer. `continuation`: serving goes on. `levels`: what was held
    back is announced, for the whole partition."""

    kind: str
    sku: SkuKey
    whose: ReservationKey = NOBODY


class Deadlines:
    """At most one time per deadline. Replaced and dropped ones stay in the heap until they surface."""

    def __init__(self) -> None:
        self._times: dict[Deadline, datetime] = {}
        self._heap: list[tuple[datetime, Deadline]] = []

    def set(self, deadline: Deadline, at: datetime | None) -> None:
        """None drops it."""
        if at is None:
            self._times.pop(deadline, None)
        elif self._times.get(deadline) != at:
            self._times[deadline] = at
            heapq.heappush(self._heap, (at, deadline))

    def next(self) -> datetime | None:
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime) -> list[Deadline]:
        """Takes out what is due, in a fixed order."""
        found: list[Deadline] = []
        while (at := self.next()) is not None and at <= now:
            deadline = heapq.heappop(self._heap)[1]
            del self._times[deadline]
            found.append(deadline)
        return sorted(found)
