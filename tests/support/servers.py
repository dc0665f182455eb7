"""The real Kafka and the real Postgres for a test run, and where they come from.

Use it once a session: servers named in the environment, else containers where a Docker engine answers, else the private ones.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.local.errors import PortTaken, ServerDidNotStart
from shared.local.kafka_settings import BEHAVIOUR
from shared.local.stack import LocalStack

KAFKA_IMAGE = "apache/kafka:4.4.0"
KAFKA_PORT = 9092
POSTGRES_IMAGE = "postgres:18"
NAMED = "the ones that EARMARK_KAFKA and EARMARK_POSTGRES name"
CONTAINERS = f"containers of {KAFKA_IMAGE} and {POSTGRES_IMAGE}"
CONTAINER_START_SECONDS = 120
DOCKER_ANSWERS_WITHIN_SECONDS = 3
PORT_CHOICES = 3
TAKEN = "(?i)address already in use"
"""How Kafka and Postgres alike say that they could not listen."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are; `stack` can stop and kill them where they are ours. End with `stop()` or use as a context manager."""

    kafka_bootstrap: str
    postgres_dsn: str
    stack: LocalStack | None
    origin: str
    _cleanup: ExitStack = field(default_factory=ExitStack, repr=False)

    def stop(self) -> None:
        """Stop what `real_servers` started; servers named in the environment are left alone."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def real_servers(folder: Path) -> Servers:
    """Servers that answer now. `folder` holds the data where they are private; says on the terminal which ones these are."""
    servers = _named_in_environment() or (in_containers() if docker_answers() else _private(folder))
    print(f"\nKafka and Postgres: {servers.origin}")
    return servers


def origin() -> str:
    """Where `real_servers` takes them from."""
    if _named_in_environment():
        return NAMED
    return CONTAINERS if docker_answers() else "private ones, removed by now"


def _named_in_environment() -> Servers | None:
    kafka, postgres = os.environ.get("EARMARK_KAFKA"), os.environ.get("EARMARK_POSTGRES")
    return Servers(kafka, postgres, None, NAMED) if kafka and postgres else None


def _private(folder: Path) -> Servers:
    """Removed at the end, because data of a test run may lie outside `folder`. Those that ran before are only borrowed. A port that
    somebody took between our look and the server's bind is a reason to choose others."""
    for _ in range(PORT_CHOICES - 1):
        try:
            return _started(folder)
        except (PortTaken, ServerDidNotStart) as error:
            if isinstance(error, ServerDidNotStart) and not re.search(TAKEN, str(error)):
                raise
    return _started(folder)


def _started(folder: Path) -> Servers:
    """Made for minutes: in a benchmark of two cores Java's optimizing compiler and its collector threads took more than a third of what
    Kafka used."""
    stack = LocalStack(folder, tied_to_parent=True, brief=True)
    cleanup = ExitStack()
    if not stack.is_running():
        cleanup.callback(stack.clean)
    with cleanup:
        stack.start()
        cleanup = cleanup.pop_all()
    return Servers(stack.kafka_bootstrap, stack.postgres_dsn, stack, f"private ones in {folder}", cleanup)


def docker_answers() -> bool:
    """Whether a Docker engine is there; a client without an engine is not enough."""
    try:
        import docker  # type: ignore[import-untyped]  # publishes no types
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=DOCKER_ANSWERS_WITHIN_SECONDS)
    except (docker.errors.DockerException, OSError):
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def in_containers() -> Servers:
    """Both as containers of the images that `docker-compose.yml` names; nothing is left of them where one does not start."""
    cleanup = ExitStack()
    try:
        postgres_dsn = _postgres_container(cleanup.callback)
        kafka_bootstrap = _kafka_container(cleanup.callback)
    except BaseException:
        cleanup.close()
        raise
    return Servers(kafka_bootstrap, postgres_dsn, None, CONTAINERS, cleanup)


def _postgres_container(on_stop: Callable[[Callable[[], object]], object]) -> str:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(POSTGRES_IMAGE, username="earmark", password="earmark", dbname="earmark", driver=None)
    container.with_command("postgres -c max_connections=200")
    on_stop(container.stop)
    container.start()
    return str(container.get_connection_url())


def _kafka_container(on_stop: Callable[[Callable[[], object]], object]) -> str:
    """Not testcontainers' own KafkaContainer: its image is another distribution's, and older."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(KAFKA_IMAGE)
    port = _free_port()
    container.with_bind_ports(KAFKA_PORT, port)
    address = f"{container.get_container_host_ip()}:{port}"
    for name, value in container_environment(address).items():
        container.with_env(name, value)
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(CONTAINER_START_SECONDS))
    on_stop(container.stop)
    container.start()
    return address


def container_environment(address: str) -> dict[str, str]:
    """The private broker's settings as the image reads them: dots are underscores, behind KAFKA_.

    The advertised address has to be known before the start, so the port on the host is chosen by us and not by the engine.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"BROKER://0.0.0.0:{KAFKA_PORT},CONTROLLER://127.0.0.1:{KAFKA_PORT + 1}",
        "advertised.listeners": f"BROKER://{address}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{KAFKA_PORT + 1}",
        **BEHAVIOUR,
    }
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
