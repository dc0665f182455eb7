"""A simulated installation: Kafka, Postgres, a consumer group and some allocator processes, all driven by one seed.

Knows no business: a `Business` brings the sides, the inputs and its own checks. A run is a time of faults, a drain without faults, checks
of the quiet system, and a replay of the logs.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any

from shared.partitions import crash
from shared.partitions.memory import ConnectionLost, MemoryConnection, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import InputRecord, PartitionId
from shared.partitions.partition import StatePartition
from shared.schemas.topics import TOPICS
from tests.simulation.business import Business, Tally
from tests.simulation.engine_checks import EngineChecks
from tests.simulation.failed import Failed
from tests.simulation.flaw import Flaw
from tests.simulation.group import Group, ProcessDied
from tests.simulation.kafka import Kafka
from tests.simulation.loop import Loop
from tests.simulation.scheduler import Scheduler, pause
from tests.simulation.swarm import Swarm, draw

START = datetime(2026, 1, 1, 23, 58, tzinfo=UTC)
"""Shortly before midnight: lots end at the change of the day."""

REST_MS = 20 * 86_400_000
"""Nothing of an attempt is ever so far away: what is due later than this is no work that is under way."""


AFTERMATH = 400
"""Steps with faults after the last thing that somebody does."""


class World:
    """The installation. `flaw` may replace parts of it, to prove that the checks bite."""

    def __init__(self, seed: int, business: Callable[["World"], Business], flaw: Flaw | None = None, trace: bool = False) -> None:
        self.seed, self.trace, self.flaw = seed, trace, flaw or Flaw()
        self.flaw.world = self
        self.random = Random(seed)
        self.swarm: Swarm = draw(self.random)
        self.scheduler = Scheduler(self.random)
        self.loop = Loop(self.scheduler)
        self.step_ms = max(1, self.swarm.tick_ms)
        self.faults = True
        self.counts = {t.name: self.swarm.stock_partitions if t.side == "stock" else self.swarm.demand_partitions for t in TOPICS}
        self.tally: Tally = Counter()
        self.clock_offset_ms = 0
        self.kafka = Kafka(self.counts, self.scheduler, self.swarm.hole)
        self.database = MemoryDatabase(self.clock, self._statement, self._fate_of_commit)
        self.group = Group(self)
        self.checks = EngineChecks(self)
        self.business = business(self)
        self._more = True
        self._happenings = (self._input, self._deliver, self._clock_jumps, self.group.disturb)
        self._below = list(accumulate((self.swarm.input, self.swarm.input * 2, self.swarm.clock_jump, self.group.unrest)))
        self.kafka.on_append = self._appended
        self.database.on_applied = self._applied

    # ---------------------------------------------------------------- what the parts ask

    def at_ms(self, milliseconds: int) -> datetime:
        """Simulated time as a time."""
        return START + timedelta(milliseconds=milliseconds)

    def clock(self) -> datetime:
        """The database's clock. It may jump."""
        return self.at_ms(self.scheduler.now_ms + self.clock_offset_ms)

    def count(self, group: str, what: str) -> None:
        """Something worth counting happened: see `Tally`."""
        self.tally[group, what] += 1
        self.say(what)

    def say(self, *what: object) -> None:
        """One line of the trace."""
        if self.trace:
            task = self.scheduler.current
            print(f"{self.scheduler.now_ms:>8} {task.name if task else '-':<22}", *what)

    def chance(self, rate: float) -> bool:
        """Whether a fault of this rate happens now."""
        return self.faults and rate > 0 and self.random.random() < rate

    async def _statement(self) -> None:
        await pause()
        if self.chance(self.swarm.statement_lost):
            self.count("fault", "connection lost in a statement")
            raise ConnectionLost

    def _fate_of_commit(self) -> str:
        if not self.chance(self.swarm.commit_lost):
            return "answered"
        fate = self.random.choice(("lost_before", "lost_after"))
        self.count("fault", f"COMMIT {fate.replace('_', ' ')}")
        return fate

    def connect(self) -> MemoryPartitionStore:
        """A connection of its own."""
        return self.flaw.store(self.database)

    def disconnect(self, store: MemoryPartitionStore) -> None:
        """The server rolls back what was open."""
        store.connection.drop()

    def end_session(self, connection: MemoryConnection) -> None:
        """The server ends the session of a client that idles in a transaction."""
        if connection.in_transaction:
            self.count("fault", "session of a frozen process ended")
            connection.end_session()

    def state_partition(self, partition: PartitionId, store: MemoryPartitionStore) -> StatePartition:
        """The real thing, over a connection."""
        side = self.business.side(partition, store)
        return self.flaw.state_partition(partition, side, store, self.counts, self._token, self.swarm.limits)

    def _token(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def _appended(self, record: InputRecord) -> None:
        self.checks.appended(record)
        self.business.appended(record)

    def _applied(self, staged: Mapping[str, Mapping[Any, Any]]) -> None:
        self.checks.applied(staged)
        self.business.check_committed(staged)

    def _at_crash_point(self, name: str) -> None:
        if self.scheduler.current is not None and self.chance(self.swarm.crash_at_point):
            self.count("fault", f"kill -9 at {name}")
            raise ProcessDied(name)

    # ---------------------------------------------------------------- the run

    def run(self) -> None:
        """All of it. Raises Failed, or whatever the code under test raised."""
        crash.listen(self._at_crash_point)
        try:
            with self.flaw.planted(), self.loop.running():
                self._all_phases()
        finally:
            crash.listen(None)
            self._close()
            self.tally["work", "steps"] = self.scheduler.steps
            self.tally["fault", "hole in the offsets"] = self.kafka.holes_made

    def vanish(self) -> None:
        """Lets go of everything. What the parts of a world know of each other would else lie about until somebody looks for such cycles."""
        vars(self).clear()

    def _all_phases(self) -> None:
        self._chaos()
        self._drain()
        self._check_quiet()
        while self.business.disturb_quiet():
            self._drain()
            self._check_quiet()
        self.checks.replay()

    def _close(self) -> None:
        for task in list(self.scheduler.tasks):
            self.scheduler.end(task)

    def _check_quiet(self) -> None:
        self.checks.quiet()
        self.business.check_quiet()

    def _chaos(self) -> None:
        self.group.start()
        random, scheduler, group, kafka, swarm = self.random.random, self.scheduler, self.group, self.kafka, self.swarm
        left, eventful = AFTERMATH, self._below[-1]
        while left:
            left -= not self._more
            draw = random()
            if draw < eventful:
                self._happenings[bisect_right(self._below, draw)]()
            if kafka.adrift and random() < swarm.landing:
                self._land()
            if group.away:
                group.due_returns()
            if not scheduler.step():
                self._skip_time()
            scheduler.advance(swarm.tick_ms)

    def _skip_time(self) -> None:
        wake_at = self.scheduler.wake_at()
        step = 1_000 if wake_at is None else wake_at - self.scheduler.now_ms
        self.scheduler.advance(max(1, min(step, 1_000)))

    def _input(self) -> None:
        if self._more:
            self._more = self.business.input()

    def _deliver(self) -> None:
        self.business.deliver(faults=True)

    def _land(self) -> None:
        self.kafka.land()
        self.count("fault", "record of an ended producer landed late")

    def _clock_jumps(self) -> None:
        self.count("fault", "clock jump")
        self.clock_offset_ms += self.random.choice((-2_000, -50, 50, 2_000))

    # ---------------------------------------------------------------- without faults

    def _drain(self) -> None:
        """Liveness: without faults everything comes to rest, within a bound of steps and of deadlines."""
        self.faults = False
        self.group.settle()
        before, idle = self.scheduler.steps, 0
        while True:
            if self.business.deliver(faults=False) or self.kafka.land():
                continue
            if self.scheduler.step():
                self.scheduler.advance(self.swarm.tick_ms)
                if self.scheduler.steps - before > self.business.step_bound():
                    raise Failed(f"livelock: more than {self.business.step_bound()} steps without faults")
                continue
            wake_at = self.scheduler.wake_at()
            if wake_at is None or wake_at - self.scheduler.now_ms > REST_MS:
                return
            idle += 1
            if idle > 3_000:
                raise Failed("livelock: deadlines without end")
            self.scheduler.advance(max(0, wake_at - self.scheduler.now_ms))
