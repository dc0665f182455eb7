"""A stock partition in memory."""

from collections.abc import Sequence
from datetime import timedelta

from services.allocator.stock_side import StockSettings, StockSide
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.partitions.model import Send
from shared.schemas.commands import StockCommand
from tests.unit.allocator.memory_partition import START, MemoryPartition, answer_of

__all__ = ["START", "StockPartition", "answer_of"]


class StockPartition(MemoryPartition):
    """See `MemoryPartition`."""

    def __init__(self, settings: StockSettings | None = None, *, forgetful: bool = False) -> None:
        chosen = settings or StockSettings(level_interval_ms=0)
        super().__init__("stock", lambda current: StockSide(MemoryStockStorage(current), chosen), forgetful=forgetful)

    def batch(self, commands: Sequence[StockCommand] = (), seconds: float = 1) -> list[Send]:
        """One batch, so many seconds after the last."""
        self.now += timedelta(seconds=seconds)
        return self.decide(commands)
