"""The consumer group and its processes: who owns what, who knows it, and what happens to them: crashes, freezes, rebalances, returns."""

from typing import TYPE_CHECKING

from shared.partitions.model import PartitionId
from tests.simulation.driver import Ownership, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

IDLE_IN_TRANSACTION_STEPS = 1_500
"""After so long in a transaction the server ends the session of a process that does not move."""


class ProcessDied(BaseException):
    """A simulated kill -9, raised at a crash point; never caught by the code under test."""


class Group:
    """The processes of one installation. `unrest`: how often, per step, something happens to them. `away`: how many are dead or frozen."""

    def __init__(self, world: "World") -> None:
        self.world, self._random = world, world.random
        swarm = world.swarm
        self.processes = [Process(world, f"p{number}") for number in range(swarm.processes)]
        self.partitions = [PartitionId("stock", number) for number in range(swarm.stock_partitions)]
        self.partitions += [PartitionId("demand", number) for number in range(swarm.demand_partitions)]
        self._meant: dict[PartitionId, Process] = {}
        self.away = 0
        self._disturbances = (self.rebalance, self._crash_one, self._freeze_one, self._tell_one)
        self._rates = (swarm.rebalance, swarm.crash, swarm.freeze, swarm.hearing)
        self.unrest = sum(self._rates)

    # ---------------------------------------------------------------- who owns what

    def start(self) -> None:
        """Everybody joins and hears."""
        self.rebalance()
        for process in self.processes:
            self._tell(process, patient=False)

    def settle(self) -> None:
        """Everybody comes back and hears; nobody owns what another one owns."""
        for process in self.processes:
            self._come_back(process)
        for process in self.processes:
            self._tell(process, patient=True)

    def rebalance(self) -> None:
        """The partitions are handed out anew. Who had one may not know it yet."""
        living = [process for process in self.processes if process.alive and not process.frozen]
        if living:
            self.world.count("fault", "rebalance")
            self._meant = {partition: self._assignee(partition, living) for partition in self.partitions}

    def _assignee(self, partition: PartitionId, living: list[Process]) -> Process:
        present = self._meant.get(partition)
        return present if present in living and self._random.random() < 0.5 else self._random.choice(living)

    def _tell(self, process: Process, *, patient: bool) -> None:
        """A process hears what was decided: lets go of some, after the batch in hand or at once, and takes others."""
        meant = [partition for partition, owner in self._meant.items() if owner is process]
        for ownership in list(process.ownerships):
            if ownership.partition not in meant:
                self._revoke(ownership, patient=patient)
        held = [ownership.partition for ownership in process.ownerships if not ownership.revoked]
        for partition in meant:
            if partition not in held:
                process.ownerships.append(Ownership(self.world, process, partition))

    def _revoke(self, ownership: Ownership, *, patient: bool) -> None:
        if ownership.revoked:
            return
        if patient:
            ownership.revoked = True
            self.world.scheduler.wake(ownership.task)
        else:
            ownership.cut()

    # ---------------------------------------------------------------- what happens to processes

    def task_ended(self, process: Process, error: BaseException | None) -> None:
        """A task came to its end: stopped as told, killed by a crash point, or a fault of the code under test."""
        if isinstance(error, ProcessDied):
            self._crash(process)
        elif error is not None:
            raise error

    def disturb(self) -> None:
        """Something happens: see `unrest`."""
        self._random.choices(self._disturbances, self._rates)[0]()

    def _crash_one(self) -> None:
        process = self._random.choice(self.processes)
        if process.alive:
            self.world.count("fault", "kill -9")
            self._crash(process)

    def _crash(self, process: Process) -> None:
        """kill -9: every task ends where it stands, the server rolls back; it comes back later."""
        self.away += not process.frozen
        process.alive, process.frozen, process.lives = False, False, process.lives + 1
        process.back_at_ms = self._in_steps(self._random.choice((0, 100, 1_000)))
        for ownership in list(process.ownerships):
            ownership.cut()
        process.turns.died()

    def _freeze_one(self) -> None:
        """SIGSTOP. The group may give its partitions to others meanwhile: a zombie when it goes on."""
        process = self._random.choice(self.processes)
        if process.alive and not process.frozen:
            self.world.count("fault", "freeze (SIGSTOP)")
            self.away += 1
            process.turns.frozen()
            process.frozen, process.idle_until_ms = True, self._in_steps(IDLE_IN_TRANSACTION_STEPS)
            process.back_at_ms = self._in_steps(self._random.choice((20, 200, 1_000, 4_000)))

    def _tell_one(self) -> None:
        process = self._random.choice(self.processes)
        if process.alive and not process.frozen:
            self._tell(process, patient=self._random.random() < 0.5)
        elif self._random.random() < 0.5:
            self.rebalance()

    def _in_steps(self, steps: int) -> int:
        return self.world.scheduler.now_ms + steps * self.world.step_ms

    def due_returns(self) -> None:
        """Those come back whose time has come."""
        now_ms = self.world.scheduler.now_ms
        for process in self.processes:
            if process.frozen and now_ms > process.idle_until_ms:
                for ownership in process.ownerships:
                    ownership.lose_session()
                self.world.end_session(process.turns.connection)
            if (process.frozen or not process.alive) and now_ms >= process.back_at_ms:
                self._come_back(process)

    def _come_back(self, process: Process) -> None:
        self.away -= process.frozen or not process.alive
        process.frozen = False
        if not process.alive:
            process.alive = True
            self._tell(process, patient=False)
