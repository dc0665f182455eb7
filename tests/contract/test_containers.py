"""The container files, as far as they can be checked without a Docker engine: schema, lint, and that their parts fit the code."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import shared.metrics
from shared.settings import Settings
from tests.support.servers import KAFKA_IMAGE, POSTGRES_IMAGE

ROOT = Path(__file__).parents[2]
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "orders", "inventory", "allocator")


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has no wheel for this platform")
def test_the_dockerfile_is_lint_free() -> None:
    assert HADOLINT is not None
    outcome = subprocess.run([HADOLINT, str(ROOT / "deploy" / "Dockerfile")], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_port_is_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_no_secret_has_a_default_and_none_stands_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    secrets = re.findall(r"^ +[A-Z_]*(?:PASSWORD|PEPPER|POSTGRES): (.*)$", text, re.MULTILINE)
    assert len(secrets) >= 4
    assert all(re.search(r"\$\{EARMARK_[A-Z_]+:\?", value) for value in secrets), secrets


@pytest.mark.parametrize("name", OURS)
def test_our_processes_can_not_write_and_have_no_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_does_not_run_as_root_and_its_packages_come_by_hash() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 10001", dockerfile, re.MULTILINE)
    assert "--require-hashes" in dockerfile
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_one_that_the_settings_know(name: str) -> None:
    known = {f"EARMARK_{field.upper()}" for field in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) <= known


def test_two_allocators_run_and_every_service_waits_for_the_migrations() -> None:
    assert SERVICES["allocator"]["deploy"]["replicas"] == 2
    for name in ("orders", "inventory", "allocator"):
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert SERVICES[name]["command"] == [name]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_lasting_service_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_containers_and_tests_run_the_same_servers() -> None:
    assert (SERVICES["kafka"]["image"], SERVICES["postgres"]["image"]) == (KAFKA_IMAGE, POSTGRES_IMAGE)


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", []) if volume.startswith("./")]
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


# ---------------------------------------------------------------- dashboards and alerts


def _expressions() -> list[str]:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/earmark.json").read_text(encoding="utf-8"))
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    drawn = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return drawn + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", _expressions())
def test_what_is_drawn_and_alerted_on_is_a_metric_that_the_code_has(expression: str) -> None:
    assert shared.metrics, "declares them"
    declared = {name for collector in REGISTRY._collector_to_names.values() for name in collector}
    asked = set(re.findall(r"\bearmark_[a-z_]+", expression))
    assert asked <= declared
    assert asked or re.search(r"\b(up|process_cpu_seconds_total)\b", expression)


def _alerts() -> list[dict[str, Any]]:
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in alerts["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_prints_only_labels_that_its_metric_has(rule: dict[str, Any]) -> None:
    grouped = re.findall(r"\bby \(([a-z, ]+)\)", rule["expr"])
    labels = {"job", "instance"}
    for name in re.findall(r"\bearmark_[a-z_]+", rule["expr"]):
        labels |= set(REGISTRY._names_to_collectors[name]._labelnames)  # type: ignore[attr-defined]  # of every metric, not of collectors
    if grouped:
        labels = set(re.split(", *", grouped[0]))
    assert set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"])) <= labels


def test_prometheus_asks_the_services_where_they_answer() -> None:
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    ports = {name: Settings.model_fields[f"{name}_port"].default for name in ("orders", "inventory", "allocator")}
    for job in configuration["scrape_configs"]:
        text = json.dumps(job)
        assert job["job_name"] in text
        assert str(ports[job["job_name"]]) in text
