"""The allocator's real sides over memory, as the simulation runs them: every statement a seam, every record decoded once."""

from collections.abc import Callable
from typing import Any, cast

from services.allocator.core.demand.fold import Trace
from services.allocator.core.policy import DemandSettings
from services.allocator.core.stock.settings import StockSettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from services.allocator.store.demand_ports import DemandStorage
from services.allocator.store.stock_memory import MemoryStockStorage
from services.allocator.store.stock_ports import StockStorage
from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import InputRecord


class Seams:
    """A storage whose every statement is a seam: a crash, a lost connection, another process may come before it."""

    def __init__(self, storage: object, store: MemoryPartitionStore) -> None:
        self._storage, self._store = storage, store

    def __getattr__(self, name: str) -> Any:  # stands for every method of the storage, whatever it takes
        method, store = getattr(self._storage, name), self._store

        async def at_a_seam(*arguments: Any) -> Any:
            await store.seam()
            return await method(*arguments)

        setattr(self, name, at_a_seam)  # so that it is made once
        return at_a_seam


class KnownMessages:
    """What records say, decoded once: every take-over and the replay read the same bytes again, and messages never change."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], tuple[Any, ...]] = {}

    def of(self, record: InputRecord, decode: Callable[[InputRecord], tuple[Any, ...]]) -> tuple[Any, ...]:
        """The messages of a record; what raises is asked again."""
        where = record.topic, record.partition, record.offset
        found = self._known.get(where)
        if found is None:
            found = self._known[where] = decode(record)
        return found

    def said_by(self, record: InputRecord) -> list[Any]:
        """The messages of a record that a side has decoded, without the traces that it belongs to; none of one that it could not read."""
        found = self._known.get((record.topic, record.partition, record.offset), ())
        return [message for message in found if not isinstance(message, Trace)]


def stock_side(store: MemoryPartitionStore, settings: StockSettings, messages: KnownMessages) -> StockSide:
    """The real one, over a connection."""
    return _StockSide(cast(StockStorage, Seams(MemoryStockStorage(store.current), store)), settings, messages)


def demand_side(store: MemoryPartitionStore, settings: DemandSettings, messages: KnownMessages) -> DemandSide:
    """The real one, over a connection."""
    return _DemandSide(cast(DemandStorage, Seams(MemoryDemandStorage(store.current), store)), settings, messages)


class _StockSide(StockSide):
    def __init__(self, storage: StockStorage, settings: StockSettings, messages: KnownMessages) -> None:
        super().__init__(storage, settings)
        self._messages = messages

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        return self._messages.of(record, super().decode)


class _DemandSide(DemandSide):
    def __init__(self, storage: DemandStorage, settings: DemandSettings, messages: KnownMessages) -> None:
        super().__init__(storage, settings)
        self._messages = messages

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        return self._messages.of(record, super().decode)
