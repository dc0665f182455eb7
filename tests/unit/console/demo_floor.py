"""A demo without services: its plan played on the toy allocator, told to a tally."""

from dataclasses import dataclass, field

from services.console.demo.order_lines import ShopOrder
from services.console.demo.plan import MERCHANT, Receipt
from services.console.demo.tally import Tally, Telling
from shared.schemas.events import AllocationChanged
from tests.support.toy_allocator import ToyAllocator


@dataclass(slots=True)
class Floor:
    """`now` is told by hand: every event comes 20 ms after what caused it."""

    toy: ToyAllocator = field(default_factory=lambda: ToyAllocator(MERCHANT))
    tally: Tally = field(default_factory=lambda: Tally(MERCHANT))
    receipts: list[Receipt] = field(default_factory=list)
    tellings: list[Telling] = field(default_factory=list)
    now: float = 100.0

    def receive(self, sku: str, units: int, bin_name: str = "A-01", warehouse: str = "main") -> None:
        """Stock arrives."""
        self.receipts.append(Receipt(sku, warehouse, bin_name, units))
        self.tell(self.toy.receive(sku, units))

    def adjust(self, sku: str, change: int) -> None:
        """Stock is corrected."""
        self.tell(self.toy.adjust(sku, change))

    def order(self, number: str, *, ships_whole: bool = False, **lines: int) -> None:
        """An order is posted and answered."""
        order = ShopOrder(number, lines)
        self.tally.posted(number, self.now, ships_whole=ships_whole)
        self.tell(self.toy.order(order.number, order.lines))

    def cancel(self, number: str) -> None:
        """An order is canceled."""
        self.tally.canceled(number)
        self.tell(self.toy.cancel(number))

    def tell(self, events: list[AllocationChanged]) -> None:
        """The events arrive."""
        self.now += 0.02
        self.tellings += [telling for event in events if (telling := self.tally.told(event, self.now))]
