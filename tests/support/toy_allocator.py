"""A shop floor small enough to reason about by hand: partial fill only, one queue per SKU, events as the allocator tells them.

Feeds the demo's display and stories in unit tests; it shares no code with the allocator.
"""

from datetime import UTC, datetime
from typing import Literal

from shared.schemas.events import AllocatedLine, AllocationChanged, Remedy, Shortage
from shared.schemas.values import DemandKind, demand_id

AT = datetime(2026, 11, 21, tzinfo=UTC)


class ToyAllocator:
    """`receive`, `order`, `cancel`, `adjust`: each returns the events that it causes, in order."""

    def __init__(self, merchant: str = "acme") -> None:
        self._merchant = merchant
        self._on_hand: dict[str, int] = {}
        self._wanted: dict[str, dict[str, int]] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._versions: dict[str, int] = {}
        self._told: dict[str, AllocationChanged] = {}

    def receive(self, sku: str, units: int) -> list[AllocationChanged]:
        """A rise."""
        self._on_hand[sku] = self._on_hand.get(sku, 0) + units
        return self._settle([sku])

    def adjust(self, sku: str, change: int) -> list[AllocationChanged]:
        """A rise or a fall."""
        return self.receive(sku, change)

    def order(self, number: str, lines: dict[str, int]) -> list[AllocationChanged]:
        """A new order, at the end of every queue."""
        self._wanted[number], self._held[number] = dict(lines), dict.fromkeys(lines, 0)
        return [*self._settle(list(lines)), self._tell(number)]

    def cancel(self, number: str) -> list[AllocationChanged]:
        """It gives back what it holds."""
        skus = list(self._wanted[number])
        released = self._event(number, released=True)
        del self._wanted[number], self._held[number]
        return [released, *self._settle(skus)]

    def _settle(self, skus: list[str]) -> list[AllocationChanged]:
        for sku in skus:
            left = self._on_hand.get(sku, 0) - sum(held.get(sku, 0) for held in self._held.values())
            for number, wanted in self._wanted.items():
                if left > 0 and sku in wanted:
                    got = min(left, wanted[sku] - self._held[number][sku])
                    self._held[number][sku] += got
                    left -= got
        changed = (number for number in list(self._wanted) if self._differs(number))
        return [self._tell(number) for number in changed]

    def _differs(self, number: str) -> bool:
        before = self._told.get(number)
        return before is not None and before.lines != self._lines(number)

    def _tell(self, number: str) -> AllocationChanged:
        self._told[number] = self._event(number)
        return self._told[number]

    def _event(self, number: str, *, released: bool = False) -> AllocationChanged:
        version = self._versions[number] = self._versions.get(number, 0) + 1
        lines = self._lines(number, released=released)
        return AllocationChanged(
            demand=demand_id(DemandKind.SALES_ORDER, self._merchant, number),
            merchant=self._merchant,
            version=version,
            demand_version=2 if released else 1,
            attempt=1,
            outcome="released" if released else _outcome(lines),
            lines=lines,
            decided_at=AT,
        )

    def _lines(self, number: str, *, released: bool = False) -> tuple[AllocatedLine, ...]:
        return tuple(self._line(number, sku, units, released) for sku, units in sorted(self._wanted[number].items()))

    def _line(self, number: str, sku: str, wanted: int, released: bool) -> AllocatedLine:
        held = 0 if released else self._held[number][sku]
        flagged = 0 if released else self._flagged(number, sku)
        waiting = 0 if released else wanted - held
        shortage = _shortage(flagged or waiting) if flagged or waiting else None
        return AllocatedLine(
            sku=sku, wanted_units=wanted, reserved_units=held, flagged_units=flagged, waiting_units=waiting, consumed_units=0,
            shortage=shortage,
        )  # fmt: skip

    def _flagged(self, number: str, sku: str) -> int:
        """What is missing, from the end of the queue."""
        missing = sum(held.get(sku, 0) for held in self._held.values()) - self._on_hand.get(sku, 0)
        for other in reversed(self._held):
            share = min(max(missing, 0), self._held[other].get(sku, 0))
            if other == number:
                return share
            missing -= share
        return 0


def _shortage(units: int) -> Shortage:
    return Shortage(
        missing_units=units, on_hand_units=0, held_units=0, expired_units=0, allocated_units=0, claimed_units=0, elsewhere_units=0,
        remedies=(Remedy(action="receive", units=units, warehouse="main"),), ledger_version=1,
    )  # fmt: skip


def _outcome(lines: tuple[AllocatedLine, ...]) -> Literal["allocated", "partially_allocated", "could_not_allocate", "overallocated"]:
    held, wanted = sum(line.reserved_units for line in lines), sum(line.wanted_units for line in lines)
    if any(line.flagged_units for line in lines):
        return "overallocated"
    if held == wanted:
        return "allocated"
    return "partially_allocated" if held else "could_not_allocate"
