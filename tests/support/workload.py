"""Orders over a few SKUs, edits and cancellations among them, and stock that in the end serves all of them whole.

The end does not depend on what happened on the way, so a test may break what it likes meanwhile.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.schemas.commands import ReceiveStock
from shared.schemas.events import OrderChanged
from shared.schemas.values import Fill, Wish
from tests.support.allocator import order, receipt
from tests.support.careful_reader import CarefulReader


@dataclass
class Workload:
    """`name` is part of every SKU, number and command id: two workloads share nothing."""

    name: str
    count: int = 24
    skus: int = 10
    _wanted: dict[str, dict[str, int]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _canceled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        draw = random.Random(self.name)
        names = [f"{self.name}-{number}" for number in range(self.skus)]
        for index in range(self.count):
            lines = {sku: draw.randint(1, 6) for sku in draw.sample(names, draw.randint(1, 3))}
            self._wanted[f"{self.name}-o{index}"] = lines

    def orders(self, share: slice = slice(None)) -> Iterator[OrderChanged]:
        """The orders; every third wants all or nothing."""
        for index, (number, lines) in list(enumerate(self._wanted.items()))[share]:
            self._versions[number] = 1
            yield order(number, lines, fill=Fill.ALL_OR_NOTHING if index % 3 == 0 else None)

    def changes(self) -> Iterator[OrderChanged]:
        """Every sixth order is edited, every eighth canceled."""
        for index, (number, lines) in enumerate(self._wanted.items()):
            fill = Fill.ALL_OR_NOTHING if index % 3 == 0 else None
            if index % 6 == 1:
                self._versions[number] = 2
                lines.update({sku: max(1, units - 1) for sku, units in lines.items()})
                yield order(number, lines, version=2, fill=fill)
            elif index % 8 == 3:
                self._versions[number] = 2
                self._canceled.add(number)
                yield order(number, lines, version=2, fill=fill, wish=Wish.CLOSED)

    def first_stock(self) -> Iterator[ReceiveStock]:
        """Half of what all orders want together."""
        for sku, units in self._total().items():
            if units >= 2:
                yield receipt(f"first-{sku}", sku, units // 2)

    def rest_of_stock(self) -> Iterator[ReceiveStock]:
        """The other half: now there is enough for all."""
        for sku, units in self._total().items():
            yield receipt(f"rest-{sku}", sku, units - units // 2)

    def _total(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for lines in self._wanted.values():
            total.update(lines)
        return total

    def unserved(self, reader: CarefulReader) -> list[str]:
        """The orders whose newest word is not their final allocation; empty when all have it."""
        return [found for number in self._versions if (found := self._wrong(reader, number))]

    def _wrong(self, reader: CarefulReader, number: str) -> str:
        told = reader.newest(number)
        if told is None:
            return f"{number}: nothing was told"
        if told.demand_version != self._versions[number]:
            return f"{number}: version {told.demand_version} was answered, {self._versions[number]} was said"
        wanted = "released" if number in self._canceled else "allocated"
        if told.outcome != wanted:
            return f"{number}: {told.outcome}, should be {wanted}"
        reserved = {line.sku: line.reserved_units for line in told.lines}
        if number not in self._canceled and reserved != self._wanted[number]:
            return f"{number}: {reserved} reserved of {self._wanted[number]}"
        return ""
