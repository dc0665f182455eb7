"""Everybody outside the allocator: orders that are placed, edited, canceled, picked and shipped; stock that is received and adjusted.

Drawn from the seed. What was said is on its way until delivered: late, out of order, and more than once.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from shared.schemas import topics, wire
from shared.schemas.commands import AdjustStock, InventoryCommand, ReceiveStock
from shared.schemas.events import AllocationChanged, AllocationRunChanged, Demand, OrderChanged
from shared.schemas.values import AdjustmentReason, DemandKind, Fill, Line, Strategy, Wish, demand_id, sku_key
from shared.schemas.wire import Envelope, Record
from tests.simulation.poison import poison

if TYPE_CHECKING:
    from tests.simulation.world import World

FINAL = (Wish.CLOSED,)


@dataclass(slots=True)
class Order:
    """An order as its owner sees it. `said`: the newest version that was sent."""

    demand: Demand
    told: AllocationChanged | None = None

    @property
    def shipped(self) -> bool:
        """All of it has left."""
        return self.told is not None and self.told.outcome == "consumed"

    @property
    def answered(self) -> bool:
        """Whether the allocator's newest word is about the newest version."""
        return self.told is not None and self.told.demand_version == self.demand.version


@dataclass(frozen=True, slots=True)
class Habits:
    """What the people of this seed do, and how often."""

    orders: int
    doings: int
    merchants: tuple[str, ...]
    skus: tuple[str, ...]
    warehouses: tuple[str, ...]
    bins: int
    lots: bool
    fills: tuple[Fill, ...]
    most_units: int
    rich: int
    weights: dict[str, float]
    wild: float


def habits(random: Random) -> Habits:
    """Drawn from the seed."""
    one_of = random.choice
    apart = one_of(((Fill.PARTIAL,) * 3, (Fill.WHOLE_LINES,) * 3, (Fill.PARTIAL, Fill.WHOLE_LINES)))
    fills = one_of((apart, (*apart, Fill.ALL_OR_NOTHING), (*apart[:1], Fill.ALL_OR_NOTHING), (Fill.ALL_OR_NOTHING,)))
    weights = {
        "edit": one_of((0, 1, 4)), "cancel": one_of((0, 0.3, 1)), "release": one_of((0, 0.3)), "receive": one_of((0.5, 1, 3)),
        "adjust": one_of((0, 0.5, 2)), "pick": one_of((0, 1, 3)), "ship": one_of((0, 1, 2)), "unpick": one_of((0, 0.5, 1)),
        "repeat": one_of((0, 0.5)), "twist": one_of((0, 0, 0.3)),
    }  # fmt: skip
    return Habits(
        orders=one_of((3, 5, 8, 8, 12, 12, 20)),
        doings=one_of((0, 5, 20, 40, 80)),
        merchants=one_of((("acme",), ("acme",), ("acme",), ("acme",), ("acme", "zen"))),
        skus=tuple(f"SKU {number}" for number in range(random.randint(1, 5))),
        warehouses=tuple(f"w{number}" for number in range(one_of((1, 1, 2, 3)))),
        bins=random.randint(1, 2),
        lots=random.random() < 0.2,
        fills=fills,
        most_units=one_of((2, 3, 5)),
        rich=one_of((0, 1, 2, 4, 12)),
        weights=weights,
        wild=one_of((0, 0, 0.2)),
    )


@dataclass(slots=True)
class Shop:
    """The outside world."""

    world: "World"
    habits: Habits
    orders: dict[str, Order] = field(default_factory=dict)
    commands: dict[str, list[InventoryCommand]] = field(default_factory=dict)
    poisoned: int = 0
    doings: int = 0
    _on_its_way: list[tuple[str, str, Record]] = field(default_factory=list)
    _number: int = 0

    @property
    def random(self) -> Random:
        """The world's."""
        return self.world.random

    # ---------------------------------------------------------------- saying and delivering

    def _say(self, topic: str, key: str, message: InventoryCommand | OrderChanged | AllocationRunChanged) -> None:
        self._number += 1
        self.world.say("said", message)
        record = wire.encode(message, key=key, envelope=Envelope("outside", self._number), time=self.world.clock())
        self._on_its_way.append((topic, key, record))

    def deliver(self, *, faults: bool) -> bool:
        """One message that is on its way reaches Kafka, perhaps to come again."""
        if not self._on_its_way:
            return False
        random, waiting = self.random, self._on_its_way
        index = random.randrange(len(waiting))
        topic, key, record = waiting[index]
        if not (faults and random.random() < self.world.swarm.repeat):
            waiting[index] = waiting[-1]
            waiting.pop()
        count = self.world.counts[topic]
        partition = wire.partition_of(key, count)
        if faults and random.random() < self.world.swarm.poison:
            self._spoil(topic, partition, record)
        self.world.kafka.append((topic, partition), record)
        return True

    def _spoil(self, topic: str, partition: int, record: Record) -> None:
        """A record that nobody can take comes before a good one: unreadable, or in another partition than its key's."""
        self.poisoned += 1
        count = self.world.counts[topic]
        if count > 1 and wire.key_of(self._read(record)) is not None and self.random.random() < 0.1:
            self.world.kafka.append((topic, (partition + 1) % count), record)
        else:
            self.world.kafka.append((topic, self.random.randrange(count)), poison(self.random, record))

    @staticmethod
    def _read(record: Record) -> object:
        kinds = {"order_changed", "allocation_run_changed", "receive_stock", "adjust_stock"}
        return wire.decode(record.value, wire.header_map(record.headers), kinds)[0]

    def hear(self, event: AllocationChanged) -> None:
        """The allocator tells; the newest version counts."""
        order = self.orders[event.demand]
        if order.told is None or event.version > order.told.version:
            order.told = event

    # ---------------------------------------------------------------- doing

    def act(self) -> bool:
        """Somebody does something. False when it was the last thing."""
        self.doings += 1
        if self.doings == 1:
            self._open()
        if len(self.orders) < self.habits.orders and (self.doings < 3 or self.random.random() < 0.5):
            self._place()
        else:
            for _ in range(5):
                what = self.random.choices(list(self.habits.weights), [weight + 1e-9 for weight in self.habits.weights.values()])[0]
                if getattr(self, f"_{what}")():
                    break
        return len(self.orders) < self.habits.orders or self.doings < self.habits.orders + self.habits.doings

    def _place(self) -> None:
        random, habits_ = self.random, self.habits
        merchant = random.choice(habits_.merchants)
        name = demand_id(DemandKind.SALES_ORDER, merchant, f"O{len(self.orders)}")
        demand = Demand(
            id=name, merchant=merchant, version=1, wish=Wish.STOCK, lines=self._lines(), fill=random.choice(habits_.fills),
            strategy=random.choice((None, *Strategy)), priority=random.randint(0, 2), warehouses=self._warehouses(),
            demanded_at=self.world.at_ms(random.randint(0, 5)),
        )  # fmt: skip
        self.orders[name] = Order(demand)
        self._tell(demand)

    def _tell(self, demand: Demand) -> None:
        if self.random.random() < 0.02:
            run = AllocationRunChanged(
                merchant=demand.merchant, run="R1", version=demand.version, action="allocate", total=9, ended=0, refused=0,
                changed_at=self.world.clock(),
            )  # fmt: skip
            self._say(topics.ORDERS.name, demand.id, run)
        event = OrderChanged(demand=demand, number=demand.id[-60:], status="awaiting_fulfillment", changed_at=self.world.clock())
        self._say(topics.ORDERS.name, demand.id, event)

    def _lines(self) -> tuple[Line, ...]:
        random = self.random
        skus = random.sample(self.habits.skus, random.randint(1, min(4, len(self.habits.skus))))
        named = [self._warehouses() if random.random() < 0.2 else () for _ in skus]
        return tuple(
            Line(sku=sku, units=random.randint(1, self.habits.most_units), warehouses=names) for sku, names in zip(skus, named, strict=True)
        )

    def _warehouses(self) -> tuple[str, ...]:
        return tuple(self.random.sample(self.habits.warehouses, self.random.randint(1, len(self.habits.warehouses))))

    def _change(self, order: Order, **changes: object) -> bool:
        order.demand = replace(order.demand, version=order.demand.version + 1, **changes)  # type: ignore[arg-type]  # fields of Demand
        self._tell(order.demand)
        return True

    def _some(self, *, fits: str) -> Order | None:
        """An order that a sensible person would do this to; now and then any."""
        if not self.orders:
            return None
        alive = [order for order in self.orders.values() if order.demand.wish not in FINAL and not order.shipped]
        if self.random.random() >= self.habits.wild:
            alive = [order for order in alive if _sensible(fits, order)]
        return self.random.choice(alive) if alive else None

    def _open(self) -> None:
        """What is on hand before the first order."""
        habits_ = self.habits
        for merchant in habits_.merchants:
            for sku in habits_.skus:
                for warehouse in habits_.warehouses:
                    if units := self.random.randint(0, 3 + habits_.rich):
                        self.receive({"merchant": merchant, "sku": sku, "warehouse": warehouse, "bin": "b0", "lot": None}, units)

    def _edit(self) -> bool:
        order = self._some(fits="edit")
        if order is None:
            return False
        random, demand = self.random, order.demand
        dice, lines = random.random(), list(demand.lines)
        at = random.randrange(len(lines))
        wish = Wish.STOCK if demand.wish is not Wish.NOTHING else Wish.NOTHING
        if dice < 0.3:
            lines[at] = replace(lines[at], units=max(1, lines[at].units - 1))
        elif dice < 0.55:
            lines[at] = replace(lines[at], units=lines[at].units + 1)
        if dice < 0.55:
            self._change(order, lines=tuple(lines), wish=wish)
        elif dice < 0.75:
            self._change(order, lines=self._lines(), wish=wish)
        elif dice < 0.83:
            self._change(order, fill=random.choice(self.habits.fills), wish=wish)
        elif dice < 0.92:
            self._change(order, warehouses=self._warehouses(), wish=wish)
        else:
            self._change(order, priority=random.randint(0, 2), wish=wish)
        return True

    def _cancel(self) -> bool:
        order = self._some(fits="cancel")
        return order is not None and self._change(order, wish=Wish.CLOSED)

    def _release(self) -> bool:
        """Deallocate, or allocate again."""
        order = self._some(fits="release")
        return order is not None and self._change(order, wish=Wish.STOCK if order.demand.wish is Wish.NOTHING else Wish.NOTHING)

    def _pick(self) -> bool:
        """Now and then the picker finds less than there should be."""
        order = self._some(fits="pick")
        if order is None:
            return False
        pieces = [(line.sku, piece) for line in order.told.lines for piece in line.pieces] if order.told else []
        if pieces and self.random.random() < 0.4:
            sku, piece = self.random.choice(pieces)
            place = {"warehouse": piece.warehouse, "bin": piece.bin, "lot": piece.lot, "label": piece.label}
            self._change_stock(place | {"merchant": order.demand.merchant, "sku": sku}, -self.random.randint(1, piece.units + 2))
        return self._change(order, wish=Wish.PICKING)

    def _unpick(self) -> bool:
        order = self._some(fits="unpick")
        return order is not None and self._change(order, wish=Wish.STOCK)

    def _ship(self) -> bool:
        order = self._some(fits="ship")
        return order is not None and self._change(order, wish=Wish.CONSUMPTION)

    # ---------------------------------------------------------------- stock

    def _place_of_stock(self) -> dict[str, str | None]:
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
        self._say(topics.INVENTORY.name, sku_key(command.merchant, command.sku), command)

    def _receive(self) -> bool:
        place = self._place_of_stock()
        ends = (
            self.world.at_ms(0).date() + timedelta(days=self.random.randint(-1, 1)) if place["lot"] and self.random.random() < 0.7 else None
        )
        self.receive(place, self.random.randint(1, 2 + self.habits.rich), ends)
        return True

    def receive(self, place: dict[str, str | None], units: int, expires_on: date | None = None) -> None:
        """Goods arrive."""
        self._order_stock(
            ReceiveStock(
                command_id=f"r{len(self.commands)}", units=units, expires_on=expires_on, issued_at=self.world.clock(),
                **place,  # type: ignore[arg-type]  # the keys are its fields
            )
        )  # fmt: skip

    def restock(self) -> None:
        """Goods arrive somewhere, without an end."""
        self.receive(self._place_of_stock() | {"lot": None}, self.random.randint(1, 6))

    def _adjust(self) -> bool:
        self._change_stock(self._place_of_stock(), self.random.choice((-6, -3, -2, -1, -1, 1, 2, 0)))
        return True

    def _change_stock(self, place: dict[str, str | None], change: int) -> None:
        self._order_stock(
            AdjustStock(
                command_id=f"a{len(self.commands)}", change=change, reason=AdjustmentReason.CYCLE_COUNT, issued_at=self.world.clock(),
                **place,  # type: ignore[arg-type]  # the keys are its fields
            )
        )  # fmt: skip

    def _repeat(self) -> bool:
        """The same command once more, much later perhaps."""
        if not self.commands:
            return False
        self._order_stock(self.random.choice(list(self.commands.values()))[0])
        return True

    def _twist(self) -> bool:
        """Other content under a used command id."""
        if not self.commands:
            return False
        command = self.random.choice(list(self.commands.values()))[0]
        if isinstance(command, ReceiveStock):
            self._order_stock(replace(command, units=command.units + 1))
        else:
            self._order_stock(replace(command, change=command.change + 1))
        return True


def _sensible(doing: str, order: Order) -> bool:
    told, wish = order.told, order.demand.wish
    match doing:
        case "edit" | "release":
            return wish in (Wish.STOCK, Wish.NOTHING)
        case "cancel":
            return wish is not Wish.CONSUMPTION
        case "pick":
            return wish is Wish.STOCK and told is not None and order.answered and told.outcome == "allocated"
        case "unpick":
            return wish is Wish.PICKING
        case "ship":
            again = wish is Wish.CONSUMPTION and told is not None and told.refusal is not None
            return again or (wish is Wish.PICKING and told is not None and order.answered and told.picking == "confirmed")
    raise AssertionError(doing)
