"""Projections of an HTTP service: FastStream subscribers that fold public events into the service's own tables.

At least once: a batch is folded in one transaction, then its offsets are committed. So `apply` must be idempotent by the versions that
events carry. Nothing is skipped: what can not be read or stored becomes a dead letter in the same transaction, a newer schema or a fault
of ours halts the projection with an alarm until it is put right.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import metrics
from shared.database import Fault, classify
from shared.kafka import SESSION_MS
from shared.partitions.model import DeadLetter, InputRecord
from shared.partitions.outbox import dead_letter
from shared.relay import Outbox
from shared.schemas.topics import DEAD_LETTERS
from shared.schemas.wire import BadRecord, decode, header_map

log = logging.getLogger(__name__)

BATCH_RECORDS = 500
BATCH_WAIT_MS = 10
"""FastStream sleeps this long again after an empty poll: at its default of 200 a lone event takes 63 ms, at 10 it takes 8."""
STOP_SECONDS = 12.0
HALTED_SECONDS = 5.0
_NOW = text("SELECT now()")


@dataclass(frozen=True, slots=True)
class Projection:
    """What is read and what is done with it. `accepted`: the message types that these topics carry; others become dead letters.

    `apply` gets the messages of one batch in the order of each key and writes on the connection; it may run again with the same.
    """

    name: str
    topics: tuple[str, ...]
    accepted: frozenset[str]
    apply: Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]]


@dataclass
class Projector:
    """Runs projections of one service. `halted` says why one stands still, or is empty."""

    service: str
    bootstrap: str
    pool: AsyncEngine
    outbox: Outbox
    projections: Sequence[Projection]
    halted: str = ""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Subscribe until the block ends. Kafka may be away at the start: the service serves meanwhile."""
        broker = self.broker()
        starting = asyncio.create_task(self._start(broker), name=f"{self.service} projections")
        try:
            yield
        finally:
            self._stopping.set()
            starting.cancel()
            await asyncio.wait({starting})
            with contextlib.suppress(TimeoutError, KafkaError, OSError):
                async with asyncio.timeout(STOP_SECONDS):
                    await broker.stop()

    def broker(self) -> KafkaBroker:
        """The FastStream broker with one subscriber for each projection."""
        broker = KafkaBroker(
            self.bootstrap,
            client_id=f"earmark-{self.service}",
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            graceful_timeout=10.0,
            logger=None,
        )
        for projection in self.projections:
            self._subscribe(broker, projection)
        return broker

    def _subscribe(self, broker: KafkaBroker, projection: Projection) -> None:
        subscriber = broker.subscriber(
            *projection.topics,
            batch=True,
            group_id=f"earmark-{self.service}-{projection.name}",
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=1_000,
            batch_timeout_ms=BATCH_WAIT_MS,
            max_records=BATCH_RECORDS,
            parser=_parse_raw,
            decoder=_as_it_is,
            title=f"{self.service}-{projection.name}",
            description=(projection.apply.__doc__ or "").strip(),
        )

        async def fold(message: Any) -> None:
            if not await self._fold(projection, message.raw_message):
                return
            with contextlib.suppress(KafkaError):  # a rebalance: the next owner folds the same again, which changes nothing
                await message.ack()

        subscriber(fold)

    async def _start(self, broker: KafkaBroker) -> None:
        while True:
            try:
                return await broker.start()
            except (KafkaError, OSError) as error:
                log.warning("projections of %s wait for Kafka: %s", self.service, error)
                await asyncio.sleep(2.0)

    async def _fold(self, projection: Projection, records: Sequence[ConsumerRecord]) -> bool:
        """Fold a batch, however long it takes. Raising would lose it: FastStream goes on with the next (faststream#1980). False: the
        service stops, and the batch is not folded."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._fold_once(projection, records)
                self.halted = ""
                return True
            except Exception as error:
                failures += 1
                metrics.PROJECTION_FAILURES.labels(service=self.service).inc()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause(projection, error, failures)):
                        await self._stopping.wait()
        return False

    def _pause(self, projection: Projection, error: Exception, failures: int) -> float:
        if classify(error) is Fault.RETRY:
            if failures == 1:
                log.warning("projection %s of %s tries again: %s", projection.name, self.service, type(error).__name__)
            return random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2.0**failures)  # noqa: S311  (jitter)
        self.halted = f"projection {projection.name} stands still: {error}"
        log.error("%s of %s; nothing is skipped, it goes on when this is put right", self.halted, self.service, exc_info=error)
        return HALTED_SECONDS

    async def _fold_once(self, projection: Projection, records: Sequence[ConsumerRecord]) -> None:
        read = [_read(record, projection.accepted) for record in records]
        try:
            await self._write(projection, read)
        except Exception as error:
            if classify(error) is not Fault.DATA or (len(read) == 1 and isinstance(read[0], DeadLetter)):
                raise
            for one in read:
                await self._write_or_bury(projection, one)
        for record in records:
            metrics.PROJECTED.labels(service=self.service, topic=record.topic).inc()

    async def _write(self, projection: Projection, read: Sequence["_Read | DeadLetter"]) -> None:
        messages = [message for one in read if isinstance(one, _Read) for message in one.messages]
        async with self.pool.begin() as connection:
            for letter in read:
                if isinstance(letter, DeadLetter):
                    await self._bury(connection, letter)
            if messages:
                await projection.apply(connection, messages)

    async def _write_or_bury(self, projection: Projection, one: "_Read | DeadLetter") -> None:
        """A value that Postgres will never take must not hold up its neighbours."""
        try:
            await self._write(projection, [one])
        except Exception as error:
            if classify(error) is not Fault.DATA or isinstance(one, DeadLetter):
                raise
            async with self.pool.begin() as connection:
                await self._bury(connection, DeadLetter(one.record, f"the database refuses it: {type(error).__name__}", "value"))

    async def _bury(self, connection: AsyncConnection, letter: DeadLetter) -> None:
        log.warning("dead letter from %s/%s at %s: %s", letter.record.topic, letter.record.partition, letter.record.offset, letter.reason)
        now = await connection.scalar(_NOW)
        origin = f"{letter.record.topic}/{letter.record.partition}"
        await self.outbox.append_built(connection, origin, DEAD_LETTERS.name, lambda envelope: dead_letter(letter, envelope, now))


@dataclass(frozen=True, slots=True)
class _Read:
    record: InputRecord
    messages: tuple[Any, ...]


def _read(record: ConsumerRecord, accepted: frozenset[str]) -> "_Read | DeadLetter":
    found = header_map(record.headers)
    origin = InputRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
    if record.value is None and not found:
        return _Read(origin, ())
    try:
        return _Read(origin, decode(record.value, found, accepted))
    except BadRecord as bad:
        if bad.newer:
            raise
        return DeadLetter(origin, bad.reason, bad.field)


async def _parse_raw(records: tuple[ConsumerRecord, ...], original: Callable[[Any], Awaitable[Any]]) -> Any:
    """FastStream's own parser raises for headers that are not UTF-8 (faststream#2458): it sees none, `_read` sees all."""
    message = await original(tuple(dataclasses.replace(record, headers=()) for record in records))
    message.raw_message = records
    return message


async def _as_it_is(message: Any) -> Any:
    return message
