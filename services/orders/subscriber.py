"""A member of a consumer group that hands over batches and commits offsets after them: for the two busy topics that orders read.

At least once: the handler's effects are idempotent, since orders have versions. Directly on aiokafka and not a FastStream batch
subscriber as in `shared.projection`, because a record must stay at hand when its order refuses it, to become a dead letter, and because
FastStream sleeps again after every empty poll: a lone answer of the allocator reached its waiter in 8 ms at the median and 108 at p99,
here in 4.5 and 12 (measured).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from aiokafka.errors import KafkaError

from shared import metrics
from shared.consumer import Consumer, behind
from shared.database import Fault, classify
from shared.kafka import SESSION_MS, group_settings, stop_client
from shared.partitions.model import InputRecord

log = logging.getLogger("earmark.orders.subscriber")

POLL_MS = 200
MAX_RECORDS = 1_000
"""With 1,000 a record costs a tenth less than with 500; with more it saves nothing, and requests wait longer for the loop."""
COMMIT_SECONDS = 0.2
FEW_RECORDS = 200
"""With fewer records than these a batch costs as much as it has statements, and may be worth a rest."""
MOST_REST_SECONDS = 0.1
STUCK_SECONDS = 30.0
START_SECONDS = 60.0
FINISH_SECONDS = 10.0
Done = TypeVar("Done")

Handler = Callable[[Sequence[InputRecord]], Coroutine[Any, Any, None]]
Condemn = Callable[[InputRecord, str], Awaitable[None]]


class _Stuck(Exception):
    """Records wait and none come."""


class Subscriber:
    """`handle` returns when the effects of its records are committed. A batch with a value that the database never takes (SQLSTATE
    classes 22 and 23) is handed over again record by record, and the culprit goes to `condemn`. Everything else is tried again, for
    as long as it takes: nothing is skipped."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        handle: Handler,
        condemn: Condemn,
        *,
        max_records: int = MAX_RECORDS,
        session_ms: int = SESSION_MS,
        rests: int = 0,
    ) -> None:
        """`rests`: the next batch is not begun for so many times as long as a small one took; what comes meanwhile goes along."""
        self._bootstrap, self._group, self._topics = bootstrap, group, tuple(topics)
        self._handle, self._condemn, self._max_records, self._session_ms = handle, condemn, max_records, session_ms
        self.rests = rests
        self.trouble: str | None = None

    async def run(self) -> None:
        """Subscribe until cancelled. A consumer that failed or is stuck is thrown away and made anew."""
        failures = 0
        while True:
            settings = group_settings(self._bootstrap, self._group, self._session_ms)
            consumer: Any = Consumer(*self._topics, **settings)  # aiokafka has no types
            started = time.monotonic()
            try:
                async with asyncio.timeout(START_SECONDS):
                    await consumer.start()
                await _Session(self, consumer).run()
            except (KafkaError, OSError, _Stuck) as error:
                failures = failures + 1 if time.monotonic() - started < 30 else 1
                self.complain(error, failures)
                await _pause(failures)
            finally:
                await stop_client(consumer)

    async def take(self, records: Sequence[InputRecord]) -> None:
        """Hand a batch over until it is done."""
        failures = 0
        while True:
            try:
                await finished(self._handle(records))
            except Exception as error:
                fault = classify(error)
                if fault is Fault.DATA and len(records) == 1:
                    log.warning("%s/%s@%s goes to the dead letters: %s", *_place(records[0]), error)
                    await self._condemn(records[0], f"the database does not take it: {error}"[:500])
                    return
                if fault is Fault.DATA:
                    for record in records:
                        await self.take([record])
                    return
                failures += 1
                self.complain(error, failures)
                await _pause(failures)
            else:
                self.trouble = None
                return

    def condition(self) -> str:
        """For `/health/ready`: why nothing is taken at the moment, or that it is."""
        return self.trouble or "reads"

    def complain(self, error: Exception, failures: int) -> None:
        """Say it once per streak; a fault of ours with its trace."""
        metrics.PROJECTION_FAILURES.labels(service="orders").inc()
        self.trouble = f"{self._group}: {type(error).__name__}: {error}"
        if failures == 1:
            ours = classify(error) is Fault.OTHER and not isinstance(error, KafkaError | _Stuck)
            log.warning("%s; nothing is lost, it tries again", self.trouble, exc_info=ours)


class _Session:
    """One consumer's life."""

    def __init__(self, subscriber: Subscriber, consumer: Any) -> None:
        self._subscriber, self._consumer = subscriber, consumer
        self._done: dict[Any, int] = {}
        self._waiting: dict[Any, int] = {}
        self._committed_at = self._moved_at = time.monotonic()

    async def run(self) -> None:
        try:
            while True:
                found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=self._subscriber._max_records)
                if found:
                    began = time.monotonic()
                    await self._subscriber.take([_input(record) for records in found.values() for record in records])
                    self._done |= {partition: records[-1].offset + 1 for partition, records in found.items()}
                    self._moved_at = time.monotonic()
                    await self._rest(sum(map(len, found.values())), self._moved_at - began)
                await self._commit(idle=not found)
                await self._check_progress()
        finally:
            await self._commit(idle=True)

    async def _rest(self, records: int, seconds: float) -> None:
        """After a batch of so many records that took so long."""
        if self._subscriber.rests and records < FEW_RECORDS:
            await asyncio.sleep(min(self._subscriber.rests * seconds, MOST_REST_SECONDS))

    async def _commit(self, *, idle: bool) -> None:
        """Seldom under load: a lost commit costs a repeat, which does no harm."""
        if not self._done or not (idle or time.monotonic() - self._committed_at > COMMIT_SECONDS):
            return
        self._committed_at = time.monotonic()
        mine = self._consumer.assignment()
        kept = {partition: offset for partition, offset in self._done.items() if partition in mine}
        try:
            if kept:
                await self._consumer.commit(kept)
        except KafkaError as error:
            log.info("offsets were not committed (%s); the records come again", type(error).__name__)
        self._done = {}  # not reached when cancelled while it commits: then the last commit takes them along

    async def _check_progress(self) -> None:
        """aiokafka may sit still after a rejoin with no sign of it (aiokafka#1154): only progress tells."""
        if time.monotonic() - self._moved_at < STUCK_SECONDS:
            return
        self._moved_at = time.monotonic()
        async with asyncio.timeout(STUCK_SECONDS):  # a consumer that never learns its position would wait for it for ever
            waiting = await behind(self._consumer)
        for partition, position in waiting.items():
            if self._consumer.assignment() or self._waiting.get(partition) == position:  # what others have committed may be on its way
                raise _Stuck(f"{partition.topic}/{partition.partition} stands still at {position}")
        self._waiting = waiting


def _input(record: Any) -> InputRecord:
    return InputRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def _place(record: InputRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


async def finished(work: Coroutine[Any, Any, Done]) -> Done:
    """The result of a transaction that is never cancelled in the middle of its commit: a cancel waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_SECONDS)
        raise


async def _pause(failures: int) -> None:
    await asyncio.sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2.0 ** min(failures, 10)))  # noqa: S311  (jitter)
