"""An event loop in a thread, for tests that are driven step by step by code that is not async: state machines of Hypothesis."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")
SECONDS = 120.0


class Background:
    """What runs on the loop goes on between the steps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run it there and wait for its answer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[Answer]) -> Iterator[Answer]:
        """Enter it there, and leave it in the same task."""
        ready: Future[Answer] = Future()
        over = asyncio.Event()
        holding = asyncio.run_coroutine_threadsafe(_hold(context, ready, over), self._loop)
        holding.add_done_callback(lambda held: None if ready.done() else ready.set_exception(held.exception() or AssertionError("left")))
        try:
            yield ready.result(SECONDS)
        finally:
            self._loop.call_soon_threadsafe(over.set)
            holding.result(SECONDS)


async def _hold(context: AbstractAsyncContextManager[Answer], ready: "Future[Answer]", over: asyncio.Event) -> None:
    async with context as entered:
        ready.set_result(entered)
        await over.wait()


@contextmanager
def background() -> Iterator[Background]:
    """The loop, running."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="background loop")
        thread.start()
        try:
            yield Background(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
