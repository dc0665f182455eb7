"""The allocator as the business of a simulated installation: the real sides over memory, the outside world, and the checks."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from services.allocator.core.policy import DemandSettings, PolicySettings, Timing
from services.allocator.core.stock.settings import StockSettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import InputRecord, PartitionId
from shared.partitions.ports import Side
from shared.schemas import wire
from shared.schemas.topics import ALLOCATIONS
from tests.simulation.demand_checks import DemandChecks
from tests.simulation.habits import habits
from tests.simulation.published_checks import PublishedChecks
from tests.simulation.shop import Shop
from tests.simulation.sides import KnownMessages, demand_side, stock_side
from tests.simulation.stock_checks import StockChecks

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS_OF_A_BATCH = 12
MONTH_PASSED = "month passed at rest"
MONTH, ROUND_DAYS = timedelta(days=30), 25
"""Both later than anything that an attempt waits for: see `REST_MS`."""
MONTH_MS = (MONTH + timedelta(days=1)) // timedelta(milliseconds=1)
INPUTS: dict[str, tuple[str, ...]] = {"stock": StockSide.inputs, "demand": DemandSide.inputs}


class AllocatorBusiness:
    """See `Business`."""

    def __init__(self, world: "World") -> None:
        self.world = world
        random = world.random
        self.shop = Shop(world, habits(random))
        one_of, batch_seconds = random.choice, STEPS_OF_A_BATCH * world.step_ms / 1_000
        self._keep = one_of((timedelta(seconds=batch_seconds * one_of((30, 100, 300))), MONTH))
        self.stock_settings = StockSettings(
            serve_limit=one_of((1, 2, 5, 100)),
            window_limit=one_of((1, 2, 4, 64)),
            baton_seconds=batch_seconds * one_of((20, 60, 200, 2_000)),
            level_interval_ms=one_of((0, 50, 250, 2_000)),
            levels_slice=one_of((1, 2, 500)),
            cache_rows=one_of((0, 3, 30, 200_000)),
            doubted_commands=one_of((0, 10, 2_000)),
            round_hours=ROUND_DAYS * 24,
            round_slice=one_of((1, 2, 100)),
            round_pause_seconds=batch_seconds * one_of((0, 5)),
            keep=self._keep,
        )
        self.demand_settings = DemandSettings(
            policy=PolicySettings(default_warehouses=self.shop.habits.warehouses),
            timing=Timing(
                attempt=timedelta(seconds=batch_seconds * one_of((1, 5, 20, 60, 200, 2_000))),
                pause=timedelta(seconds=batch_seconds * one_of((5, 30, 100))),
            ),
            cached_lines=one_of((0, 3, 20_000)),
            keep=self._keep,
            forget_at_once=one_of((1, 3, 200)),
            forget_beside=one_of((1, 5)),
        )
        self._restocks = random.randint(0, 3)
        self._month_passes = random.random() < 0.5
        self._messages = KnownMessages()
        self.stock = StockChecks(world, self.shop, self._messages.said_by)
        self.demand = DemandChecks(world, self.shop, self.stock)
        self.published = PublishedChecks(world, self.shop, self.stock, timedelta(milliseconds=self.stock_settings.level_interval_ms))

    def inputs(self, partition: PartitionId) -> tuple[str, ...]:
        """See `Business`."""
        return INPUTS[partition.side]

    def keep(self) -> timedelta:
        """See `Business`."""
        return self._keep

    def step_bound(self) -> int:
        """See `Business`."""
        return 60_000

    def side(self, partition: PartitionId, store: MemoryPartitionStore) -> Side:
        """See `Business`."""
        if partition.side == "stock":
            return stock_side(store, self.stock_settings, self._messages)
        return demand_side(store, self.demand_settings, self._messages)

    def input(self) -> bool:
        """See `Business`."""
        return self.shop.act()

    def deliver(self, *, faults: bool) -> bool:
        """See `Business`."""
        return self.shop.post.deliver(faults=faults)

    def appended(self, record: InputRecord) -> None:
        """The owner of an order reads what the allocator tells of it."""
        if record.topic == ALLOCATIONS.name:
            for message in wire.decode(record.value, wire.type_header(record.headers), {"allocation_changed"}):
                self.shop.hear(message)

    def check_committed(self, staged: Any) -> None:
        """See `Business`."""
        self.stock.applied(staged)

    def check_quiet(self) -> None:
        """See `Business`."""
        self.stock.quiet()
        self.demand.quiet()
        self.published.quiet()

    def disturb_quiet(self) -> bool:
        """See `Business`."""
        self._restocks -= 1
        if self._restocks >= 0:
            self.shop.goods.restock()
        elif self._month_passes:
            self._month_passes = False
            self._let_a_month_pass()
        else:
            return False
        return True

    def _let_a_month_pass(self) -> None:
        """Everything that ended is forgotten, and every level is told once more."""
        self.published.every_level_since = self.world.clock()
        self.demand.ended_before = self.world.clock()
        self.world.scheduler.advance(MONTH_MS)
        self.world.count("event", MONTH_PASSED)
