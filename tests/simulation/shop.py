"""Those who place, edit, cancel, pick and ship orders, as far as the allocator's answers let sensible people."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.schemas import topics
from shared.schemas.events import AllocationChanged, AllocationRunChanged, Demand, OrderChanged
from shared.schemas.values import DemandKind, Line, Strategy, Wish, demand_id
from tests.simulation.goods import Goods
from tests.simulation.habits import Habits
from tests.simulation.post import Post

if TYPE_CHECKING:
    from tests.simulation.world import World


ANCIENT, FAR = datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, tzinfo=UTC)


@dataclass(slots=True)
class Order:
    """An order as its owner sees it: the newest version that was sent, and the allocator's newest word."""

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


class Shop:
    """All orders, and everybody who does something."""

    def __init__(self, world: "World", habits: Habits) -> None:
        self.world, self.random, self.habits = world, world.random, habits
        self.post = Post(world)
        self.goods = Goods(self.post, habits)
        self.orders: dict[str, Order] = {}
        self.forgotten: set[str] = set()
        self._acts = 0
        self._doings = {
            "edit": self._edit, "cancel": self._cancel, "release": self._release, "pick": self._pick, "unpick": self._unpick,
            "ship": self._ship, "receive": self.goods.receive, "adjust": self.goods.adjust, "repeat": self.goods.repeat,
            "twist": self.goods.twist,
        }  # fmt: skip

    def hear(self, event: AllocationChanged) -> None:
        """The allocator tells; the newest version counts."""
        order = self.orders[event.demand]
        if order.told is None or event.version > order.told.version:
            order.told = event

    def forget(self, demand: str) -> None:
        """The allocator knows nothing of it any more. It ended long ago, and nobody speaks of it any more: that is the window."""
        self.forgotten.add(demand)
        self.post.silence(demand)

    # ---------------------------------------------------------------- doing

    def act(self) -> bool:
        """Somebody does something. False when it was the last thing."""
        self._acts += 1
        if self._acts == 1:
            self.goods.open()
        if len(self.orders) < self.habits.orders and (self._acts < 3 or self.random.random() < 0.5):
            self._place()
            self.world.count("doing", "order")
        else:
            for _ in range(5):
                what = self.random.choices(list(self.habits.weights), [weight + 1e-9 for weight in self.habits.weights.values()])[0]
                if self._doings[what]():
                    self.world.count("doing", what)
                    break
        return len(self.orders) < self.habits.orders or self._acts < self.habits.orders + self.habits.doings

    def _place(self) -> None:
        random, habits_ = self.random, self.habits
        merchant = random.choice(habits_.merchants)
        name = demand_id(DemandKind.SALES_ORDER, merchant, f"O{len(self.orders)}")
        demand = Demand(
            id=name, merchant=merchant, version=1, wish=Wish.STOCK, lines=self._lines(), fill=random.choice(habits_.fills),
            strategy=random.choice((None, *Strategy)), priority=random.randint(0, 2), warehouses=self._warehouses(),
            demanded_at=random.choices((self.world.at_ms(random.randint(0, 5)), ANCIENT, FAR), (96, 2, 2))[0],
        )  # fmt: skip
        self.orders[name] = Order(demand)
        self._tell(demand)

    def _tell(self, demand: Demand) -> None:
        if self.random.random() < 0.02:
            run = AllocationRunChanged(
                merchant=demand.merchant, run="R1", version=demand.version, action="allocate", total=9, ended=0, refused=0,
                changed_at=self.world.clock(),
            )  # fmt: skip
            self.post.say(topics.ORDERS.name, demand.id, run)
        event = OrderChanged(demand=demand, number=demand.id[-60:], status="awaiting_fulfillment", changed_at=self.world.clock())
        self.post.say(topics.ORDERS.name, demand.id, event)

    def _lines(self) -> tuple[Line, ...]:
        random = self.random
        skus = random.sample(self.habits.skus, random.randint(1, min(4, len(self.habits.skus))))
        named = [self._warehouses() if random.random() < 0.2 else () for _ in skus]
        if random.random() < 0.05:
            skus.append(skus[0])
            named.append(named[0])
        return tuple(
            Line(sku=sku, units=random.randint(1, self.habits.most_units), warehouses=names) for sku, names in zip(skus, named, strict=True)
        )

    def _warehouses(self) -> tuple[str, ...]:
        names = self.random.sample(self.habits.warehouses, self.random.randint(1, len(self.habits.warehouses)))
        return (*names, names[0]) if self.random.random() < 0.03 else tuple(names)

    def _change(self, order: Order, **changes: object) -> bool:
        order.demand = order.demand.but(version=order.demand.version + 1, **changes)
        self._tell(order.demand)
        return True

    def _some(self, *, fits: str) -> Order | None:
        """An order that a sensible person would do this to; now and then any."""
        if not self.orders:
            return None
        alive = [order for order in self.orders.values() if order.demand.wish is not Wish.CLOSED and not order.shipped]
        if self.random.random() >= self.habits.wild:
            alive = [order for order in alive if _sensible(fits, order)]
        return self.random.choice(alive) if alive else None

    def _edit(self) -> bool:
        order = self._some(fits="edit")
        if order is None:
            return False
        random, demand = self.random, order.demand
        dice, lines = random.random(), list(demand.lines)
        at = random.randrange(len(lines))
        wish = Wish.STOCK if demand.wish is not Wish.NOTHING else Wish.NOTHING
        if dice < 0.3:
            lines[at] = lines[at].but(units=max(1, lines[at].units - 1))
        elif dice < 0.55:
            lines[at] = lines[at].but(units=lines[at].units + 1)
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
            self.goods.change(place | {"merchant": order.demand.merchant, "sku": sku}, -self.random.randint(1, piece.units + 2))
        return self._change(order, wish=Wish.PICKING)

    def _unpick(self) -> bool:
        order = self._some(fits="unpick")
        return order is not None and self._change(order, wish=Wish.STOCK)

    def _ship(self) -> bool:
        order = self._some(fits="ship")
        return order is not None and self._change(order, wish=Wish.CONSUMPTION)


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
