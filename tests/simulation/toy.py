"""A business small enough to see through, whose effects are not idempotent: it proves scheduler, engine and engine checks.

Orders ask for units, the demand side tells the stock side to move them, the stock side moves them and answers. Neither remembers ids or
attempts, so that a command that is lost or done twice, which the real cores would bear, shows in the sums.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import InputRecord, PartitionId, Send
from shared.partitions.ports import Side
from shared.schemas import topics, wire
from shared.schemas.commands import ReceiveStock, ReserveLine
from shared.schemas.events import Outcome
from shared.schemas.values import Fill, sku_key
from shared.schemas.wire import Envelope
from tests.simulation.failed import Failed
from tests.simulation.world import World

MERCHANT = "acme"
INPUTS = {"stock": (topics.INVENTORY.name, topics.RESERVATIONS.name), "demand": (topics.ORDERS.name, topics.OUTCOMES.name)}


class ToySide:
    """Sums per key; every message adds to them and is passed on. `demand` doubles as the orders' side."""

    def __init__(self, name: str, store: MemoryPartitionStore) -> None:
        self.name, self._store = name, store
        self.inputs: tuple[str, ...] = INPUTS[name]
        self.rules_hash = "adds up"
        self._cache: dict[str, int] = {}
        self._changed: set[str] = set()

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        """Any message of its topics."""
        return wire.decode(record.value, wire.header_map(record.headers), {"receive_stock", "reservations.pack", "outcomes.pack"})

    async def resume(self, partition: PartitionId) -> None:
        """Nothing is cached over a claim."""
        self._cache.clear()
        self._changed.clear()

    def next_deadline(self) -> datetime | None:
        """It has none."""
        return None

    async def decide(self, messages: Sequence[Any], now: datetime) -> list[Send]:
        """Add up and pass on."""
        self._changed.clear()
        sends: list[Send] = []
        for message in messages:
            sends += self._one(message, now)
        return sends

    def _one(self, message: Any, now: datetime) -> list[Send]:
        match message:
            case ReceiveStock() if self.name == "demand":
                self._add(f"asked {message.sku}", message.units)
                reserve = ReserveLine(
                    demand=f"sales-order/{MERCHANT}/{message.bin}", merchant=MERCHANT, sku=message.sku, attempt=1, units=message.units,
                    fill=Fill.PARTIAL, warehouses=("main",), priority=0, demanded_at=now,
                )  # fmt: skip
                return [Send(topics.RESERVATIONS.name, sku_key(MERCHANT, message.sku), reserve)]
            case ReserveLine():
                before = self._add(f"moved {message.sku}", message.units)
                outcome = Outcome(
                    demand=message.demand, merchant=MERCHANT, sku=message.sku, attempt=1, version=before + 1, reserved_units=message.units
                )
                return [Send(topics.OUTCOMES.name, message.demand, outcome)]
            case Outcome():
                self._add(f"answered {message.sku}", message.reserved_units)
            case _:
                self._add(f"received {message.sku}", message.units)
        return []

    def _add(self, key: str, units: int) -> int:
        before = self._cache[key] if key in self._cache else self._store.current().get("sum", (self._store.partition, key)) or 0
        self._cache[key] = before + units
        self._changed.add(key)
        return int(before)

    async def save(self) -> None:
        """Write the sums that changed."""
        for key in sorted(self._changed):
            self._store.current().put("sum", (self._store.partition, key), self._cache[key])


class ToyBusiness:
    """Somebody asks for units and receives some; at rest every sum agrees with what was asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left = world.random.randint(5, 60)
        self._skus = [f"S{number}" for number in range(world.random.randint(1, 4))]
        self._ids = 0
        self._keep = timedelta(seconds=world.random.choice((0, 1, 3_600)))
        self.asked: dict[str, int] = dict.fromkeys(self._skus, 0)
        self.received: dict[str, int] = dict.fromkeys(self._skus, 0)

    def inputs(self, partition: PartitionId) -> tuple[str, ...]:
        """See `Business`."""
        return INPUTS[partition.side]

    def keep(self) -> timedelta:
        """See `Business`."""
        return self._keep

    def step_bound(self) -> int:
        """See `Business`."""
        return 100_000

    def side(self, partition: PartitionId, store: MemoryPartitionStore) -> Side:
        """See `Business`."""
        return ToySide(partition.side, store)

    def input(self) -> bool:
        """Ask or receive."""
        random = self._world.random
        sku, units, ask = random.choice(self._skus), random.randint(1, 9), random.random() < 0.7
        sums, topic = (self.asked, topics.ORDERS.name) if ask else (self.received, topics.INVENTORY.name)
        sums[sku] += units
        self._ids += 1
        name = f"o{self._ids}"
        message = ReceiveStock(
            command_id=name, merchant=MERCHANT, sku=sku, warehouse="main", bin=name, units=units, issued_at=self._world.at_ms(0)
        )
        key = sku_key(MERCHANT, sku)
        record = wire.encode(
            message, key=key, envelope=Envelope("outside", self._ids), time=self._world.at_ms(self._world.scheduler.now_ms)
        )
        self._world.kafka.append((topic, wire.partition_of(key, self._world.counts[topic])), record)
        self._left -= 1
        return self._left > 0

    def deliver(self, *, faults: bool) -> bool:
        """Nothing is ever on its way."""
        return False

    def appended(self, record: InputRecord) -> None:
        """Nobody listens."""

    def check_committed(self, staged: object) -> None:
        """Sums are checked at rest."""

    def disturb_quiet(self) -> bool:
        """Once is enough."""
        return False

    def check_quiet(self) -> None:
        """What was asked was moved once and answered once."""
        for sku in self._skus:
            asked, received = self.asked[sku], self.received[sku]
            found = {what: self._sum(f"{what} {sku}") for what in ("asked", "moved", "answered", "received")}
            if found != {"asked": asked, "moved": asked, "answered": asked, "received": received}:
                raise Failed(f"sums: {sku} asked {asked} received {received}, found {found}")

    def _sum(self, key: str) -> int:
        return sum(value for (_, name), value in self._world.database.table("sum").items() if name == key)
