"""The place where a planted bug enters a simulated installation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.partition import StatePartition

if TYPE_CHECKING:
    from tests.simulation.world import World

Change = tuple[Any, Any, Any]
"""A module, class or table of handlers; the name in it; what stands there instead."""


class Flaw:
    """What a planted bug may replace. This one replaces nothing."""

    partition: type[StatePartition] = StatePartition
    world: "World"

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        """A connection."""
        return MemoryPartitionStore(database)

    def state_partition(self, *arguments: Any) -> StatePartition:
        """A state partition, given what its constructor takes."""
        return self.partition(*arguments)

    def changes(self) -> Sequence[Change]:
        """What stands elsewhere in the product while the simulation runs."""
        return ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The changes, made and taken back."""
        made = [(where, name, _exchange(where, name, other)) for where, name, other in self.changes()]
        try:
            yield
        finally:
            for where, name, before in reversed(made):
                _exchange(where, name, before)


def _exchange(where: Any, name: Any, other: Any) -> Any:
    if isinstance(where, dict):
        before = where[name]
        where[name] = other
        return before
    before = vars(where)[name]
    setattr(where, name, other)
    return before
