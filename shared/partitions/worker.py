"""The shell around one state partition: connect, take over, serve, publish, and begin again after any doubt."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import asyncpg
from aiokafka.errors import KafkaError

from shared.database import CodeTooOld
from shared.kafka import WorldChanged
from shared.partitions.ahead import OutputTails, check_not_ahead
from shared.partitions.housekeeping import IDLE_SECONDS, Housekeeping
from shared.partitions.joint import JointBatchLost
from shared.partitions.link import Link
from shared.partitions.meter import Meter
from shared.partitions.model import InputRecord, OutboxRow, PartitionId, Position
from shared.partitions.partition import Halted, Limits, StatePartition
from shared.partitions.ports import FenceLost, LogWriter, Side, WasKnown
from shared.partitions.postgres import PostgresPartitionStore
from shared.partitions.reader import Attachment, LogReader
from shared.partitions.turns import Turns
from shared.schemas.topics import BY_NAME

logger = logging.getLogger("earmark.partition")

DATA_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""SQLSTATE classes 22 and 23: the same batch would fail for ever. Served record by record, the culprit is found and put aside."""
CAREFUL_RECORDS = 2_000
ALONE_BATCHES = 20
"""After a batch that was lost with others. Whoever was at fault fails again within fewer, and alone."""
STORE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""InternalClientError too: asyncpg raises it where the server ended the connection of a process that had been frozen in a batch."""
FIRST_PAUSE_SECONDS = 0.1
FENCE_PAUSE_SECONDS = 2.0
MAX_PUBLISH_ROWS = 200


@dataclass(frozen=True, slots=True)
class World:
    """What every worker of a process shares."""

    owner: str
    counts: dict[str, int]
    connect: Callable[[], Awaitable[asyncpg.Connection]]
    writer: LogWriter
    reader: LogReader
    check: Callable[[PartitionId, Mapping[str, Position], Mapping[str, Position]], Awaitable[None]]
    tails: OutputTails
    on_change: Callable[[str], None]
    tokens: Callable[[], str]
    limits: Limits
    keep: timedelta
    turns: Turns


class Worker:
    """Serves one state partition until `stop`. Progress is the only sign of health: see `stuck_for`."""

    def __init__(self, partition: PartitionId, side: Callable[[Link], Side], world: World) -> None:
        self.partition, self._make_side, self._world = partition, side, world
        self.halted: str | None = None
        self.batches = 0
        self.messages_at = monotonic()
        self._wake = asyncio.Event()
        self._stopping = False
        self._queue: deque[OutboxRow] = deque()
        self._published_at = monotonic()
        self._queued = asyncio.Event()
        self._state: StatePartition | None = None
        self._clock = (datetime.now(UTC), monotonic())
        self._careful = self._alone = 0
        self._serving: InputRecord | None = None
        self._condemned: dict[tuple[str, int], str] = {}
        self._positions: Mapping[str, Position] = {}
        self._known: Mapping[str, Position] = {}
        self._inputs: tuple[str, ...] = ()
        self.meter = Meter(partition)
        self.meter.show(lambda: self._state.backlog if self._state is not None else 0, lambda: self.halted is not None)

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        """Serve until stopped; connect and take over again after every failure, with growing pauses."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping and self.halted is None:
            began = monotonic()
            try:
                await self._own()
            except FenceLost as lost:
                logger.info("%s: %s; another process serves it", self.partition, lost)
                pause = FENCE_PAUSE_SECONDS
            except Halted as halted:
                self.halted = str(halted)
                logger.error("%s", halted)
            except (WorldChanged, CodeTooOld) as changed:
                self.halted = str(changed)
                self._world.on_change(str(changed))
            except JointBatchLost as lost:
                logger.info("%s: %s; claiming again", self.partition, lost)
                pause, self._alone = FIRST_PAUSE_SECONDS, ALONE_BATCHES
            except DATA_ERRORS as error:
                self._suspect(error)
            except (*STORE_ERRORS, KafkaError, WasKnown) as error:
                logger.warning("%s: %s: %s; claiming again", self.partition, type(error).__name__, error)
                pause = FIRST_PAUSE_SECONDS if monotonic() - began > 10 else min(pause * 2, 5.0)
            except Exception as error:
                self.halted = f"{self.partition} stops at a fault of its own ({type(error).__name__}: {error}): see the log"
                logger.exception("%s", self.halted)
            if not self._stopping and self.halted is None:
                await self._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret

    def _suspect(self, error: Exception) -> None:
        """A value that the store will never take: find its record, and put it aside where others wrote it."""
        culprit = self._serving
        if self._careful and culprit is not None and not BY_NAME[culprit.topic].internal:
            logger.error("%s: %s offset %d is put aside: %s", self.partition, culprit.topic, culprit.offset, error)
            self._condemned[culprit.topic, culprit.offset] = f"the store refuses it: {error}"
        elif self._careful:
            self.halted = f"{self.partition} stops: the store refuses a batch of its own ({error}). See docs/runbooks.md#refused-batch"
            logger.error("%s", self.halted)
        self._careful = CAREFUL_RECORDS

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    self._wake.clear()
                    await self._wake.wait()

    def stop(self) -> None:
        """Finish the batch in hand, publish what is committed, and return from `run`."""
        self._stopping = True
        self._wake.set()
        self._queued.set()

    def halt(self, reason: str) -> None:
        """Stop, and stay stopped."""
        self.halted = reason
        self.stop()

    @property
    def is_serving(self) -> bool:
        """Whether the partition is taken over now."""
        return self._state is not None

    def stuck_for(self) -> float:
        """Seconds since the last batch, while records wait; 0 when nothing waits."""
        return monotonic() - self.messages_at if self._state is not None and self._state.has_records else 0.0

    def reached(self) -> dict[str, int]:
        """Input topic to the next offset that is to be applied, as committed. Empty before the first takeover."""
        return {topic: self._positions[topic].next_offset if topic in self._positions else 0 for topic in self._inputs}

    async def look_at_log(self) -> None:
        """Raises WorldChanged where the log is not the one that was read. What is compared is a record that an earlier look vouched
        for: the last one applied may already come from the wrong log."""
        if self._state is not None:
            positions = self._positions
            await self._world.check(self.partition, positions, self._known)
            self._known = positions

    def unpublished_for(self) -> float:
        """Seconds since anything was published, while committed outputs wait; 0 when nothing waits."""
        return monotonic() - self._published_at if self._state is not None and self._queue else 0.0

    # ---------------------------------------------------------------- one ownership

    async def _own(self) -> None:
        connection = await self._world.connect()
        try:
            if self._stopping:
                return  # another process serves it by now: a claim would only take it away again
            store = PostgresPartitionStore(connection)
            state = StatePartition(
                self.partition,
                self._make_side(store.link),
                store,
                self._world.counts,
                self._world.tokens,
                self._world.limits,
            )
            unpublished = await state.take_over(self._world.owner)
            for (topic, offset), reason in self._condemned.items():
                state.condemn(topic, offset, reason)
            self._clock = (await connection.fetchval("SELECT clock_timestamp()"), monotonic())
            assert state.row is not None, "taken over"
            self._positions = self._known = state.row.positions
            await self._world.check(self.partition, self._positions, self._known)
            check_not_ahead(await self._world.tails.newest(), await store.sources())
            self._inputs = state.side.inputs
            self.meter.taken_over()
            logger.info("%s: taken over, %d outbox rows to publish again", self.partition, len(unpublished))
            await self._publish_and_serve(state, store, unpublished)
        finally:
            self._state = None
            with contextlib.suppress(*STORE_ERRORS):
                await connection.close(timeout=2)

    async def _publish_and_serve(self, state: StatePartition, store: PostgresPartitionStore, unpublished: list[OutboxRow]) -> None:
        self._queue, self._published_at = deque(unpublished), monotonic()
        self._state = state
        failure: list[Halted] = []
        attachment = Attachment(
            state.side.inputs,
            self.partition.number,
            state.read_from,
            lambda: state.has_room,
            self._offer(state, failure),
        )
        publisher = asyncio.create_task(self._publish(state))
        self._queued.set()
        self._world.reader.attach(attachment)
        try:
            await self._serve(state, store, failure)
            await self._flushed(publisher)
        finally:
            self._world.reader.detach(attachment)
            await ended(publisher)

    def _offer(self, state: StatePartition, failure: list[Halted]) -> Callable[[Iterable[InputRecord]], None]:
        def offer(records: Iterable[InputRecord]) -> None:
            try:
                state.offer(records)
            except Halted as halted:
                failure.append(halted)
            self._wake.set()

        return offer

    async def _serve(self, state: StatePartition, store: PostgresPartitionStore, failure: list[Halted]) -> None:
        housekeeping = Housekeeping(self.partition, self._world.keep, self.meter.forgotten)
        while not self._stopping:
            if state.has_records or state.deadline_is_due(self._now()):
                self.messages_at = monotonic() if not state.has_records else self.messages_at
                self._serving = state.next_record
                rows, seconds = await self._world.turns.batch(
                    state, store.link, records=1 if self._careful else None, alone=self._alone > 0
                )
                self._careful, self._alone = max(0, self._careful - 1), max(0, self._alone - 1)
                self.batches += 1
                self._note(state, seconds)
                self.messages_at = monotonic()
                self._queue.extend(rows)
                self._queued.set()
                await housekeeping.step(state, store, idle=False)
                await asyncio.sleep(0)
                continue
            if failure:
                raise failure[0]
            await housekeeping.step(state, store, idle=True)
            await self._wait(state)

    def _now(self) -> datetime:
        """The database's clock, as far as we know it: ours may be wrong by hours."""
        read_at, ours = self._clock
        return read_at + timedelta(seconds=monotonic() - ours)

    def _note(self, state: StatePartition, seconds: float) -> None:
        row = state.row
        assert row is not None, "a served batch leaves a row"
        self._clock, self._positions = (row.logical_time, monotonic()), row.positions
        self.meter.batch(seconds, state.decided_messages, state.dead_letters)
        logger.debug(
            "%s batch=%d messages=%d dead_letters=%d ms=%.1f sequence=%d backlog=%d",
            self.partition, row.batch_no, state.decided_messages, state.dead_letters, seconds * 1000, row.out_sequence, state.backlog,
        )  # fmt: skip

    async def _wait(self, state: StatePartition) -> None:
        self._wake.clear()
        if state.has_records or self._stopping:
            return
        self.messages_at = monotonic()
        due = state.side.next_deadline()
        seconds = IDLE_SECONDS
        if due is not None:
            seconds = min(seconds, max(0.0, (due - self._now()).total_seconds()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # ---------------------------------------------------------------- publishing, while the next batch is decided

    async def _publish(self, state: StatePartition) -> None:
        pause = 0.1
        while True:
            if not self._queue:
                self._queued.clear()
                await self._queued.wait()
                self._published_at = monotonic()
                continue
            rows = [self._queue[index] for index in range(min(len(self._queue), MAX_PUBLISH_ROWS))]
            try:
                await self._world.writer.publish(rows)
            except (KafkaError, TimeoutError, OSError) as error:
                self.meter.publish_failed()
                logger.warning("%s: publishing failed (%s: %s); again", self.partition, type(error).__name__, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            pause = 0.1
            for row in rows:
                self._queue.popleft()
                self._published_at = monotonic()
                state.published_sequence = max(state.published_sequence, row.last_sequence)

    async def _flushed(self, publisher: "asyncio.Task[None]") -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while self._queue and not publisher.done():  # noqa: ASYNC110 - at most ten seconds, once in a life
                    await asyncio.sleep(0.01)


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel it until it is over: a client may take a cancellation for one of its own, and whoever waits for the task would wait for ever.
    Raises what the task raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if not task.cancelled():
        task.result()
