"""Those who receive and adjust stock, and who say things twice."""

from datetime import date, timedelta

from shared.schemas import topics
from shared.schemas.commands import AdjustStock, InventoryCommand, ReceiveStock
from shared.schemas.values import AdjustmentReason, sku_key
from tests.simulation.habits import Habits
from tests.simulation.post import Post

Place = dict[str, str | None]
"""Where stock lies, by the fields of a stock command."""


class Goods:
    """Every stock command that was ever given, by merchant, SKU and command id; a list, because contents may differ."""

    def __init__(self, post: Post, habits: Habits) -> None:
        self.post, self.habits, self.world, self.random = post, habits, post.world, post.world.random
        self.commands: dict[str, list[InventoryCommand]] = {}

    def open(self) -> None:
        """What is on hand before the first order."""
        habits_ = self.habits
        for merchant in habits_.merchants:
            for sku in habits_.skus:
                for warehouse in habits_.warehouses:
                    if units := self.random.randint(0, 3 + habits_.rich):
                        self._receive({"merchant": merchant, "sku": sku, "warehouse": warehouse, "bin": "b0", "lot": None}, units)

    def _place_of_stock(self) -> Place:
        random, habits_ = self.random, self.habits
        return {
            "merchant": random.choice(habits_.merchants),
            "sku": random.choice(habits_.skus),
            "warehouse": random.choice(habits_.warehouses),
            "bin": f"b{random.randrange(habits_.bins)}",
            "lot": random.choice((None, "L1", "L2")) if habits_.lots else None,
            "label": random.choice((None, None, "N1")) if habits_.lots else None,
        }

    def _order_stock(self, command: InventoryCommand) -> None:
        self.commands.setdefault(f"{command.merchant}/{command.sku}/{command.command_id}", []).append(command)
        self.post.say(topics.INVENTORY.name, sku_key(command.merchant, command.sku), command)

    def receive(self) -> bool:
        """Goods arrive, perhaps of a lot that ends soon or has ended."""
        place = self._place_of_stock()
        self._receive(place, self.random.randint(1, 2 + self.habits.rich), self._end() if place["lot"] else None)
        return True

    def _end(self) -> date | None:
        soon = self.world.at_ms(0).date() + timedelta(days=self.random.randint(-1, 1))
        return self.random.choices((soon, None, date.min, date.max), (70, 26, 2, 2))[0]

    def _receive(self, place: Place, units: int, expires_on: date | None = None) -> None:
        self._order_stock(
            ReceiveStock(
                command_id=f"r{len(self.commands)}", units=units, expires_on=expires_on, issued_at=self.world.clock(),
                **place,  # type: ignore[arg-type]  # the keys are its fields
            )
        )  # fmt: skip

    def restock(self) -> None:
        """Goods arrive somewhere, without an end."""
        self._receive(self._place_of_stock() | {"lot": None}, self.random.randint(1, 6))

    def adjust(self) -> bool:
        """Somebody counted."""
        self.change(self._place_of_stock(), self.random.choice((-6, -3, -2, -1, -1, 1, 2, 0)))
        return True

    def change(self, place: Place, change: int) -> None:
        """Adjust what is on hand there."""
        self._order_stock(
            AdjustStock(
                command_id=f"a{len(self.commands)}", change=change, reason=AdjustmentReason.CYCLE_COUNT, issued_at=self.world.clock(),
                **place,  # type: ignore[arg-type]  # the keys are its fields
            )
        )  # fmt: skip

    def repeat(self) -> bool:
        """The same command once more, much later perhaps."""
        if not self.commands:
            return False
        self._order_stock(self.random.choice(list(self.commands.values()))[0])
        return True

    def twist(self) -> bool:
        """Other content under a used command id."""
        if not self.commands:
            return False
        command = self.random.choice(list(self.commands.values()))[0]
        if isinstance(command, ReceiveStock):
            self._order_stock(command.but(units=command.units + 1))
        else:
            self._order_stock(command.but(change=command.change + 1))
        return True
