"""Kafka as Earmark uses it: one factory of client settings, topics, the checks of the world, and the writer of outbox rows.

aiokafka's defaults are wrong for us (acks=1, no idempotence, start at the latest record, automatic commits); nobody makes a client
without the settings from here.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from shared.partitions.crash import crash_point, is_armed
from shared.partitions.model import OutboxRow
from shared.schemas.topics import DEAD_LETTERS, RETENTION_DAYS, TOPICS, Topic
from shared.schemas.wire import Record

logger = logging.getLogger("earmark.kafka")

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""`max.message.bytes` of our topics: room for one producer batch of records that are each far smaller."""
MAX_DEAD_LETTER_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
"""A record of others as large as their topic takes, with where it lay and why it was refused: it must fit, or nothing behind it is told."""
BATCH_BYTES = 1024 * 1024
SESSION_MS = 6_000
STOP_SECONDS = 10
ACKNOWLEDGED_SECONDS = 60


class KafkaUnreachable(Exception):
    """Kafka does not answer. Check EARMARK_KAFKA and that the broker runs; everything goes on by itself when it is back."""


class WorldChanged(Exception):
    """Kafka is not the one that Postgres remembers. Nothing was read or written; see the runbook named in the message."""


class TooFewBrokers(Exception):
    """The cluster has fewer brokers than topics are to have copies. Start the missing ones, or lower EARMARK_KAFKA_REPLICATION."""


class Copies(NamedTuple):
    """On how many brokers every record lies, and how many of them must have it before it counts as written."""

    replication: int
    min_insync: int


ONE_COPY = Copies(1, 1)
"""For a single broker, such as the private one."""


def producer_settings(bootstrap: str) -> dict[str, Any]:
    """Every producer: acknowledged by all replicas, idempotent, big batches made by us."""
    return {
        "bootstrap_servers": bootstrap,
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": BATCH_BYTES,
        "max_request_size": MAX_DEAD_LETTER_BYTES,
        "linger_ms": 0,
        "request_timeout_ms": 30_000,
        "retry_backoff_ms": 100,
    }


def consumer_settings(bootstrap: str) -> dict[str, Any]:
    """Every consumer: no automatic commit, from the earliest record, nothing silently skipped."""
    return {
        "bootstrap_servers": bootstrap,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": 500,
        "fetch_min_bytes": 1,
        "max_partition_fetch_bytes": 4 * 1024 * 1024,
        "fetch_max_bytes": 32 * 1024 * 1024,
        "request_timeout_ms": 30_000,
        "retry_backoff_ms": 100,
    }


def group_settings(bootstrap: str, group: str, session_ms: int = SESSION_MS) -> dict[str, Any]:
    """Group members: range assignor (round robin tears partitions of one number apart), quick failure detection: a member that is silent
    for `session_ms` is given up."""
    return consumer_settings(bootstrap) | {
        "group_id": group,
        "partition_assignment_strategy": (RangePartitionAssignor,),
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": min(1_000, session_ms // 3),
        "max_poll_interval_ms": 300_000,
        "rebalance_timeout_ms": 10_000,
    }


async def stop_client(client: Any) -> None:
    """Stop a consumer or producer. aiokafka may hang here, or raise CancelledError of a task of its own, while a broker is away."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await client.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        logger.warning("a Kafka client did not stop cleanly: %s", error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


@contextlib.asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[Any]:
    """An admin client. Raises KafkaUnreachable."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        raise KafkaUnreachable(f"Kafka at {bootstrap} does not answer ({error}). Check EARMARK_KAFKA and that the broker runs.") from error
    try:
        yield client
    finally:
        await client.close()


def partition_counts(stock: int, demand: int) -> dict[str, int]:
    """Topic name to its number of partitions."""
    return {topic.name: stock if topic.side == "stock" else demand for topic in TOPICS}


async def create_topics(bootstrap: str, counts: Mapping[str, int], copies: Copies) -> None:
    """Make the topics that are missing; those that are there stay as they are. Raises TooFewBrokers."""
    async with admin(bootstrap) as client:
        known = set(await client.list_topics())
        missing = [_new_topic(topic, counts[topic.name], copies) for topic in TOPICS if topic.name not in known]
        if missing:
            _require_brokers(len((await client.describe_cluster())["brokers"]), copies)
            with contextlib.suppress(TopicAlreadyExistsError):
                await client.create_topics(missing)


def _require_brokers(brokers: int, copies: Copies) -> None:
    """The broker's own words for this name neither the setting nor the remedy."""
    if brokers < copies.replication:
        raise TooFewBrokers(
            f"Every topic is to have {copies.replication} copies and the cluster shows {brokers} broker{'s' * (brokers != 1)}. Start the "
            "missing ones, or say how many copies you want: EARMARK_KAFKA_REPLICATION=1 EARMARK_KAFKA_MIN_INSYNC=1 for a single broker."
        )


def _new_topic(topic: Topic, partitions: int, copies: Copies) -> NewTopic:
    configuration = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(RETENTION_DAYS * 86_400_000),
        "max.message.bytes": str(MAX_DEAD_LETTER_BYTES if topic is DEAD_LETTERS else MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(copies.min_insync),
        "unclean.leader.election.enable": "false",
    }
    return NewTopic(topic.name, partitions, copies.replication, topic_configs=configuration)


async def describe_world(bootstrap: str) -> dict[str, str]:
    """What must never change behind our back: the cluster's id and the partition count of every topic of ours that exists."""
    async with admin(bootstrap) as client:
        cluster = await client.describe_cluster()
        topics = await client.describe_topics()
    counts = {topic["topic"]: str(len(topic["partitions"])) for topic in topics}
    found = {f"partitions of {topic.name}": counts[topic.name] for topic in TOPICS if topic.name in counts}
    return found | {"cluster id": str(cluster["cluster_id"])}


def check_world(remembered: Mapping[str, str], found: Mapping[str, str], where: str) -> None:
    """Compare; `where` says whose word `found` is. Raises WorldChanged with the remedy for the first difference."""
    for name, value in remembered.items():
        if found.get(name) == value:
            continue
        if name == "cluster id":
            raise WorldChanged(
                f"This database belongs to the Kafka cluster {value}, and EARMARK_KAFKA leads to {found.get(name)}. Point it back, or "
                "follow docs/runbooks.md#cluster-changed."
            )
        raise WorldChanged(
            f"The {name} are {value} for ever, and {where} says {found.get(name, 'that the topic is gone')}. The partition count is part "
            "of the data model: put it back, or follow docs/runbooks.md#partition-count-changed."
        )


class KafkaLogWriter:
    """Publishes outbox rows by the producer's batch builder, the partition chosen by us. Implements `LogWriter`.

    What many callers have for one destination while it is busy goes out together in the next batch: aiokafka's own queue for it holds
    one batch and makes the others wait, each with a clock of its own. After any produce error the producer is closed and made anew:
    its sequence may have a gap that it would never get over.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._destinations: dict[tuple[str, int], _Destination] = {}

    async def _open(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(**producer_settings(self._bootstrap))
                try:
                    await producer.start()
                except BaseException:
                    await stop_client(producer)
                    raise
                self._producer = producer
            return self._producer

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """See the port. Rows for one destination keep their order. Raises KafkaError or TimeoutError; publish all rows again then."""
        producer = await self._open()
        try:
            by_destination: dict[tuple[str, int], list[Record]] = {}
            for row in rows:
                by_destination.setdefault((row.topic, row.destination), []).extend(row.records)
            waiting: list[asyncio.Future[None]] = []
            for number, (destination, records) in enumerate(by_destination.items()):
                if number * 2 >= len(by_destination) > 1:
                    await _half_published(waiting)
                waiting.append(self._destination(producer, destination).put(records))
            async with asyncio.timeout(ACKNOWLEDGED_SECONDS):
                await asyncio.gather(*waiting)
            crash_point("published")
        except BaseException:
            await self._discard(producer)
            raise

    def _destination(self, producer: AIOKafkaProducer, name: tuple[str, int]) -> "_Destination":
        found = self._destinations.get(name)
        if found is None or found.producer is not producer:
            found = self._destinations[name] = _Destination(producer, *name)
        return found

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            try:
                await stop_client(producer)
            finally:
                self._give_up(producer)

    def _give_up(self, producer: AIOKafkaProducer) -> None:
        """Whoever still waits is told to publish again. A stopped producer may forget a batch without a word: what waited for one
        stood still for the whole time that an acknowledgement may take."""
        for name in [name for name, found in self._destinations.items() if found.producer is producer]:
            self._destinations.pop(name).give_up()

    async def close(self) -> None:
        """Stop the producer."""
        if self._producer is not None:
            await self._discard(self._producer)


class _Destination:
    """One topic partition: records in the order in which they were put, one produce batch under way at a time."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self.producer, self._topic, self._partition = producer, topic, partition
        self._records: deque[tuple[Record, asyncio.Future[None] | None]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, records: Sequence[Record]) -> "asyncio.Future[None]":
        """Done when the last of them is acknowledged."""
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._records.extend((record, None) for record in records[:-1])
        self._records.append((records[-1], acknowledged))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return acknowledged

    def give_up(self) -> None:
        """Fail what is not acknowledged."""
        if self._sending is not None:
            self._sending.cancel()  # what it has in hand it fails itself
        _fail([one for _, one in self._records if one is not None], KafkaError("the producer was stopped"))
        self._records.clear()

    async def _send(self) -> None:
        while self._records:
            batch, told = self._batch()
            try:
                await (await self.producer.send_batch(batch, self._topic, partition=self._partition))
            except BaseException as error:
                told += [one for _, one in self._records if one is not None]
                self._records.clear()
                _fail(told, error)
                return
            for one in told:
                if not one.done():
                    one.set_result(None)

    def _batch(self) -> tuple[Any, list["asyncio.Future[None]"]]:
        batch, told = self.producer.create_batch(), []
        while self._records:
            record, acknowledged = self._records[0]
            if batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers)) is None:
                assert batch.record_count(), "a record is smaller than a batch: the wire limits it"
                break
            self._records.popleft()
            if acknowledged is not None:
                told.append(acknowledged)
        return batch, told


def _fail(waiting: Sequence["asyncio.Future[None]"], error: BaseException) -> None:
    reason = error if isinstance(error, Exception) else KafkaError("the producer was stopped")
    for one in waiting:
        if not one.done():
            one.set_exception(reason)
            one.exception()  # its waiter may be gone: then nobody is told, and that is no error


async def _half_published(waiting: Sequence["asyncio.Future[None]"]) -> None:
    """A seam for tests only: with a crash point armed, half of the rows are acknowledged before the others are sent."""
    if is_armed("half_published"):
        await asyncio.gather(*waiting)
        crash_point("half_published")
