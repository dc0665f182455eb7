"""The containers that tests use where a Docker engine answers, without one: testcontainers' own code runs, the engine is a double that
knows the calls of the installed one. `tests/contract/test_containers.py` holds the images to those of the compose file."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
import yaml

from shared.local.kafka_settings import BEHAVIOUR
from tests.support.servers import KAFKA_IMAGE, KAFKA_PORT, POSTGRES_IMAGE, docker_answers, in_containers


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """An engine on the machine `engine` where every container starts; `create` says with what."""
    from docker.models.containers import Container, ExecResult  # type: ignore[import-untyped]  # publishes no types
    from testcontainers.core import container as containers
    from testcontainers.core.config import ConnectionMode, testcontainers_config
    from testcontainers.core.docker_client import DockerClient

    container = create_autospec(Container, instance=True, id="1", status="running")
    container.logs.return_value = b"[KafkaRaftServer nodeId=1] Kafka Server started (kafka.server.KafkaRaftServer)"
    container.exec_run.return_value = ExecResult(0, b"")
    double: Mock = create_autospec(DockerClient, instance=True)
    double.client = Mock()
    double.get_connection_mode.return_value = ConnectionMode.docker_host
    double.host.return_value = "engine"
    double.port.return_value = "55432"
    double.create.return_value = container
    monkeypatch.setattr(containers, "DockerClient", lambda **_: double)
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    return double


def created(engine: Mock) -> dict[str, dict[str, Any]]:
    """With what each image was started."""
    return {call.args[0]: call.kwargs for call in engine.create.call_args_list}


def test_both_servers_are_containers_at_addresses_that_can_be_reached_from_here(engine: Mock) -> None:
    with in_containers() as servers:
        started = created(engine)
        assert list(started) == [POSTGRES_IMAGE, KAFKA_IMAGE]
        assert servers.postgres_dsn == "postgresql://earmark:earmark@engine:55432/earmark"
        assert servers.kafka_bootstrap == f"engine:{started[KAFKA_IMAGE]['ports'][str(KAFKA_PORT)]}"
        assert servers.stack is None
    assert engine.create.return_value.remove.call_count == 2


def test_the_container_of_kafka_behaves_like_the_private_broker_and_says_where_it_is(engine: Mock) -> None:
    with in_containers() as servers:
        told = created(engine)[KAFKA_IMAGE]["environment"]
    assert told["KAFKA_ADVERTISED_LISTENERS"] == f"BROKER://{servers.kafka_bootstrap}"
    assert {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in BEHAVIOUR.items()}.items() <= told.items()


def test_the_container_of_postgres_takes_as_many_connections_as_the_composed_one(engine: Mock) -> None:
    composed = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["postgres"]
    with in_containers():
        assert created(engine)[POSTGRES_IMAGE]["command"].split() == composed["command"]


def test_nothing_is_left_where_one_of_them_does_not_start(engine: Mock) -> None:
    engine.start.side_effect = [None, OSError("the port is taken")]
    with pytest.raises(OSError, match="the port is taken"):
        in_containers()
    assert engine.create.return_value.remove.call_count == 2


class Ping(BaseHTTPRequestHandler):
    """The two answers by which an engine is known."""

    def do_GET(self) -> None:
        body = b"OK" if self.path.endswith("/_ping") else json.dumps({"ApiVersion": "1.47", "MinAPIVersion": "1.24"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture
def answering() -> Iterator[str]:
    """The address of an engine that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Ping) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_engine_is_there_when_it_answers_and_a_client_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch, answering: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", answering)
    assert docker_answers()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert not docker_answers()
