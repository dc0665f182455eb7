"""As much of an asyncio loop as the product's joint transactions ask for: futures, and tasks that the seeded scheduler drives.

So the product's own code runs there, and whatever waits for an answer can be frozen, ended or overtaken like everything else.
"""

import asyncio
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulation.scheduler import Scheduler, Task


class Loop:
    """Of one scheduler. A task belongs to whoever's task started it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    @contextmanager
    def running(self) -> Iterator[None]:
        """Here `asyncio.create_task` and `asyncio.get_running_loop` mean this one."""
        before = _get_running_loop()
        _set_running_loop(self)  # type: ignore[arg-type]  # as much of one as is asked for
        try:
            yield
        finally:
            _set_running_loop(before)

    def create_future(self) -> "asyncio.Future[Any]":
        """Whoever awaits it is parked until it is done."""
        return asyncio.Future(loop=self)  # type: ignore[arg-type]  # see above

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_: Any) -> Task:
        """Nobody may wait for it: what it has to tell goes into futures."""
        starter = self._scheduler.current
        assert starter is not None, "only tasks start tasks"
        return self._scheduler.spawn(f"{starter.owner.name} transaction", starter.owner, coroutine, _ended)

    @staticmethod
    def call_soon(callback: Callable[..., object], *arguments: Any, context: Any = None) -> None:
        """At once: all that is ever called is what wakes a task."""
        callback(*arguments)

    @staticmethod
    def get_debug() -> bool:
        """Asked by futures."""
        return False

    @staticmethod
    def call_exception_handler(context: Any) -> None:
        """An error that nobody was told, because who asked was killed: that is no error."""


def _ended(_: Task, error: BaseException | None) -> None:
    if error is not None:
        raise error
