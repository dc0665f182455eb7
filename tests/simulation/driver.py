"""What an allocator process does for one state partition: take over, read, serve, publish. Around the real `StatePartition`.

Three tasks, as in the product's worker: one reads, one decides, one publishes what is committed, in order; all three overlap.
"""

from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.partitions.crash import crash_point
from shared.partitions.joint import JointBatchLost
from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import OutboxRow, PartitionId
from shared.partitions.partition import StatePartition
from tests.simulation.kafka import Log, Producer, ProducerFailed
from tests.simulation.scheduler import Owner, Task, park, pause
from tests.simulation.turns import LOST, Turns

if TYPE_CHECKING:
    from tests.simulation.world import World

ALONE_BATCHES = 3
"""At most so many batches are made alone after one with others was lost."""


class Process(Owner):
    """A simulated allocator process. Its ownerships are what it believes to own; the group may know better."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(name)
        self.turns = Turns(world, self)
        self.alive = True
        self.lives = 1
        self.ownerships: list[Ownership] = []
        self.back_at_ms = self.idle_until_ms = 0


class Ownership:
    """One process and one state partition, from the first claim until it is revoked, however often it has to claim again."""

    def __init__(self, world: "World", process: Process, partition: PartitionId) -> None:
        self.world, self.process, self.partition = world, process, partition
        self.revoked = False
        self._alone = 0
        self.store: MemoryPartitionStore | None = None
        self._queue: deque[OutboxRow] = deque()
        self._reader: Task | None = None
        self._publisher: Task | None = None
        self._logs: list[Log] = []
        self.task = self._spawn("decide", self._run())

    def _spawn(self, what: str, coroutine: Coroutine[Any, Any, None]) -> Task:
        name = f"{self.process.name} {self.partition} {what}"
        return self.world.scheduler.spawn(name, self.process, coroutine, self._ended)

    def _ended(self, task: Task, error: BaseException | None) -> None:
        if task is self.task:
            self.cut()
        self.world.group.task_ended(self.process, error)

    def _wake(self, task: Task | None) -> None:
        if task is not None:
            self.world.scheduler.wake(task)

    # ---------------------------------------------------------------- deciding

    async def _run(self) -> None:
        while not self.revoked:
            try:
                await self._own()
            except LOST as error:
                self.world.count("event", f"met {type(error).__name__}")
                self.let_go()
                await self._before_claiming(error)

    async def _before_claiming(self, error: Exception) -> None:
        """Who lost a batch with others claims again at once, and goes alone for a while."""
        if isinstance(error, JointBatchLost):
            self._alone = self.world.random.randint(0, ALONE_BATCHES)
            await pause()
        else:
            await park(self.world.scheduler.now_ms + self.world.random.randint(1, 50))

    async def _own(self) -> None:
        world = self.world
        store = self.store = world.connect()
        state = world.state_partition(self.partition, store)
        self._queue.extend(await state.take_over(f"{self.process.name}.{self.process.lives}"))
        self._set_clock(world.clock())
        self._publisher = self._spawn("publish", self._publish(state))
        self._reader = self._spawn("read", self._read(state))
        self._logs = [world.kafka.logs[topic, self.partition.number] for topic in state.side.inputs]
        for log in self._logs:
            log.readers.add(self._reader)
        while not self.revoked:
            await self._one_batch(state, store)
        while self._queue:
            await park()  # the publisher wakes
        self.let_go()

    async def _one_batch(self, state: StatePartition, store: MemoryPartitionStore) -> None:
        if not (state.has_records or state.deadline_is_due(self._clock())):
            await park(self._next_deadline_ms(state))
            return
        self._queue.extend(await (state.serve() if self._alone else self.process.turns.batch(state, store)))
        self._alone = max(0, self._alone - 1)
        assert state.row is not None
        self._set_clock(state.row.logical_time)
        self._wake(self._publisher)
        self._wake(self._reader)
        if self.world.random.random() < self.world.swarm.housekeeping:
            await store.note_published(state.row.epoch, state.published_sequence)
            await store.forget_published()
            await store.forget_history(state.row.epoch, self.world.business.keep(), self.world.random.randint(1, 20))
        await pause()

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

    # ---------------------------------------------------------------- reading

    async def _read(self, state: StatePartition) -> None:
        random = self.world.random
        while True:
            behind = [log for log in self._logs if log.end_offset > state.read_from(log.topic)]
            if not behind or not state.has_room:
                await park()  # an append wakes, or room
                continue
            log = random.choice(behind)
            state.offer(log.read(state.read_from(log.topic), random.randint(1, self.world.swarm.read_at_once)))
            self._wake(self.task)
            await pause()

    # ---------------------------------------------------------------- publishing

    async def _publish(self, state: StatePartition) -> None:
        producer = Producer(self.world.kafka, self.world.swarm.producer_failure)
        while True:
            if not self._queue:
                await park()
                continue
            rows = [self._queue[index] for index in range(min(len(self._queue), self.world.swarm.publish_rows))]
            try:
                await producer.publish(rows, fails=self.world.faults)
            except ProducerFailed:
                self.world.count("fault", "producer gave up")
                await park(self.world.scheduler.now_ms + 10)
                continue
            crash_point("published")
            for row in rows:
                self._queue.popleft()
                state.published_sequence = max(state.published_sequence, row.last_sequence)
            self._wake(self.task)
            self._wake(self._reader)

    # ---------------------------------------------------------------- ending

    def let_go(self) -> None:
        """Forget everything: reader, publisher, queue, connection."""
        for log in self._logs:
            log.readers.discard(self._reader)
        for task in (self._reader, self._publisher):
            if task is not None:
                self.world.scheduler.end(task)
        self._reader = self._publisher = None
        self._queue.clear()
        if self.store is not None:
            self.world.disconnect(self.store)
            self.store = None

    def lose_session(self) -> None:
        """The server ends the session of a client that idles in a transaction."""
        if self.store is not None:
            self.world.end_session(self.store.connection)

    def cut(self) -> None:
        """The end, at once and wherever it stands: the process died, or was told to let go and did not wait."""
        self.let_go()
        self.world.scheduler.end(self.task)
        if self in self.process.ownerships:
            self.process.ownerships.remove(self)
