"""A demand partition in memory."""

from services.allocator.core.policy import DemandSettings
from services.allocator.demand_side import DemandSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from tests.unit.allocator.memory_partition import MemoryPartition


class DemandPartition(MemoryPartition):
    """See `MemoryPartition`."""

    def __init__(self, settings: DemandSettings, *, forgetful: bool = False) -> None:
        super().__init__("demand", lambda current: DemandSide(MemoryDemandStorage(current), settings), forgetful=forgetful)
