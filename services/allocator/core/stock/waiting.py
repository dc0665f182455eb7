"""The waiting queue of one SKU, in order of (priority, demanded at, demand id).

Waiters that draw on the same warehouses in the same order share a band, so that those who could get nothing of what is free are
passed over together: a newcomer for one warehouse does not walk past ten thousand waiters of another.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from typing import TypeVar

Rank = tuple[int, datetime, str, str]
"""A place in the queue, and whose it is: (priority, demanded at, demand, alternative)."""
Warehouses = tuple[str, ...]


class Band:
    """Waiters with the same warehouses. `units` wait in it in all. `whole`: the needs, sorted, of those who take all that they need or
    nothing."""

    __slots__ = ("ranks", "units", "warehouses", "whole")

    def __init__(self, warehouses: Warehouses) -> None:
        self.warehouses = warehouses
        self.ranks: list[Rank] = []
        self.units = 0
        self.whole: list[int] = []

    def could_take(self, free: Mapping[str, int]) -> bool:
        """Whether any of its waiters could get anything."""
        there = sum([free.get(warehouse, 0) for warehouse in self.warehouses])
        return there > 0 and (len(self.whole) < len(self.ranks) or self.whole[0] <= there)


class WaitingQueue:
    """Sorted; the needs themselves stand in the reservations."""

    __slots__ = ("bands",)

    def __init__(self) -> None:
        self.bands: dict[Warehouses, Band] = {}

    def __len__(self) -> int:
        return sum(len(band.ranks) for band in self.bands.values())

    def add(self, rank: Rank, warehouses: Warehouses, units: int, partial: bool) -> None:
        band = self.bands.get(warehouses)
        if band is None:
            band = self.bands[warehouses] = Band(warehouses)
        insort(band.ranks, rank)
        band.units += units
        if not partial:
            insort(band.whole, units)

    def add_all(self, waiters: Iterable[tuple[Rank, Warehouses, int, bool]]) -> None:
        """As `add` of each, for a queue that is read whole: sorted once, where one by one would move a million places a million times."""
        touched = set[Warehouses]()
        for rank, warehouses, units, partial in waiters:
            band = self.bands.get(warehouses) or self.bands.setdefault(warehouses, Band(warehouses))
            touched.add(warehouses)
            band.ranks.append(rank)
            band.units += units
            if not partial:
                band.whole.append(units)
        for warehouses in touched:
            self.bands[warehouses].ranks.sort()
            self.bands[warehouses].whole.sort()

    def remove(self, rank: Rank, warehouses: Warehouses, units: int, partial: bool) -> None:
        band = self.bands[warehouses]
        _take_out(band.ranks, rank)
        band.units -= units
        if not partial:
            _take_out(band.whole, units)
        if not band.ranks:
            del self.bands[warehouses]

    def lower(self, warehouses: Warehouses, units: int) -> None:
        """A waiter got part of what it waits for."""
        self.bands[warehouses].units -= units

    def units_on(self, warehouse: str) -> int:
        """What those who may draw on a warehouse wait for, there or elsewhere."""
        return sum([band.units for band in self.bands.values() if warehouse in band.warehouses])

    def in_order(self, free: Mapping[str, int]) -> tuple[Iterator[Rank], set[str]]:
        """The waiters that could get something of what is free, and many that could not, best placed first; and the warehouses that
        they draw on. Do not change the queue meanwhile."""
        bands = [band for band in self.bands.values() if band.could_take(free)]
        warehouses = {warehouse for band in bands for warehouse in band.warehouses}
        ranks = [band.ranks for band in bands]
        return (iter(ranks[0]) if len(ranks) == 1 else heapq.merge(*ranks)), warehouses

    def ahead_of(self, rank: Rank) -> Iterator[Rank]:
        """Everybody better placed."""
        return takewhile(rank.__gt__, heapq.merge(*[band.ranks for band in self.bands.values()]))


Item = TypeVar("Item", Rank, int)


def _take_out(items: list[Item], item: Item) -> None:
    at = bisect_left(items, item)
    assert items[at] == item, "who waits stands in the queue"
    del items[at]
