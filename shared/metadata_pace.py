"""aiokafka asks for metadata no more often than ten times a second, and so leaves a broker that comes back the processor to do it.

Its reader and its producer ask again as soon as an answer names no leader for a partition of theirs, or as a connection is refused,
without a pause (aiokafka 0.14: `Fetcher._fetch_requests_routine`, `Sender._sender_routine`). After an orderly stop of the broker every
client knew of no leader, and each process spent most of a core on refused connections: on a machine of two cores a broker beside them
needed up to twenty seconds to start instead of six.
"""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.client import AIOKafkaClient

PAUSE_SECONDS = 0.1
"""Between an answer and the next question of the same client; as long as `retry_backoff_ms` in our settings."""
_answered: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
_ask = AIOKafkaClient._metadata_update


async def _ask_when_due(client: Any, *of: Any) -> bool:
    await asyncio.sleep(max(0.0, _answered.get(client, 0.0) + PAUSE_SECONDS - time.monotonic()))
    try:
        updated: bool = await _ask(client, *of)
        return updated
    finally:
        _answered[client] = time.monotonic()


def install() -> None:
    """For every client of this process, also those that FastStream makes."""
    AIOKafkaClient._metadata_update = _ask_when_due
