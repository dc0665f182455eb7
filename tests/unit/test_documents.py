"""The documents for people who work on Earmark: what they name is there."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from services.console.cli import app
from shared.partitions.partition import CODE_VERSION
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/planted-bugs.md", "docs/proof.md", "docs/runbooks.md")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
COMMANDS = set(vars(typer.main.get_command(app))["commands"])
SETTINGS = {f"EARMARK_{name.upper()}{end}" for name in Settings.model_fields for end in ("", "_FILE")}
COMPOSE = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
FILES = re.compile(r"`((?:tests|shared|services|deploy|docs|requirements|\.ci)/[A-Za-z0-9_./-]*)`")


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    assert not [path for path in FILES.findall(text(document)) if not (ROOT / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    assert set(re.findall(r"`make ([a-z-]+)", text(document))) <= TARGETS
    assert set(re.findall(r"^ {4}make ([a-z-]+)", text(document), re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_earmark_that_a_document_names_exists(document: str) -> None:
    assert set(re.findall(r"`(?:\.venv/bin/)?earmark ([a-z-]+)", text(document))) <= COMMANDS


def test_every_command_of_earmark_that_a_message_or_a_comment_names_exists() -> None:
    sources = [path.read_text(encoding="utf-8") for room in ("shared", "services") for path in (ROOT / room).rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"`(?:\.venv/bin/)?earmark ([a-z-]+)", source)}
    assert {"up", "migrate", "verify"} <= named <= COMMANDS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"\bEARMARK_[A-Z_]+", text(document)))
    assert named <= SETTINGS | COMPOSE | {"EARMARK_KEY"}, "or is the reader's own key"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(document))
    assert not [link for link in links if not ((ROOT / document).parent / link).exists()]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert project["version"] == CODE_VERSION
    assert set(re.findall(r"^ +image: earmark:(\S+)$", text("docker-compose.yml"), re.MULTILINE)) == {CODE_VERSION}


def test_every_decision_has_its_four_parts() -> None:
    decisions = re.split(r"^## \d+\. ", text("ARCHITECTURE.md"), flags=re.MULTILINE)[1:]
    assert len(decisions) >= 20
    for decision in decisions:
        parts = re.findall(r"^\*\*(Context\.|Decision\.|Consequences\.|Checked by)\*\*", decision, re.MULTILINE)
        assert parts == ["Context.", "Decision.", "Consequences.", "Checked by"], decision.splitlines()[0]


def test_make_alone_lists_every_target_that_people_may_want() -> None:
    described = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "up", "down", "clean", "test", "check", "simulate", "chaos", "bench", "acceptance", "docs", "lock"} <= described


def test_no_download_host_stands_in_the_requirements() -> None:
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text(encoding="utf-8"), path.name


def test_every_requirement_comes_by_hash() -> None:
    for name in ("all.txt", "production.txt"):
        lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
        pinned = [number for number, line in enumerate(lines) if "==" in line]
        assert pinned
        assert all("--hash=sha256:" in lines[number + 1] for number in pinned)
