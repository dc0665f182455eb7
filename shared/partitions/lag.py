"""How far the inputs of our state partitions are ahead of what is decided: as a metric, and as group offsets for the tools of others.

For display only. The group has no members, its offsets are written from time to time and never read: where reading goes on stands in
Postgres, in the transaction of the effects.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka import consumer_settings, stop_client
from shared.metrics import PARTITION_LAG
from shared.partitions.model import PartitionId

logger = logging.getLogger("earmark.lag")

REPORT_SECONDS = 5.0
PATIENCE_SECONDS = 10
Reached = Mapping[PartitionId, Mapping[str, int]]


class LagReport:
    """Run it as one task. `reached`: of every partition that is ours, each input's next offset to be applied, as committed."""

    def __init__(self, bootstrap: str, group: str, reached: Callable[[], Reached]) -> None:
        self._bootstrap, self._group, self._reached = bootstrap, group, reached
        self._consumer: Any = None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Report until cancelled. A report that fails is left out, whatever failed: the next says as much, and no decision hangs on it."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._report(self._reached())
            except Exception as error:
                away = isinstance(error, (KafkaError, OSError, TimeoutError))
                logger.log(
                    logging.INFO if away else logging.ERROR,
                    "the lag could not be looked at (%s: %s)", type(error).__name__, error, exc_info=not away,
                )  # fmt: skip
                await self.close()

    async def _report(self, reached: Reached) -> None:
        offsets = {
            TopicPartition(topic, partition.number): offset for partition, inputs in reached.items() for topic, offset in inputs.items()
        }
        ends = await self._ends(offsets) if offsets else {}
        self._show(reached, ends)
        if offsets:
            await self._consumer.commit(offsets)

    async def _ends(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Where the inputs end now. The consumer is assigned them because only then it commits for them; it fetches nothing."""
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**consumer_settings(self._bootstrap), group_id=self._group)
            self._consumer, self._assigned = consumer, frozenset()
            await consumer.start()
        if self._assigned != offsets.keys():
            self._assigned = frozenset(offsets)
            self._consumer.assign(list(offsets))
            for one, offset in offsets.items():
                self._consumer.seek(one, offset)
            self._consumer.pause(*offsets)
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(list(offsets))
        return ends

    def _show(self, reached: Reached, ends: Mapping[TopicPartition, int]) -> None:
        """Partitions that are no longer ours are not shown: their new owner shows them."""
        before, self._shown = self._shown, set()
        for partition, inputs in reached.items():
            for topic, offset in inputs.items():
                labels = partition.side, str(partition.number), topic
                PARTITION_LAG.labels(*labels).set(max(0, ends[TopicPartition(topic, partition.number)] - offset))
                self._shown.add(labels)
        for labels in before - self._shown:
            PARTITION_LAG.remove(*labels)

    async def close(self) -> None:
        """Stop the consumer."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_client(consumer)
