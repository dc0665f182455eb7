"""Both sides of the allocator in memory, in any number of partitions: what is said is decided in batches of any size, in any order that
Kafka could give it, until nothing is left to do; then there is what a reader of the public topics sees."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.allocator.core.policy import DemandSettings, PolicySettings
from services.allocator.core.stock.settings import StockSettings
from shared.partitions.model import Send
from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.events import AllocationChanged, Demand, OrderChanged, StockCommandRefused, StockLevelChanged, StockMoved
from shared.schemas.topics import OUTCOMES, RESERVATIONS
from shared.schemas.values import sku_key
from shared.schemas.wire import partition_of
from tests.unit.allocator.demand_partition import DemandPartition
from tests.unit.allocator.memory_partition import START, MemoryPartition
from tests.unit.allocator.stock_partition import StockPartition

Home = tuple[str, int]
"""A state partition: its side and number."""


class Shape(NamedTuple):
    """What must change nothing that a reader sees: how many partitions there are, what is cached, how many are served at once."""

    stock: int = 2
    demand: int = 2
    forgetful: bool = False
    serve_limit: int = 100
    window_limit: int = 64


class AllocatorInMemory:
    """`picks`: in turn, whose batch is next and how large it is; drawn by whoever wants to see any order. Afterwards it is the first one's
    and as large as can be."""

    def __init__(self, shape: Shape) -> None:
        settings = StockSettings(level_interval_ms=0, serve_limit=shape.serve_limit, window_limit=shape.window_limit)
        policy = DemandSettings(PolicySettings(default_warehouses=("W",)))
        self.now = START
        stock = [StockPartition(settings, forgetful=shape.forgetful) for _ in range(shape.stock)]
        demand = [DemandPartition(policy, forgetful=shape.forgetful) for _ in range(shape.demand)]
        self._sides: dict[str, Sequence[MemoryPartition]] = {"stock": stock, "demand": demand}
        self._waiting: dict[Home, deque[Any]] = {}
        self.told: list[Any] = []

    def say(self, *messages: OrderChanged | ReceiveStock | AdjustStock) -> None:
        """Put messages on the topics where they belong."""
        for message in messages:
            if isinstance(message, OrderChanged):
                self._put("demand", message.demand.id, message)
            else:
                self._put("stock", sku_key(message.merchant, message.sku), message)

    def settle(self, picks: Sequence[int] = ()) -> None:
        """Decide until nothing is left to decide. The clock stands still meanwhile."""
        turns = iter(picks)
        for _ in range(10_000):
            ready = sorted(self._ready())
            if not ready:
                self.now += timedelta(seconds=1)
                return
            turn = next(turns, None)
            home = ready[0] if turn is None else ready[turn % len(ready)]
            self._decide(home, 500 if turn is None else 1 + turn // len(ready) % 3)
        raise AssertionError(f"it does not come to rest: {self._waiting}")

    def _ready(self) -> Iterator[Home]:
        for home, messages in self._waiting.items():
            if messages:
                yield home
        for side, partitions in self._sides.items():
            for number, one in enumerate(partitions):
                one.now = self.now
                if one.batch_is_due() and not self._waiting.get((side, number)):
                    yield side, number

    def _decide(self, home: Home, most: int) -> None:
        side, number = home
        queue, partition = self._waiting.get(home, deque()), self._sides[side][number]
        partition.now = self.now
        sends = partition.decide([queue.popleft() for _ in range(min(most, len(queue)))])
        for send in sends:
            self._route(send)

    def _route(self, send: Send) -> None:
        if send.topic == RESERVATIONS.name:
            self._put("stock", send.key, send.message)
        elif send.topic == OUTCOMES.name:
            self._put("demand", send.key, send.message)
        else:
            self.told.append(send.message)

    def _put(self, side: str, key: str, message: Any) -> None:
        number = partition_of(key, len(self._sides[side]))
        self._waiting.setdefault((side, number), deque()).append(message)

    # ---------------------------------------------------------------- what a reader sees, who keeps the highest version

    def allocations(self) -> dict[str, AllocationChanged]:
        """The newest word of every demand, by its number."""
        newest: dict[str, AllocationChanged] = {}
        for one in self.told:
            if isinstance(one, AllocationChanged):
                name = one.demand.rpartition("/")[2]
                if name not in newest or one.version > newest[name].version:
                    newest[name] = one
        return newest

    def levels(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """On hand, allocated, available by SKU and warehouse."""
        newest: dict[str, StockLevelChanged] = {}
        for one in self.told:
            if isinstance(one, StockLevelChanged) and one.ledger_version >= getattr(newest.get(one.sku), "ledger_version", 0):
                newest[one.sku] = one
        return {
            sku: {level.warehouse: (level.on_hand_units, level.allocated_units, level.available_units) for level in one.warehouses}
            for sku, one in newest.items()
        }

    def answers(self) -> dict[str, str]:
        """What was said of every stock command last: posted, or why it was refused."""
        found = {}
        for one in self.told:
            if isinstance(one, StockMoved) and one.kind != "consume":
                found[one.command_id] = "posted"
            elif isinstance(one, StockCommandRefused):
                found[one.command_id] = one.reason
        return found


def order_of(demand: Demand, now: datetime) -> OrderChanged:
    """The demand as the orders service tells it."""
    return OrderChanged(demand=demand, number=demand.id.rpartition("/")[2], status="awaiting_fulfillment", changed_at=now)
