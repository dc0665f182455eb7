"""The waiting queue of one SKU, in order of (priority, demanded at, demand id).

Waiters that draw on the same warehouses in the same order share a band, so that those who could get nothing of what is free are
passed over together: a newcomer for one warehouse does not walk past ten thousand waiters of another.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple, TypeVar

from shared.schemas.values import Fill

Rank = tuple[int, datetime, str, str]
"""A place in the queue, and whose it is: (priority, demanded at, demand, alternative)."""
Warehouses = tuple[str, ...]


class Band:
    """Waiters with the same warehouses. `units` wait in it in all. `whole`: the needs, sorted, of those who take all that they need or
    nothing. `woken`: how many are not served where they wait, but woken."""

    __slots__ = ("ranks", "units", "warehouses", "whole", "woken")

    def __init__(self, warehouses: Warehouses) -> None:
        self.warehouses = warehouses
        self.ranks: list[Rank] = []
        self.units = 0
        self.whole: list[int] = []
        self.woken = 0

    def append(self, rank: Rank, units: int, fill: Fill) -> None:
        """At the end: the lists are to be sorted afterwards."""
        self.ranks.append(rank)
        self._count(1, units, fill)
        if fill is not Fill.PARTIAL:
            self.whole.append(units)

    def insert(self, rank: Rank, units: int, fill: Fill) -> None:
        insort(self.ranks, rank)
        self._count(1, units, fill)
        if fill is not Fill.PARTIAL:
            insort(self.whole, units)

    def remove(self, rank: Rank, units: int, fill: Fill) -> None:
        _take_out(self.ranks, rank)
        self._count(-1, -units, fill)
        if fill is not Fill.PARTIAL:
            _take_out(self.whole, units)

    def sort(self) -> None:
        self.ranks.sort()
        self.whole.sort()

    def _count(self, waiters: int, units: int, fill: Fill) -> None:
        self.units += units
        if fill is Fill.ALL_OR_NOTHING:
            self.woken += waiters

    def behind(self, rank: Rank | None) -> Iterator[Rank]:
        """The waiters behind this place, or all."""
        if rank is None:
            return iter(self.ranks)
        return map(self.ranks.__getitem__, range(bisect_right(self.ranks, rank), len(self.ranks)))

    def could_take(self, free: Mapping[str, int]) -> bool:
        """Whether any of its waiters could get anything."""
        there = sum([free.get(warehouse, 0) for warehouse in self.warehouses])
        return there > 0 and (len(self.whole) < len(self.ranks) or self.whole[0] <= there)


class Candidates(NamedTuple):
    """The waiters that could get something of what is free, and many that could not, best placed first. `free_units`: free in the
    warehouses that they draw on; `lines`: how many of all that wait there are served where they wait, and need not be woken."""

    ranks: Iterator[Rank]
    free_units: int
    lines: int


class WaitingQueue:
    """Sorted; the needs themselves stand in the reservations."""

    __slots__ = ("bands",)

    def __init__(self) -> None:
        self.bands: dict[Warehouses, Band] = {}

    def __len__(self) -> int:
        return sum(len(band.ranks) for band in self.bands.values())

    def add(self, rank: Rank, warehouses: Warehouses, units: int, fill: Fill) -> None:
        self._band(warehouses).insert(rank, units, fill)

    def add_all(self, waiters: Iterable[tuple[Rank, Warehouses, int, Fill]]) -> None:
        """As `add` of each, for a queue that is read whole: sorted once, where one by one would move a million places a million times."""
        touched = set[Warehouses]()
        for rank, warehouses, units, fill in waiters:
            touched.add(warehouses)
            self._band(warehouses).append(rank, units, fill)
        for warehouses in touched:
            self.bands[warehouses].sort()

    def _band(self, warehouses: Warehouses) -> Band:
        band = self.bands.get(warehouses)
        if band is None:
            band = self.bands[warehouses] = Band(warehouses)
        return band

    def remove(self, rank: Rank, warehouses: Warehouses, units: int, fill: Fill) -> None:
        band = self.bands[warehouses]
        band.remove(rank, units, fill)
        if not band.ranks:
            del self.bands[warehouses]

    def lower(self, warehouses: Warehouses, units: int) -> None:
        """A waiter got part of what it waits for."""
        self.bands[warehouses].units -= units

    def units_on(self, warehouse: str) -> int:
        """What those who may draw on a warehouse wait for, there or elsewhere."""
        return sum([band.units for band in self.bands.values() if warehouse in band.warehouses])

    def in_order(self, free: Mapping[str, int], after: Rank | None = None) -> Candidates:
        """All, or those placed behind `after`. Do not change the queue while the ranks are walked."""
        bands = [band for band in self.bands.values() if band.could_take(free)]
        warehouses = {warehouse for band in bands for warehouse in band.warehouses}
        ranks = [band.behind(after) for band in bands]
        return Candidates(
            ranks[0] if len(ranks) == 1 else heapq.merge(*ranks),
            sum([free.get(warehouse, 0) for warehouse in warehouses]),
            sum([len(band.ranks) - band.woken for band in bands]),
        )

    def ahead_of(self, rank: Rank) -> Iterator[Rank]:
        """Everybody better placed."""
        return takewhile(rank.__gt__, heapq.merge(*[band.ranks for band in self.bands.values()]))


Item = TypeVar("Item", Rank, int)


def _take_out(items: list[Item], item: Item) -> None:
    at = bisect_left(items, item)
    assert items[at] == item, "who waits stands in the queue"
    del items[at]
