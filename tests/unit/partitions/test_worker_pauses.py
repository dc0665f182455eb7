"""How long a worker waits before it claims again."""

from typing import Any

import asyncpg

from shared.partitions.joint import JointBatchLost
from shared.partitions.link import Link
from shared.partitions.model import PartitionId
from shared.partitions.ports import Side, WasKnown
from shared.partitions.worker import Worker


class Failing(Worker):
    """Fails as told, and writes down how long it would wait; then it stops."""

    def __init__(self, *errors: Exception) -> None:
        world: Any = None  # nothing is asked of it before the partition is owned
        super().__init__(PartitionId("stock", 0), _no_side, world)
        self._errors = list(errors)
        self.pauses: list[float] = []

    async def _own(self) -> None:
        raise self._errors.pop(0)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if not self._errors:
            self.stop()


def _no_side(_: Link) -> Side:
    raise AssertionError("nothing is owned")


async def test_pauses_grow_while_the_database_is_away_also_where_that_began_with_a_lost_joint_batch() -> None:
    worker = Failing(JointBatchLost(), *[OSError() for _ in range(3)])
    await worker.run()
    assert 0 < worker.pauses[0] < worker.pauses[-1]


async def test_what_turned_out_to_be_known_is_claimed_again_and_no_halt_also_while_a_culprit_is_sought() -> None:
    worker = Failing(asyncpg.DataError(), WasKnown(), WasKnown())
    await worker.run()
    assert len(worker.pauses) == 3
    assert worker.halted is None
