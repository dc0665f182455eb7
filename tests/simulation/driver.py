"""What an allocator process does for one state partition: take over, read, serve, publish. Around the real `StatePartition`.

Two tasks, as in the product: one decides, one publishes what is committed, in order; deciding a batch overlaps publishing the last.
"""

from collections import deque
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.partitions.crash import crash_point
from shared.partitions.memory import ConnectionLost, MemoryPartitionStore
from shared.partitions.model import OutboxRow, PartitionId
from shared.partitions.partition import StatePartition
from shared.partitions.ports import FenceLost
from tests.simulation.kafka import Log, Producer, ProducerFailed
from tests.simulation.scheduler import Owner, Task, park, pause

if TYPE_CHECKING:
    from tests.simulation.world import World

LOST = (FenceLost, ConnectionLost, ProducerFailed)
"""After any of these nothing in memory may be trusted."""


class Process(Owner):
    """A simulated allocator process. Its ownerships are what it believes to own; the group may know better."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.alive = True
        self.lives = 1
        self.ownerships: list[Ownership] = []
        self.back_at_ms = self.frozen_at_ms = 0


class Ownership:
    """One process and one state partition, from the first claim until it is revoked, however often it has to claim again."""

    def __init__(self, world: "World", process: Process, partition: PartitionId) -> None:
        self.world, self.process, self.partition = world, process, partition
        self.revoked = False
        self.store: MemoryPartitionStore | None = None
        self.failure: BaseException | None = None
        self._queue: deque[Sequence[OutboxRow]] = deque()
        self._publisher: Task | None = None
        self._logs: list[Log] = []
        self.task = self._spawn("decide", self._run())

    def _spawn(self, what: str, coroutine: Coroutine[Any, Any, None]) -> Task:
        name = f"{self.process.name} {self.partition} {what}"
        return self.world.scheduler.spawn(name, self.process, coroutine, self._ended)

    def _ended(self, task: Task, error: BaseException | None) -> None:
        if isinstance(error, LOST) and task is self._publisher:
            self._publisher, self.failure = None, error
            self.world.scheduler.wake(self.task)
            return
        if task is self.task:
            self.cut()
        self.world.task_ended(self, error)

    # ---------------------------------------------------------------- deciding

    async def _run(self) -> None:
        while not self.revoked:
            try:
                await self._own()
            except LOST as error:
                self.world.count(f"met {type(error).__name__}")
                self.let_go()
                await park(self.world.scheduler.now_ms + self.world.random.randint(1, 50))

    async def _own(self) -> None:
        world = self.world
        self.store = world.connect()
        state = world.state_partition(self.partition, self.store)
        unpublished = await state.take_over(f"{self.process.name}.{self.process.lives}")
        self._logs = [world.kafka.logs[topic, self.partition.number] for topic in state.side.inputs]
        for log in self._logs:
            log.readers.add(self.task)
        self._set_clock(world.clock())
        self._publish_later(unpublished)
        self._publisher = self._spawn("publish", self._publish_all(state))
        while not (self.revoked and not self._queue):
            if self.failure is not None:
                raise self.failure
            await self._one_batch(state)
        self.let_go()

    async def _one_batch(self, state: StatePartition) -> None:
        if not self.revoked:
            self._read(state)
        due = state.deadline_is_due(self._clock())
        if self.revoked or not (state.has_records or due):
            await self._rest(state)
            return
        self._publish_later(await state.serve())
        assert state.row is not None
        self._set_clock(state.row.logical_time)
        await pause()

    def _read(self, state: StatePartition) -> None:
        random = self.world.random
        for log in self._logs:
            if state.has_room and random.random() < 0.7:
                state.offer(log.read(state.read_from(log.topic), random.randint(1, self.world.swarm.read_at_once)))

    async def _rest(self, state: StatePartition) -> None:
        if self.revoked or not state.has_room:
            await park()  # the publisher wakes
        elif any(log.end_offset > state.read_from(log.topic) for log in self._logs):
            await pause()
        else:
            await park(self._next_deadline_ms(state))

    def _set_clock(self, now: datetime) -> None:
        """The database's clock, as far as the process knows it."""
        self._clock_read = now, self.world.scheduler.now_ms

    def _clock(self) -> datetime:
        read, at_ms = self._clock_read
        return read + timedelta(milliseconds=self.world.scheduler.now_ms - at_ms)

    def _next_deadline_ms(self, state: StatePartition) -> int | None:
        due = state.side.next_deadline()
        if due is None:
            return None
        return self.world.scheduler.now_ms + max(1, -((self._clock() - due) // timedelta(milliseconds=1)))

    # ---------------------------------------------------------------- publishing

    def _publish_later(self, rows: Sequence[OutboxRow]) -> None:
        if rows:
            self._queue.append(rows)
            if self._publisher is not None:
                self.world.scheduler.wake(self._publisher)

    async def _publish_all(self, state: StatePartition) -> None:
        producer = Producer(self.world.kafka, self.world.faults and self.world.swarm.producer_failure)
        while True:
            if not self._queue:
                await park()
                continue
            rows = self._queue[0]
            await producer.publish(rows)
            crash_point("published")
            state.published_sequence = rows[-1].last_sequence
            self._queue.popleft()
            self.world.scheduler.wake(self.task)

    # ---------------------------------------------------------------- ending

    def let_go(self) -> None:
        """Forget everything: publisher, queue, connection."""
        if self._publisher is not None:
            self.world.scheduler.end(self._publisher)
        self._publisher, self.failure = None, None
        self._queue.clear()
        for log in self._logs:
            log.readers.discard(self.task)
        if self.store is not None:
            self.world.disconnect(self.store)
            self.store = None

    def cut(self) -> None:
        """The end, at once and wherever it stands: the process died, or was told to let go and did not wait."""
        self.let_go()
        self.world.scheduler.end(self.task)
        if self in self.process.ownerships:
            self.process.ownerships.remove(self)
