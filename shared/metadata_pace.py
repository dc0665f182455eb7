"""aiokafka asks for metadata no more often than ten times a second, and so leaves a broker that comes back the processor to do it.

Its reader and its producer ask again as soon as an answer names no leader for a partition of theirs, or as a connection is refused,
without a pause (aiokafka 0.14: `Fetcher._fetch_requests_routine`, `Sender._sender_routine`). After an orderly stop of the broker every
client knew of no leader, and each process spent most of a core on refused connections: on a machine of two cores a broker beside them
needed up to twenty seconds to start instead of six.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.client import AIOKafkaClient

PAUSE_SECONDS = 0.1
"""Between the end of one question and the next of the same client; as long as `retry_backoff_ms` in our settings."""

_Ask = Callable[[Any, Any, Any], Awaitable[bool]]


def paced(ask: _Ask, pause: float = PAUSE_SECONDS) -> _Ask:
    """The same question, put by one client no sooner than `pause` seconds after its answer to the last."""
    answered: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    async def ask_when_due(client: Any, *of: Any) -> bool:
        await asyncio.sleep(max(0.0, answered.get(client, 0.0) + pause - time.monotonic()))
        try:
            return await ask(client, *of)
        finally:
            answered[client] = time.monotonic()

    return ask_when_due


def install() -> None:
    """For every client of this process, also those that FastStream makes; a second call changes nothing."""
    if not getattr(AIOKafkaClient, "_earmark_paced", False):
        AIOKafkaClient._metadata_update = paced(AIOKafkaClient._metadata_update)
        AIOKafkaClient._earmark_paced = True
