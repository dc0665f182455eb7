"""What the private broker is told: pure text, so that a test can hold every setting to its reason."""

from __future__ import annotations

import hashlib

from shared.local.ports import Ports

NODE = 1
DAY_MS = 24 * 60 * 60 * 1000

# Console only: the parent gives it a file. The line that says the broker is ready comes from KafkaRaftServer at INFO.
LOGGING = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server
logger.server.level = info
"""


def broker_settings(ports: Ports, reached_at: int | None = None) -> dict[str, str]:
    """Every setting of the single node, broker and controller in one; the reasons stand beside the values. `reached_at`: the port at which
    clients reach it, where something stands in between: they go where the broker says that it is.

    Log folders are relative: the broker runs in its own data folder, so no path needs escaping and a project can be moved.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE),
        "listeners": f"BROKER://127.0.0.1:{ports.kafka},CONTROLLER://127.0.0.1:{ports.kafka_controller}",
        "advertised.listeners": f"BROKER://127.0.0.1:{reached_at or ports.kafka}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"{NODE}@127.0.0.1:{ports.kafka_controller}",
        "log.dirs": "log",
        **BEHAVIOUR,
    }


# What does not depend on where it runs: a container that stands in for the private broker gets the same.
BEHAVIOUR = {
    # A topic's partition count is part of the data model: none may appear by a typing error.
    "auto.create.topics.enable": "false",
    # There is one node.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer files, quicker start: 50 of each is for clusters.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # After kill -9 the broker waits for its own old session to end: 12 s by default, 4 s with these.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Members of a group are few and start together; a killed one is to be replaced quickly.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # Offsets live in Postgres; records must outlast the longest outage plus the age of a restored backup.
    "log.retention.ms": str(30 * DAY_MS),
    "log.retention.bytes": "-1",
    "offsets.retention.minutes": str(30 * 24 * 60),
    # A quarter of the heap by default, for one compacted topic.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    # Threads for a machine that does other things too.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
}


def identity_of_storage(cluster_id: str, directory_id: str) -> dict[str, str]:
    """What formatting writes down of one storage, and of no other (`meta.properties`)."""
    return {"cluster.id": cluster_id, "directory.id": directory_id, "node.id": str(NODE), "version": "1"}


def format_digest() -> str:
    """Of everything that formatting may read of the settings. Where a broker listens is not written down by it."""
    return hashlib.sha256(properties(broker_settings(Ports(0, 0, 0))).encode()).hexdigest()[:16]


def properties(settings: dict[str, str]) -> str:
    """The settings as the text of a Java properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())
