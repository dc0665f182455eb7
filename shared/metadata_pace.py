"""aiokafka asks for metadata ten times at once and then ten times a second, and so leaves a broker that comes back the processor to do it.

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
"""Between two questions of the same client, once it has asked so often at once; as long as `retry_backoff_ms` in our settings."""
AT_ONCE = 10
"""Questions without a pause, after a time without any: a client that looks at all our topics asks for one after the other."""
_ask = AIOKafkaClient._metadata_update


class _Pace:
    """How many questions a client may ask without a pause: one more for every pause that passes."""

    def __init__(self) -> None:
        self._left, self._at = float(AT_ONCE), time.monotonic()

    def seconds(self) -> float:
        """How long to wait for the next question, which is counted."""
        now = time.monotonic()
        self._left = min(AT_ONCE, self._left + (now - self._at) / PAUSE_SECONDS) - 1
        self._at = now
        return max(0.0, -self._left * PAUSE_SECONDS)


_paces: WeakKeyDictionary[Any, _Pace] = WeakKeyDictionary()


async def _ask_when_due(client: Any, *of: Any) -> bool:
    await asyncio.sleep(_paces.setdefault(client, _Pace()).seconds())
    updated: bool = await _ask(client, *of)
    return updated


def install() -> None:
    """For every client of this process, also those that FastStream makes."""
    AIOKafkaClient._metadata_update = _ask_when_due
