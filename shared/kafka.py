"""Kafka as Earmark uses it: one factory of client settings, topics, and the checks of the world.

aiokafka's defaults are wrong for us (acks=1, no idempotence, start at the latest record, automatic commits); nobody makes a client
without the settings from here.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from shared import metadata_pace
from shared.schemas.topics import DEAD_LETTERS, RETENTION_DAYS, TOPICS, Topic

logger = logging.getLogger("earmark.kafka")
metadata_pace.install()

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""`max.message.bytes` of our topics: room for one producer batch of records that are each far smaller."""
MAX_DEAD_LETTER_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
"""A record of others as large as their topic takes, with where it lay and why it was refused: it must fit, or nothing behind it is told."""
BATCH_BYTES = 1024 * 1024
COMPRESSION = "snappy"
"""Of what we write; every broker and client knows it. Records of one batch are much alike: a tenth of their bytes remains, and the whole
flow makes a tenth more orders a second than uncompressed. zstd cost more than it saved beyond that."""
SESSION_MS = 6_000
STOP_SECONDS = 10


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
        "compression_type": COMPRESSION,
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
    """Stop a consumer or producer. aiokafka may hang here, or raise CancelledError of a task of its own, while a broker is away; and it may
    take a cancellation of ours for one of its own and return as if nothing had been asked, which is made good here."""
    task = asyncio.current_task()
    assert task is not None, "called in a task"
    before = task.cancelling()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await client.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        logger.warning("a Kafka client did not stop cleanly: %s", error)
    except asyncio.CancelledError:
        logger.debug("cancelled while a Kafka client was stopped")
    if task.cancelling() > before:
        raise asyncio.CancelledError


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


async def wake_group_coordinator(bootstrap: str) -> None:
    """Let a new cluster begin to make the topic in which groups keep their offsets: that takes it more than a second, it begins when the
    first coordinator is asked for, and a group can not form before. Raises KafkaUnreachable."""
    async with admin(bootstrap) as client:
        with contextlib.suppress(KafkaError):  # mostly that there is none yet
            await client.find_coordinator("earmark")


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
