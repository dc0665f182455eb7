"""Work that goes on beside a test, or beside a part of it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, Any]) -> "AsyncIterator[list[asyncio.Task[Any]]]":
    """Tasks for all of it; what is not over at the end is cancelled and waited for. What they raise is for whoever asks a task."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
