"""One process that serves state partitions: follows the group, keeps a worker per partition that is ours, watches their progress."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from shared.kafka import KafkaLogWriter
from shared.partitions.crash import crash_point
from shared.partitions.inspection import Inspector
from shared.partitions.membership import GroupMembership
from shared.partitions.model import PartitionId
from shared.partitions.partition import Limits
from shared.partitions.ports import Side
from shared.partitions.postgres import PostgresPartitionStore
from shared.partitions.reader import LogReader
from shared.partitions.worker import Worker, World

logger = logging.getLogger("earmark.process")

SideMaker = Callable[[asyncpg.Connection, PostgresPartitionStore], Side]
STUCK_SECONDS = 30.0


class PartitionProcess:
    """Run it as one task; cancelling it stops every worker gracefully."""

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        owner: str,
        counts: dict[str, int],
        sides: Mapping[str, tuple[str, SideMaker]],
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        tokens: Callable[[], str],
        limits: Limits,
    ) -> None:
        """`sides`: name to (lead topic, maker of the side over a connection)."""
        self._sides = {name: maker for name, (_, maker) in sides.items()}
        self._writer, self._reader, self._inspector = KafkaLogWriter(bootstrap), LogReader(bootstrap), Inspector(bootstrap)
        self._membership = GroupMembership(bootstrap, group, {name: lead for name, (lead, _) in sides.items()}, self._on_change)
        self._world = World(owner, counts, connect, self._writer, self._reader, self._inspector.check, tokens, limits)
        self.workers: dict[PartitionId, Worker] = {}
        self._tasks: dict[PartitionId, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        reading = asyncio.create_task(self._reader.run())
        following = asyncio.create_task(self._membership.run())
        try:
            await asyncio.gather(reading, following)
        finally:
            crash_point("stopping")
            await self._stop([reading, following])

    async def _stop(self, tasks: list["asyncio.Task[None]"]) -> None:
        for worker in self.workers.values():
            worker.stop()
        running = [*self._tasks.values(), *self._leaving]
        if running:
            await asyncio.wait(running, timeout=15)
        for task in [*tasks, *running]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self._writer.close()
        await self._inspector.close()

    def _on_change(self, side: str, numbers: frozenset[int]) -> None:
        for partition in [one for one in self.workers if one.side == side and one.number not in numbers]:
            self._leave(partition)
        for number in sorted(numbers):
            partition = PartitionId(side, number)
            if partition not in self.workers:
                self._join(partition)

    def _join(self, partition: PartitionId) -> None:
        worker = Worker(partition, self._sides[partition.side], self._world)
        self.workers[partition] = worker
        self._tasks[partition] = asyncio.create_task(worker.run(), name=str(partition))

    def _leave(self, partition: PartitionId) -> None:
        self.workers.pop(partition).stop()
        task = self._tasks.pop(partition)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # ---------------------------------------------------------------- health is progress

    def is_ready(self) -> bool:
        """Whether every partition that is ours has been taken over."""
        return bool(self.workers) and all(worker.is_serving for worker in self.workers.values())

    def troubles(self) -> list[str]:
        """What an operator should know: halted partitions, and those that wait too long beside records."""
        halted = [worker.halted for worker in self.workers.values() if worker.halted]
        stuck = [worker for worker in self.workers.values() if worker.stuck_for() > STUCK_SECONDS]
        return halted + [f"{worker.partition} made no batch for {worker.stuck_for():.0f} s while records wait" for worker in stuck]
