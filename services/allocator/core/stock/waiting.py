"""The waiting queue of one SKU, in order of (priority, demanded at, demand id).

Waiters that draw on the same warehouses in the same order share a band, so that those who could get nothing of what is free are
passed over together: a newcomer for one warehouse does not walk past ten thousand waiters of another.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from datetime import datetime

Rank = tuple[int, datetime, str, str]
"""A place in the queue, and whose it is: (priority, demanded at, demand, alternative)."""
Warehouses = tuple[str, ...]


class Band:
    """Waiters with the same warehouses. `units` wait in it in all; `whole` of its waiters take all that they need or nothing."""

    __slots__ = ("ranks", "units", "warehouses", "whole")

    def __init__(self, warehouses: Warehouses) -> None:
        self.warehouses = warehouses
        self.ranks: list[Rank] = []
        self.units = self.whole = 0


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
        band.whole += not partial

    def remove(self, rank: Rank, warehouses: Warehouses, units: int, partial: bool) -> None:
        band = self.bands[warehouses]
        at = bisect_left(band.ranks, rank)
        assert band.ranks[at] == rank, "who waits stands in the queue"
        del band.ranks[at]
        band.units -= units
        band.whole -= not partial
        if not band.ranks:
            del self.bands[warehouses]

    def lower(self, warehouses: Warehouses, units: int) -> None:
        """A waiter got part of what it waits for."""
        self.bands[warehouses].units -= units

    def in_order(self, free: Mapping[str, int]) -> Iterator[Rank]:
        """The waiters that draw on a warehouse where anything is free, best placed first. Do not change the queue meanwhile."""
        bands = [band.ranks for band in self.bands.values() if any(free.get(warehouse) for warehouse in band.warehouses)]
        return iter(bands[0]) if len(bands) == 1 else heapq.merge(*bands)
