"""A relay in a process of its own, to be killed: `python -m tests.support.relay_process DSN KAFKA FROZEN_SECONDS`."""

import asyncio
import sys

from shared.kafka import partition_counts
from shared.log_writer import KafkaLogWriter
from shared.relay import Outbox, Relay

SCHEMA, SHARDS, PARTITIONS = "inventory", 4, 8


def relay(dsn: str, kafka: str, frozen_seconds: float = 15.0, shards: int = SHARDS) -> Relay:
    """A relay of inventory's outbox."""
    counts = partition_counts(PARTITIONS, PARTITIONS)
    return Relay(Outbox(SCHEMA, shards), dsn, KafkaLogWriter(kafka), counts, frozen_seconds=frozen_seconds)


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], sys.argv[2], float(sys.argv[3])).run())
