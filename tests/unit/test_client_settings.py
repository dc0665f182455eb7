"""Every Kafka client is told the same: values that were measured, each of them by name, and FastStream's clients too."""

from collections.abc import Sequence
from typing import Any, cast

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.store.tables import DEAD_LETTER
from shared.kafka import consumer_settings, group_settings, producer_settings
from shared.projection import Projection, Projector

CONSUMER = {
    "bootstrap_servers": "kafka:9092",
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "fetch_max_wait_ms": 500,
    "fetch_min_bytes": 1,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,
    "fetch_max_bytes": 32 * 1024 * 1024,
    "request_timeout_ms": 30_000,
    "retry_backoff_ms": 100,
}
GROUP = CONSUMER | {
    "group_id": "earmark-inventory-levels",
    "partition_assignment_strategy": (RangePartitionAssignor,),
    "session_timeout_ms": 6_000,
    "heartbeat_interval_ms": 1_000,
    "max_poll_interval_ms": 300_000,
    "rebalance_timeout_ms": 10_000,
}
AT_THE_BROKER = {"bootstrap_servers", "request_timeout_ms", "retry_backoff_ms"}


async def fold(connection: AsyncConnection, messages: Sequence[Any]) -> None:
    """Nothing: it is never called."""


def test_consumers_and_members_of_groups_are_told_these() -> None:
    assert consumer_settings("kafka:9092") == CONSUMER
    assert group_settings("kafka:9092", "earmark-inventory-levels") == GROUP


def test_producers_never_double_and_never_lose() -> None:
    told = producer_settings("kafka:9092")
    assert (told["acks"], told["enable_idempotence"], told.get("transactional_id")) == ("all", True, None)
    assert told["compression_type"] == "snappy", "brokers and readers must know it: another one is a change for them"


def test_a_subscriber_of_faststream_is_told_the_same() -> None:
    levels = Projection("levels", ("earmark.stock-levels",), frozenset({"stock_level_changed"}), fold)
    nothing = cast(Any, None)  # a broker that is never started needs neither pool nor outbox
    broker = Projector("inventory", "kafka:9092", nothing, nothing, DEAD_LETTER, [levels]).broker()
    (subscriber,) = broker.subscribers
    told = cast(Any, subscriber)._connection_args | {"group_id": cast(Any, subscriber).group_id}
    assert {name: told[name] for name in GROUP.keys() - AT_THE_BROKER} == {name: GROUP[name] for name in GROUP.keys() - AT_THE_BROKER}
