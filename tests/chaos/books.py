"""The books as somebody keeps them who hears nothing but the public topics: what came in, what is promised, and never more of it than is
there."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class PublicBooks:
    """Made of the public messages without their repeats, in the order in which they were read."""

    on_hand: Counter[str] = field(default_factory=Counter)
    reserved: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    orders: int = 0

    @classmethod
    def of(cls, told: list[Any]) -> "PublicBooks":
        """Movements add up to what is there; of every demand the newest word counts."""
        books, newest = cls(), dict[str, Any]()
        moved: set[tuple[str, int, int]] = set()
        for one in told:
            if one.type == "stock_moved" and (movement := (one.sku, one.record, one.record_version)) not in moved:
                moved.add(movement)  # a command that was said twice is answered twice
                books.on_hand[one.sku] += one.change
            elif one.type == "allocation_changed" and one.version > getattr(newest.get(one.demand), "version", 0):
                newest[one.demand] = one
        for allocation in newest.values():
            for line in allocation.lines:
                books.reserved[line.sku] += line.reserved_units
                books.flagged[line.sku] += line.flagged_units
        books.orders = len(newest)
        return books

    def problems(self) -> list[str]:
        """SKUs of which more is promised than is there."""
        return [
            f"{sku}: {units} units promised, {self.flagged[sku]} of them flagged as gone, {self.on_hand[sku]} there"
            for sku, units in self.reserved.items()
            if units - self.flagged[sku] > self.on_hand[sku]
        ]
