"""The private Kafka without starting one: the lock file, the cache, Java, and what the broker is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shared.local import artifacts
from shared.local.artifacts import Jar
from shared.local.errors import JarRefused, JarsUnavailable, JavaUnusable, LockFileUnreadable
from shared.local.java import find_java, major_version
from shared.local.kafka import Broker, new_uuid
from shared.local.kafka_settings import BEHAVIOUR, DAY_MS, broker_settings, identity_of_storage, properties
from shared.local.ports import Ports

BYTES = b"the bytes of a jar"
BROKER_JAR = Jar("org.apache.kafka", "kafka_2.13", "4.4.0", hashlib.sha256(BYTES).hexdigest())


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The artifact repository: serves BYTES under every coordinate and records which were asked for."""
    asked: list[str] = []

    def serve(jar: Jar, scratch: Path) -> Path:
        asked.append(jar.coordinate)
        path = scratch / jar.file_name
        path.write_bytes(BYTES)
        return path

    monkeypatch.setattr(artifacts, "download", serve)
    return asked


def test_the_lock_file_of_this_project_pins_the_broker_and_everything_it_needs() -> None:
    jars = artifacts.read_lock(artifacts.lock_path())
    names = {jar.artifact for jar in jars}
    assert artifacts.kafka_version(jars) == "4.4.0"
    assert {"kafka_2.13", "kafka-clients", "kafka-server", "log4j-core", "log4j-slf4j-impl"} <= names
    assert {jar.version for jar in jars if jar.artifact == "kafka-clients"} == {"4.4.0"}
    assert len({jar.file_name for jar in jars}) == len(jars) == 44


def test_the_lock_file_names_no_host() -> None:
    text = artifacts.lock_path().read_text(encoding="utf-8")
    assert "http" not in text
    assert "//" not in text


def test_the_copy_of_the_lock_file_that_is_installed_is_the_same() -> None:
    installed = Path(artifacts.__file__).with_name("artifacts.lock")
    assert installed.read_text(encoding="utf-8") == artifacts.lock_path().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it names no jar"),
        ("# only a comment\n", "it names no jar"),
        ("org.apache.kafka:kafka_2.13:4.4.0\n", "line 1"),
        (f"# one\norg.apache.kafka:kafka_2.13 {'a' * 64}\n", "line 2"),
        (f"org.apache.kafka:kafka_2.13:4.4.0 {'a' * 63}\n", "line 1"),
        (f"../../etc:passwd:1 {'a' * 64}\n", "line 1"),
        (f"g:../../outside:1 {'a' * 64}\n", "line 1"),
    ],
)
def test_a_lock_file_with_anything_but_jars_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    lock = tmp_path / "artifacts.lock"
    lock.write_text(text)
    with pytest.raises(LockFileUnreadable, match=reason):
        artifacts.read_lock(lock)


def test_a_lock_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockFileUnreadable, match=r"absent\.lock"):
        artifacts.read_lock(tmp_path / "absent.lock")


def test_a_jar_is_fetched_once_and_then_found(tmp_path: Path, downloads: list[str]) -> None:
    for _ in range(2):
        assert artifacts.ensure_jars((BROKER_JAR,), tmp_path) == [tmp_path / "kafka_2.13-4.4.0.jar"]
    assert downloads == [BROKER_JAR.coordinate]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kafka_2.13-4.4.0.jar"]


def test_a_jar_that_went_bad_in_the_cache_is_fetched_again(tmp_path: Path, downloads: list[str]) -> None:
    (tmp_path / BROKER_JAR.file_name).write_bytes(b"half of it")
    artifacts.ensure_jars((BROKER_JAR,), tmp_path)
    assert downloads == [BROKER_JAR.coordinate]
    assert (tmp_path / BROKER_JAR.file_name).read_bytes() == BYTES


def test_a_fetched_jar_with_another_hash_never_reaches_the_cache(tmp_path: Path, downloads: list[str]) -> None:
    forged = Jar("org.apache.kafka", "kafka_2.13", "4.4.0", "0" * 64)
    with pytest.raises(JarRefused, match="the lock file says 0000"):
        artifacts.ensure_jars((forged,), tmp_path)
    assert list(tmp_path.iterdir()) == []


def wrapped(first: Exception) -> Exception:
    """As clients wrap it: the words around it repeat the address and name objects, at length."""
    error = ConnectionError(f"HTTPSConnectionPool(host='repository', port=443): Max retries exceeded with url: /{'long/' * 60} ({first!r})")
    error.__context__ = first
    return error


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ConnectionError("no route to host"), r"\(no route to host\)"),
        (RuntimeError("Artifact not found"), r"\(Artifact not found\)"),
        (wrapped(OSError(-2, "Name or service not known")), r"\(Name or service not known\)"),
        (RuntimeError("a whole word " * 40), r"\((a whole word )+(a|a whole) …\)"),
    ],
)
def test_without_a_network_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, told: str
) -> None:
    context = pytest.importorskip("jgo.maven").MavenContext

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(context, "project", fail)
    with pytest.raises(JarsUnavailable, match=rf"kafka_2\.13:4\.4\.0 could not be fetched {told}\. .*EARMARK_KAFKA"):
        artifacts.ensure_jars((BROKER_JAR,), tmp_path)


def test_the_cache_is_the_users_and_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path))
    assert artifacts.cache_folder("4.4.0") == tmp_path / "kafka-4.4.0"
    monkeypatch.delenv("EARMARK_CACHE")
    assert artifacts.cache_folder("4.4.0").parts[-2:] == ("earmark", "kafka-4.4.0")


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("command not found", None),
    ],
)
def test_the_version_of_java_is_read_from_its_answer(answer: str, major: int | None) -> None:
    assert major_version(answer) == major


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n", "version 11"),
        ("#!/bin/sh\nexit 1\n", r"java can not run Kafka \(it does not run: asked for its version it ended with 1\)\. Point EARMARK_JAVA"),
    ],
)
def test_a_java_that_can_not_run_kafka_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str) -> None:
    java = tmp_path / "java"
    java.write_text(script)
    java.chmod(0o755)
    monkeypatch.setenv("EARMARK_JAVA", str(java))
    with pytest.raises(JavaUnusable, match=reason):
        find_java()


def test_a_java_that_is_absent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_JAVA", str(tmp_path / "absent"))
    with pytest.raises(JavaUnusable, match=r"absent can not run Kafka \(it does not run: No such file or directory\)"):
        find_java()


def test_the_broker_is_told_what_the_design_rests_on() -> None:
    settings = broker_settings(Ports(kafka=20001, kafka_controller=20002, postgres=20003))
    assert settings["listeners"] == "BROKER://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["broker.session.timeout.ms"] == "2000"
    assert settings["broker.heartbeat.interval.ms"] == "500"
    assert settings["group.initial.rebalance.delay.ms"] == "0"
    assert settings["group.min.session.timeout.ms"] == "1000"
    assert int(settings["log.retention.ms"]) >= 14 * DAY_MS
    assert int(settings["offsets.retention.minutes"]) >= 14 * 24 * 60
    assert {value for name, value in settings.items() if name.endswith("replication.factor")} == {"1"}


def test_no_listener_is_reachable_from_another_machine() -> None:
    settings = broker_settings(Ports(20001, 20002, 20003))
    addresses = [value for name, value in settings.items() if name.endswith("listeners")]
    assert all(part.split("//")[1].startswith("127.0.0.1:") for value in addresses for part in value.split(","))


def test_settings_become_lines_of_a_properties_file() -> None:
    assert properties({"node.id": "1", "log.dirs": "log"}) == "node.id=1\nlog.dirs=log\n"


def test_cluster_ids_are_kafka_uuids_that_no_tool_takes_for_an_option() -> None:
    ids = [new_uuid() for _ in range(500)]
    assert all(len(cluster_id) == 22 and not cluster_id.startswith("-") for cluster_id in ids)
    assert len(set(ids)) == 500


def test_a_storage_is_copied_from_one_of_the_same_settings_under_ids_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def formatted(self: Broker, java: list[str], cluster_id: str) -> None:
        runs.append(cluster_id)
        (self.folder / "log" / "__cluster_metadata-0").mkdir(parents=True)
        (self.folder / "log" / "__cluster_metadata-0" / "0.checkpoint").write_bytes(b"features")
        (self.folder / "log" / "meta.properties").write_text(properties(identity_of_storage(cluster_id, "first")), encoding="ascii")

    monkeypatch.setattr(Broker, "_run_format", formatted)
    cache = tmp_path / "cache"
    cache.mkdir()

    def storage(name: str) -> dict[str, str]:
        broker = Broker(tmp_path / name, Ports(20001, 20002, 20003), tmp_path / "ports.json")
        broker.folder.mkdir()
        broker._format_once(["java"], cache, lambda step: None)
        assert (broker.folder / "log" / "__cluster_metadata-0" / "0.checkpoint").read_bytes() == b"features"
        told = dict(line.split("=") for line in (broker.folder / "log" / "meta.properties").read_text(encoding="ascii").splitlines())
        assert told["cluster.id"] == (broker.folder / "cluster.id").read_text(encoding="ascii")
        return told

    first, second = storage("first"), storage("second")
    assert runs == [first["cluster.id"]], "the second was copied"
    assert (first["directory.id"], first["node.id"], first["version"]) == ("first", "1", "1")
    assert all(first[name] != second[name] for name in ("cluster.id", "directory.id"))
    monkeypatch.setitem(BEHAVIOUR, "num.io.threads", "5")
    assert runs == [first["cluster.id"], storage("other settings")["cluster.id"]]
