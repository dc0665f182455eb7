"""One process that serves state partitions: follows the group, keeps a worker per partition that is ours, watches their progress."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import asyncpg
from aiokafka.errors import KafkaError

from shared.database import CodeTooOld
from shared.kafka import SESSION_MS, KafkaUnreachable, WorldChanged
from shared.log_writer import KafkaLogWriter
from shared.partitions.ahead import OutputTails
from shared.partitions.crash import crash_point
from shared.partitions.inspection import Inspector
from shared.partitions.lag import LagReport
from shared.partitions.link import Link
from shared.partitions.membership import GroupMembership
from shared.partitions.model import PartitionId
from shared.partitions.partition import Limits
from shared.partitions.ports import Side
from shared.partitions.reader import LogReader
from shared.partitions.turns import Turns
from shared.partitions.worker import STORE_ERRORS, Worker, World, ended
from shared.schemas.topics import RETENTION_DAYS

logger = logging.getLogger("earmark.process")

SideMaker = Callable[[Link], Side]
STUCK_SECONDS = 30.0
WORLD_CHECK_SECONDS = 15.0
PAUSE_SECONDS = 1.0


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
        check_world: Callable[[], Awaitable[None]],
        world_check_seconds: float = WORLD_CHECK_SECONDS,
        session_ms: int = SESSION_MS,
        keep: timedelta = timedelta(days=RETENTION_DAYS),
    ) -> None:
        """`sides`: name to (lead topic, maker of the side over a link to the database). `check_world` raises WorldChanged or CodeTooOld.
        `keep`: how long history is kept."""
        self._sides = {name: maker for name, (_, maker) in sides.items()}
        self._counts = {name: counts[lead] for name, (lead, _) in sides.items()}
        self._check_world, self._world_check_seconds = check_world, world_check_seconds
        self._doubt = asyncio.Event()
        self._writer, self._reader, self._inspector = KafkaLogWriter(bootstrap), LogReader(bootstrap, self._doubt.set), Inspector(bootstrap)
        leads = {name: lead for name, (lead, _) in sides.items()}
        self._lag = LagReport(bootstrap, group, self._reached)
        self._membership = GroupMembership(bootstrap, group, leads, self._on_change, session_ms)
        tails = OutputTails(bootstrap, counts)
        self._world = World(
            owner,
            counts,
            connect,
            self._writer,
            self._reader,
            self._inspector.check,
            tails,
            self._halt,
            tokens,
            limits,
            keep,
            Turns(connect),
        )
        self.halted: str | None = None
        self.workers: dict[PartitionId, Worker] = {}
        self._tasks: dict[PartitionId, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        reading = asyncio.create_task(self._reader.run())
        following = asyncio.create_task(self._membership.run())
        watching = asyncio.create_task(self._watch_world())
        reporting = asyncio.create_task(self._lag.run())
        try:
            await asyncio.gather(reading, following, watching, reporting)
        finally:
            crash_point("stopping")
            await self._stop([watching, reading, following, reporting])

    async def _stop(self, tasks: list["asyncio.Task[None]"]) -> None:
        for worker in self.workers.values():
            worker.stop()
        running = [*self._tasks.values(), *self._leaving]
        if running:
            await asyncio.wait(running, timeout=15)
        for task in [*tasks, *running]:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await ended(task)
        await self._world.turns.close()
        await self._writer.close()
        await self._inspector.close()
        await self._lag.close()

    # ---------------------------------------------------------------- the world

    async def _watch_world(self) -> None:
        """Look from time to time, and at once after a doubt. Servers that are away have not changed."""
        while self.halted is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._world_check_seconds):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                await self._look_at_world()
            except (WorldChanged, CodeTooOld) as changed:
                self._halt(str(changed))
            except (KafkaUnreachable, KafkaError, *STORE_ERRORS) as error:
                logger.info("the world could not be looked at (%s: %s)", type(error).__name__, error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look_at_world(self) -> None:
        await self._check_world()
        for worker in list(self.workers.values()):
            await worker.look_at_log()

    def _halt(self, reason: str) -> None:
        """Everything stops: one topic that was made anew is rarely the only one, and nothing may be decided on half of a world."""
        if self.halted is None:
            self.halted = reason
            logger.error("everything stops: %s", reason)
            for worker in self.workers.values():
                worker.halt(reason)

    # ---------------------------------------------------------------- whose partitions

    def _on_change(self, side: str, numbers: frozenset[int]) -> None:
        if unknown := [number for number in numbers if number >= self._counts[side]]:
            logger.error("assigned %s partitions %s, which the data model does not have", side, unknown)
            self._doubt.set()
            numbers -= set(unknown)
        if self.halted is not None:
            return
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
        worker = self.workers.pop(partition)
        worker.meter.hide()
        worker.stop()
        task = self._tasks.pop(partition)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def numbers(self, side: str) -> list[int]:
        """The state partitions of a side that the group gave us."""
        return [partition.number for partition in self.workers if partition.side == side]

    def _reached(self) -> dict[PartitionId, dict[str, int]]:
        """Nothing in a world that has changed: not even for display is anything written there."""
        return {} if self.halted is not None else {partition: worker.reached() for partition, worker in self.workers.items()}

    # ---------------------------------------------------------------- health is progress

    def is_ready(self) -> bool:
        """Whether every partition that is ours has been taken over."""
        return bool(self.workers) and all(worker.is_serving for worker in self.workers.values())

    def troubles(self) -> list[str]:
        """What an operator should know: why everything or a partition halted, and which partitions wait too long beside records."""
        if self.halted is not None:
            return [self.halted]
        halted = [worker.halted for worker in self.workers.values() if worker.halted]
        stuck = [worker for worker in self.workers.values() if worker.stuck_for() > STUCK_SECONDS]
        silent = [worker for worker in self.workers.values() if worker.unpublished_for() > STUCK_SECONDS]
        return [
            *halted,
            *(f"{worker.partition} made no batch for {worker.stuck_for():.0f} s while records wait" for worker in stuck),
            *(f"{worker.partition} could not publish for {worker.unpublished_for():.0f} s what it has committed" for worker in silent),
        ]
