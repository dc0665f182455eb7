"""Batches of one process that go together: the product's own joint transactions, over connections in memory.

Who goes along is chance here. The product's own line (`shared.partitions.turns.Turns`) goes by asyncio's clock, time limits and shields,
which the scheduler does not have. What is kept of it: who waits goes with whoever else waits, a part that has begun is finished also where
nobody waits for it any more, and a connection whose transaction was lost is given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shared.partitions.joint import JointBatchLost, JointTransaction, Member
from shared.partitions.link import LOAD, Statement
from shared.partitions.memory import ConnectionLost, MemoryConnection, MemoryPartitionStore, MemoryTransaction
from shared.partitions.model import OutboxRow
from shared.partitions.partition import StatePartition
from shared.partitions.ports import FenceLost
from tests.simulation.scheduler import Task, park, pause

if TYPE_CHECKING:
    from tests.simulation.driver import Process
    from tests.simulation.world import World

LOST = (FenceLost, ConnectionLost, JointBatchLost)
"""After any of these nothing in memory may be trusted."""
GATHERING_STEPS = 10
"""So long, at most, others may come while a turn begins."""
_SEAM = Statement(LOAD, "SEAM", lambda _: ())
"""Stands for every statement of a side. What several ask at once is one statement, and one seam."""


class _Session:
    """A connection in memory, as the product's joint transactions know one."""

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection

    def transaction(self) -> "_Session":
        return self

    async def start(self) -> None:
        await self._connection.begin()

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        self._connection.drop()

    async def execute(self, statement: str) -> str:
        await self._connection.seam()
        self._connection.open()
        return f"{statement} 0"

    @staticmethod
    def is_closed() -> bool:
        return False


class _Part:
    """What a member's statements go through. The writes are staged on the connection that all share."""

    def __init__(self, connection: MemoryConnection, member: Member) -> None:
        self.current, self.open = connection.current, connection.open
        self.begin, self.commit, self.rollback = member.begin, member.commit, member.rollback
        self._locked, self._member = connection.locked, member

    async def seam(self) -> None:
        await self._member.write(_SEAM, ((),))

    async def locked(self, key: Any) -> MemoryTransaction:
        return await self._member.serially(lambda _: self._locked(key))


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch that waits for its turn. `told`: what came of it; nothing where it is alone."""

    task: Task
    state: StatePartition
    store: MemoryPartitionStore
    is_alone: bool = False
    told: Sequence[OutboxRow] | Exception | None = None


class Turns:
    """Of one process."""

    def __init__(self, world: "World", process: "Process") -> None:
        self._world, self._process = world, process
        self.connection = MemoryConnection(world.database)
        self._line: list[_Waiting] = []
        self._turn: Task | None = None
        self._parts = 0

    @property
    def is_joint(self) -> bool:
        """Whether a joint transaction is under way."""
        return self._parts > 0

    async def batch(self, state: StatePartition, store: MemoryPartitionStore) -> Sequence[OutboxRow]:
        """`StatePartition.serve`, together with others where others wait too. Raises JointBatchLost as well."""
        if self._world.random.random() >= self._world.swarm.together:
            return await state.serve()
        task = self._world.scheduler.current
        assert task is not None, "a task serves"
        waiting = _Waiting(task, state, store)
        self._line.append(waiting)
        self._turn = self._turn or self._spawn("turn", self._take_turns())
        try:
            while waiting.told is None and not waiting.is_alone:
                await park()
        finally:
            self._left_by(waiting)
        if isinstance(waiting.told, Exception):
            raise waiting.told
        return await state.serve() if waiting.told is None else waiting.told

    def _left_by(self, waiting: _Waiting) -> None:
        """Whoever waited has been told, or has lost its partition meanwhile."""
        if waiting in self._line:
            self._line.remove(waiting)
        elif waiting.told is None and not waiting.is_alone and self._process.alive:
            self._world.count("event", "part of a joint batch outlived its owner")

    def _spawn(self, what: str, coroutine: Any) -> Task:
        return self._world.scheduler.spawn(f"{self._process.name} {what}", self._process, coroutine, self._ended)

    def _ended(self, _: Task, error: BaseException | None) -> None:
        self._world.group.task_ended(self._process, error)

    # ---------------------------------------------------------------- one turn after the other

    async def _take_turns(self) -> None:
        while self._line:
            for _ in range(self._world.random.randint(0, GATHERING_STEPS)):
                await pause()
            taken, self._line = self._line, []
            if len(taken) > 1:
                await self._together(taken)
            else:
                self._tell_alone(taken)
        self._turn = None

    def _tell_alone(self, taken: Sequence[_Waiting]) -> None:
        for waiting in taken:  # one, or none where it has gone meanwhile
            waiting.is_alone = True
            self._world.scheduler.wake(waiting.task)

    async def _together(self, taken: Sequence[_Waiting]) -> None:
        self._world.count("event", "joint batch")
        self._world.tally["work", "parts of joint batches"] += len(taken)
        transaction = JointTransaction(cast(Any, _Session(self.connection)), len(taken))  # the smallest that it takes for a connection
        self._parts = len(taken)
        for waiting in taken:
            self._spawn(f"{waiting.state.partition} part", self._part(waiting, Member(transaction)))
        while self._parts:
            await park()
        if not await transaction.end():
            self._world.count("event", f"joint batch lost: {_reason(taken)}")
            self._give_up()

    async def _part(self, waiting: _Waiting, member: Member) -> None:
        waiting.store.through = _Part(self.connection, member)
        try:
            waiting.told = await waiting.state.serve()
        except LOST as error:
            waiting.told = _as_it_is(error)
        finally:
            waiting.store.alone()
            member.end()
            self._parts -= 1
            self._world.scheduler.wake(waiting.task)
            if self._turn is not None:
                self._world.scheduler.wake(self._turn)

    def _give_up(self) -> None:
        self.connection.drop()
        self.connection = MemoryConnection(self._world.database)

    # ---------------------------------------------------------------- what happens to the process

    def frozen(self) -> None:
        """It does not move for a while."""
        if self.is_joint:
            self._world.count("event", "joint batch frozen")

    def died(self) -> None:
        """Every turn ends where it stands, the server rolls back."""
        if self.is_joint:
            self._world.count("event", "joint batch lost: killed")
        for task in [one for one in self._world.scheduler.tasks if one.owner is self._process]:
            self._world.scheduler.end(task)
        self._give_up()
        self._line, self._turn, self._parts = [], None, 0


def _as_it_is(error: Exception) -> Exception:
    """What a part is told. Where a check or an assertion failed at COMMIT, that is no loss which anybody may go on after."""
    if isinstance(error, JointBatchLost) and error.__cause__ is not None and not isinstance(error.__cause__, LOST):
        raise error.__cause__
    return error


def _reason(taken: Sequence[_Waiting]) -> str:
    """Why it was lost: what the member says that failed by itself, or what the connection said."""
    errors = [waiting.told for waiting in taken if isinstance(waiting.told, Exception)]
    own = [error for error in errors if not isinstance(error, JointBatchLost)]
    causes = [error.__cause__ for error in errors if error.__cause__ is not None]
    return type([*own, *causes, None][0]).__name__
