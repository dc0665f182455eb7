"""Pure replay: a partition's logs through a fresh side, in the cuts that the batch rows hold, must give the stored outbox again.

Memory is thrown away between batches at random, so it is shown too that no decision depends on what happened to be cached.
"""

from typing import TYPE_CHECKING

from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, PartitionId
from shared.partitions.partition import StatePartition
from tests.simulation.failed import Failed
from tests.support.replaying import UNLIMITED, difference

if TYPE_CHECKING:
    from tests.simulation.world import World


def replay(world: "World", partition: PartitionId, batches: list[Batch]) -> None:
    """Raises Failed at the first batch that comes out otherwise."""
    coroutine = _replay(world, partition, batches)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("nothing in a replay waits")


async def _replay(world: "World", partition: PartitionId, batches: list[Batch]) -> None:
    time = world.clock()
    database = MemoryDatabase(lambda: time)
    forget = world.random.choice((0.0, 0.2, 1.0))
    state: StatePartition | None = None
    for batch in batches:
        time = batch.logical_time
        if state is None or world.random.random() < forget:
            store = MemoryPartitionStore(database)
            state = StatePartition(partition, world.business.side(partition, store), store, world.counts, lambda: "replay", UNLIMITED)
            await state.take_over("replay")
        for topic, (first, after) in batch.offsets.items():
            state.offer(world.kafka.logs[topic, partition.number].between(first, after))
        if found := difference(partition, batch, await state.serve(), world.checks.committed):
            raise Failed(f"replay gives something else: {found}")
