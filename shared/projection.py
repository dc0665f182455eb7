"""Projections of an HTTP service: FastStream subscribers that fold public events into the service's own tables.

At least once: a batch is folded in one transaction, then its offsets are committed. So `apply` must be idempotent by the versions that
events carry. Nothing is skipped: what can not be read or stored becomes a dead letter in the same transaction, a newer schema or a fault
of ours halts the projection with an alarm until it is put right.
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from prometheus_client import REGISTRY
from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import dead_letters, metrics
from shared.consumer import Consumer, behind
from shared.database import Fault, classify
from shared.kafka import SESSION_MS, consumer_settings, group_settings
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox
from shared.schemas.wire import BadRecord, decode, header_map

log = logging.getLogger(__name__)

BATCH_RECORDS = 500
BATCH_WAIT_MS = 10
"""FastStream sleeps this long again after an empty poll: at its default of 200 a lone event takes 63 ms, at 10 it takes 8."""
STOP_SECONDS = 12.0
HALTED_SECONDS = 5.0
RETRY_SECONDS = 2.0
START_SECONDS = 60.0
_OF_A_SUBSCRIBER = {
    "group_id", "auto_offset_reset", "fetch_max_wait_ms", "fetch_min_bytes", "fetch_max_bytes", "max_partition_fetch_bytes",
    "partition_assignment_strategy",
    "session_timeout_ms", "heartbeat_interval_ms", "max_poll_interval_ms", "rebalance_timeout_ms",
}  # fmt: skip
"""What FastStream is told of a consumer at its subscriber; the rest it is told at the broker, or decides as we would."""
STUCK_SECONDS = 15.0
"""A consumer that stands still for two looks, so far apart, while records wait is made anew."""
_NOW = text("SELECT now()")
_Behind = dict[TopicPartition, int] | None


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
    """Runs projections of one service. `halted` says why one stands still, `stuck` that its consumer did and is made anew; else empty."""

    service: str
    bootstrap: str
    pool: AsyncEngine
    outbox: Outbox
    letters: Table
    projections: Sequence[Projection]
    session_ms: int = SESSION_MS
    halted: str = ""
    stuck: str = ""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _folding: int = 0

    def condition(self) -> str:
        """For `/health/ready`: why nothing is folded at the moment, or that it is."""
        return self.halted or self.stuck or "running"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Subscribe until the block ends. Kafka may be away at the start: the service serves meanwhile."""
        serving = asyncio.create_task(self._serve(), name=f"{self.service} projections")
        try:
            yield
        finally:
            self._stopping.set()
            serving.cancel()
            await asyncio.wait({serving})

    async def _serve(self) -> None:
        """One broker after the other: one whose consumer is stuck is thrown away and made anew."""
        while True:
            broker = self.broker()
            try:
                if await self._is_started(broker):
                    await self._until_stuck(broker)
            finally:
                with contextlib.suppress(TimeoutError, KafkaError, OSError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await broker.stop()

    def broker(self) -> KafkaBroker:
        """The FastStream broker with one subscriber for each projection. Counts what it consumes in `faststream_…` metrics."""
        told = consumer_settings(self.bootstrap)
        broker = KafkaBroker(
            self.bootstrap,
            client_id=f"earmark-{self.service}",
            request_timeout_ms=told["request_timeout_ms"],
            retry_backoff_ms=told["retry_backoff_ms"],
            middlewares=(KafkaPrometheusMiddleware(registry=REGISTRY, app_name=f"earmark-{self.service}"),),
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            graceful_timeout=10.0,
            logger=None,
        )
        for projection in self.projections:
            self._subscribe(broker, projection)
        return broker

    async def _until_stuck(self, broker: KafkaBroker) -> None:
        """Watch progress: aiokafka may sit still after a rejoin with no sign (aiokafka#1154), it may wait for its own position for ever,
        and FastStream's loop may have ended."""
        before: _Behind = {}
        while True:
            await asyncio.sleep(STUCK_SECONDS)
            now: _Behind = {} if self._folding else await _behind(broker)
            if (reason := _standstill(before, now)) and not self._folding:
                self.stuck = f"{reason}, its consumer is made anew"
                log.warning("projections of %s: %s", self.service, self.stuck)
                return
            before = now

    def _subscribe(self, broker: KafkaBroker, projection: Projection) -> None:
        told = group_settings(self.bootstrap, f"earmark-{self.service}-{projection.name}", self.session_ms)
        subscriber = broker.subscriber(
            *projection.topics,
            batch=True,
            **{name: value for name, value in told.items() if name in _OF_A_SUBSCRIBER},
            batch_timeout_ms=BATCH_WAIT_MS,
            max_records=BATCH_RECORDS,
            parser=_parse_raw,
            decoder=_as_it_is,
            title=f"{self.service}-{projection.name}",
            description=(projection.apply.__doc__ or "").strip(),
        )

        async def fold(message: Any) -> None:
            self._folding += 1
            try:
                if not await self._fold(projection, message.raw_message):
                    return
            finally:
                self._folding -= 1
            with contextlib.suppress(KafkaError):  # a rebalance: the next owner folds the same again, which changes nothing
                await message.ack()

        subscriber(fold)

    async def _is_started(self, broker: KafkaBroker) -> bool:
        """False after a failure, or after a time in which every answer should have come: then a new one is tried."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await _started(broker)
        except (KafkaError, OSError) as error:
            log.warning("projections of %s wait for Kafka: %s", self.service, str(error) or f"no answer in {START_SECONDS:.0f} s")
            await asyncio.sleep(RETRY_SECONDS)
            return False
        return True

    async def _fold(self, projection: Projection, records: Sequence[ConsumerRecord]) -> bool:
        """Fold a batch, however long it takes. Raising would lose it: FastStream goes on with the next (faststream#1980). False: the
        service stops, and the batch is not folded."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._fold_once(projection, records)
                self.halted = self.stuck = ""
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
        await dead_letters.keep(connection, self.outbox, self.letters, letter, await connection.scalar(_NOW))


async def _started(broker: KafkaBroker) -> None:
    """FastStream makes its own consumers at connect; ours is one that no record can stop."""
    await broker.connect()
    config = broker.config.broker_config
    assert isinstance(config.builder, functools.partial), "FastStream keeps what consumers are made with in a partial"
    config.builder = functools.partial(Consumer, **config.builder.keywords)
    await broker.start()


async def _behind(broker: KafkaBroker) -> _Behind:
    """Where records wait behind what was read, of all subscribers. None: one of them, or the broker, does not say."""
    found: dict[TopicPartition, int] = {}
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            for consumer in [one for subscriber in broker.subscribers if (one := getattr(subscriber, "consumer", None))]:
                found |= await behind(consumer)
    except (KafkaError, OSError):
        return None
    return found


def _standstill(before: _Behind, now: _Behind) -> str:
    """What two looks say that nothing is read; empty where it may be."""
    if now is None:
        return "a reader does not say where it stands" if before is None else ""
    place = next((place for place, at in now.items() if (before or {}).get(place) == at), None)
    return f"{place.topic}/{place.partition} stood still at {now[place]}" if place else ""


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
