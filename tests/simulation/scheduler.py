"""One seeded scheduler owns time and order. It drives every coroutine by hand, so it can stop, end or continue any of them at any await.

Knows nothing of what the coroutines do. There is no asyncio loop: an await that reaches the scheduler is `pause`, `park`, or a future of
the product's (see `loop`).
"""

import types
from asyncio import Future
from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import Any

FAR_MS = 2**63
"""Later than anything."""
Ended = Callable[["Task", BaseException | None], None]
"""Told when a coroutine came to its end by itself, with the exception that ended it, if any."""


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Let the scheduler do something else first, or nothing ever again."""
    yield None


@types.coroutine
def park(until_ms: int | None = None) -> Generator[int | None, None, None]:
    """Sleep until woken, or until the time given."""
    yield -1 if until_ms is None else until_ms


class Task:
    """A coroutine on the scheduler. `owner` is the simulated process that it belongs to; a frozen owner's tasks do not run."""

    __slots__ = ("coroutine", "ended", "name", "owner", "parked", "until_ms")

    def __init__(self, name: str, owner: "Owner", coroutine: Coroutine[Any, Any, None], ended: Ended) -> None:
        self.name, self.owner, self.coroutine, self.ended = name, owner, coroutine, ended
        self.parked = False
        self.until_ms: int | None = None


class Owner:
    """Whoever tasks belong to: they can be frozen together, as SIGSTOP does."""

    def __init__(self, name: str) -> None:
        self.name, self.frozen = name, False


class Scheduler:
    """Runs one step of one task at a time, drawn from the seed."""

    def __init__(self, random: Random) -> None:
        self.random, self.now_ms, self.steps = random, 0, 0
        self.tasks: list[Task] = []
        self._none_before_ms = 0
        self.current: Task | None = None

    def spawn(self, name: str, owner: Owner, coroutine: Coroutine[Any, Any, None], ended: Ended) -> Task:
        """Start a task."""
        task = Task(name, owner, coroutine, ended)
        self.tasks.append(task)
        return task

    def end(self, task: Task) -> None:
        """End a task where it stands; its `ended` is not told."""
        if task in self.tasks:
            self.tasks.remove(task)
            if task is not self.current:
                task.coroutine.close()

    @staticmethod
    def wake(task: Task) -> None:
        """Let a parked task go on."""
        task.parked, task.until_ms = False, None

    def step(self) -> bool:
        """One step of one task. False if none can."""
        ready = [task for task in self.tasks if not task.parked and not task.owner.frozen]
        if not ready:
            return False
        self._run(ready[int(self.random.random() * len(ready))])
        return True

    def _run(self, task: Task) -> None:
        self.steps += 1
        self.current = task
        try:
            asked = task.coroutine.send(None)
        except StopIteration:
            self._over(task, None)
        except BaseException as error:  # whoever started the task judges it
            self._over(task, error)
        else:
            if asked is not None:
                self._park(task, asked)
        finally:
            self.current = None

    def _park(self, task: Task, asked: "int | Future[Any]") -> None:
        if isinstance(asked, int):
            self._park_until(task, asked)
        else:
            task.parked = True
            asked.add_done_callback(lambda _: self.wake(task))

    def _park_until(self, task: Task, until_ms: int) -> None:
        task.parked, task.until_ms = True, None if until_ms < 0 else until_ms
        if 0 <= until_ms < self._none_before_ms:
            self._none_before_ms = until_ms

    def _over(self, task: Task, error: BaseException | None) -> None:
        self.current = None
        if task in self.tasks:
            self.tasks.remove(task)
        task.ended(task, error)

    def wake_at(self) -> int | None:
        """When the next parked task wants to go on by itself."""
        return min([task.until_ms for task in self.tasks if task.until_ms is not None and not task.owner.frozen], default=None)

    def advance(self, milliseconds: int) -> None:
        """Time passes."""
        self.now_ms += milliseconds
        if milliseconds and self.now_ms >= self._none_before_ms:
            self._wake_who_is_due()

    def _wake_who_is_due(self) -> None:
        """And remember when the next one will be, whatever happens to it meanwhile: most of the time nobody is."""
        self._none_before_ms = FAR_MS
        for task in self.tasks:
            if task.until_ms is not None:
                if task.until_ms <= self.now_ms:
                    self.wake(task)
                else:
                    self._none_before_ms = min(self._none_before_ms, task.until_ms)
