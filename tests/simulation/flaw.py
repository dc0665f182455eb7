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
    """What a planted bug may replace. This one replaces nothing. A bug's docstring is its sentence in docs/planted-bugs.md.

    `business`: where it is looked for. `changes`: what stands elsewhere in the product while the simulation runs.
    """

    business = "toy"
    partition: type[StatePartition] = StatePartition
    changes: Sequence[Change] = ()
    world: "World"

    def store(self, database: MemoryDatabase) -> MemoryPartitionStore:
        """A connection."""
        return MemoryPartitionStore(database)

    def state_partition(self, *arguments: Any) -> StatePartition:
        """A state partition, given what its constructor takes."""
        return self.partition(*arguments)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The changes, made and taken back."""
        made = [(where, name, _exchange(where, name, other)) for where, name, other in self.changes]
        try:
            yield
        finally:
            for where, name, before in reversed(made):
                _exchange(where, name, before)


def flaw(name: str, sentence: str, *changes: Change) -> type[Flaw]:
    """A planted bug of the allocator that consists of changes only."""
    return type(name, (Flaw,), {"__doc__": sentence, "business": "allocator", "changes": changes})


def nothing(*_: Any, **__: Any) -> None:
    """Does not do it."""


def _exchange(where: Any, name: Any, other: Any) -> Any:
    if isinstance(where, dict):
        before = where[name]
        where[name] = other
        return before
    before = vars(where)[name]
    setattr(where, name, other)
    return before
