"""Which state partitions are ours: a Kafka consumer group that subscribes to one lead topic per side and reads nothing of it.

Only the lead topic, because a group that subscribes to several topics may be given different numbers of each. The answer is a hint:
the fence decides who may write.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from shared.kafka import group_settings, stop_client

logger = logging.getLogger("earmark.membership")


class GroupMembership:
    """Calls `on_change(side, numbers)` whenever the group assigns this process other partitions of the lead topic."""

    def __init__(
        self, bootstrap: str, group: str, leads: dict[str, str], on_change: Callable[[str, frozenset[int]], None], session_ms: int
    ) -> None:
        """`leads`: side to its lead topic. `session_ms`: a member that is silent for so long is given up."""
        self._bootstrap, self._group, self._leads, self._on_change, self._session_ms = bootstrap, group, leads, on_change, session_ms

    async def run(self) -> None:
        """Be a member of one group per side until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for side, topic in self._leads.items():
                tasks.create_task(self._follow(side, topic))

    async def _follow(self, side: str, topic: str) -> None:
        while True:
            consumer = AIOKafkaConsumer(**group_settings(self._bootstrap, f"{self._group}-{side}", self._session_ms))
            try:
                consumer.subscribe([topic], listener=_Listener(self, side, consumer))
                await consumer.start()
                while True:  # polling keeps the client's own idle clock from leaving the group
                    await consumer.getmany(timeout_ms=1_000)
            except (KafkaError, OSError) as error:
                logger.warning("membership of %s failed (%s: %s); joining anew", side, type(error).__name__, error)
                await asyncio.sleep(0.5)
            finally:
                await stop_client(consumer)

    def assigned(self, side: str, numbers: frozenset[int]) -> None:
        """Told by the listener."""
        logger.info("assigned %s partitions %s", side, sorted(numbers))
        self._on_change(side, numbers)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, membership: GroupMembership, side: str, consumer: Any) -> None:
        self._membership, self._side, self._consumer = membership, side, consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing: work goes on under the fence until the new assignment is known."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Pause first, so that nothing of the lead topic is fetched here. Never raises: aiokafka would swallow it."""
        self._consumer.pause(*assigned)
        self._membership.assigned(self._side, frozenset(one.partition for one in assigned))
