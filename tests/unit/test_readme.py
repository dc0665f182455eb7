"""The README's commands are ones that there are, with options that they know. What `make demo` and `make up` promise is shown in
`tests/end_to_end`, where the README's requests are sent too; the compose file has `tests/contract/test_containers.py`."""

import importlib
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from services.console import serve
from services.console.cli import app
from shared.schemas.topics import BY_NAME
from shared.settings import PREFIX, settings
from tests.support.readme import README, commands, requests

ROOT = README.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROGRAM = re.compile(r"^(?:test ! -x \S+ \|\| )?\.venv/bin/(.*?)(?: \|\| .*)?$")
INLINE = re.findall(r"`(make [a-z]+[^`]*)`", README.read_text(encoding="utf-8"))
SHOWN = {" ".join(words): words for words in [*commands(), *map(shlex.split, INLINE)]}
COMPOSE = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
ELSEWHERE = ("docker", "post()", "curl", "post", "}")
"""Tested in `tests/contract/test_containers.py` and, those that are requests, in `tests/end_to_end`."""


def one_of_ours(arguments: list[str]) -> None:
    """Fails unless `earmark` takes these arguments. Nothing is run."""
    command: Any = typer.main.get_command(app)  # click's own classes, which typer keeps to itself
    name = "earmark"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, list(arguments))


def told_by(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a module of the tests says of its options."""
    monkeypatch.setattr("sys.argv", [module, "--help"])
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"{module}.__main__").main()
    return capsys.readouterr().out


def made_by(target: str, *variables: str) -> list[list[str]]:
    """The programs of the virtual environment that `make` would run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    command = ["make", "--no-print-directory", "--dry-run", "VENV=.venv", "--old-file=.venv/.installed", target, *variables]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [match.group(1) for line in done.stdout.replace("\\\n", " ").splitlines() if (match := PROGRAM.match(line))]
    assert found, done.stdout
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("words", [one for one in SHOWN.values() if one[0] == "make"], ids=" ".join)
def test_what_make_runs_takes_the_options_that_it_is_given(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in words[2:]:
        assert f"$({variable.partition('=')[0]})" in (ROOT / "Makefile").read_text(encoding="utf-8")
    for program in made_by(*words[1:]):
        match program:
            case ["earmark", *arguments]:
                one_of_ours(arguments)
            case ["python", "-m", str(module), *arguments] if module.startswith("tests."):
                options = {one for one in arguments if one.startswith("--")}
                assert options <= set(re.findall(r"--[a-z]+", told_by(module, monkeypatch, capsys)))
            case ["python", "-m", "pytest" | "pip", *_] | ["ruff" | "mypy" | "lint-imports", *_]:
                pass  # the run of this test itself shows that they work
            case _:
                pytest.fail(f"nobody knows whether this works: {program}")


@pytest.mark.parametrize("words", [one for one in SHOWN.values() if one[0] not in {"make", *ELSEWHERE}], ids=" ".join)
def test_every_other_command_is_one_that_there_is(words: list[str]) -> None:
    match words:
        case [str(program), *arguments] if Path(program).name == "earmark":
            one_of_ours(arguments)
        case ["python", "-m", "services.console.serve", name]:
            assert callable(importlib.import_module(serve.APPLICATIONS[name.partition("-")[0]]).application)
        case ["export", *assignment]:
            variable, _, value = " ".join(assignment).partition("=")
            given = "0" * 64 if value == "$(openssl rand -hex 32)" else value
            name = variable.removeprefix(PREFIX).lower()
            assert variable in {*COMPOSE, "EARMARK_KEY"} or getattr(settings(**{name: given}), name)
        case ["pip", "install", "."]:
            module, _, name = PROJECT["scripts"]["earmark"].partition(":")
            assert callable(getattr(importlib.import_module(module), name))
            assert not set(PROJECT["optional-dependencies"]["local"]) & set(PROJECT["dependencies"])
        case _:
            pytest.fail(f"nobody knows whether this works: {' '.join(words)}")


def test_the_command_that_the_compose_file_shows_is_ours() -> None:
    shown = re.findall(r"^#.* --entrypoint earmark \S+ (.*)$", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert shown
    for arguments in shown:
        one_of_ours(arguments.split())


def test_the_ports_of_the_requests_are_those_of_the_services() -> None:
    ports = {getattr(settings(), f"{name}_port") for name in serve.APPLICATIONS}
    assert {httpx.URL(request.url).port for request in requests()} <= ports
    assert len(requests()) >= 2


def test_every_variable_without_which_the_containers_do_not_start_is_exported_before_them() -> None:
    shown = [" ".join(words) for words in commands()]
    before = shown[: next(at for at, words in enumerate(shown) if words.startswith("docker compose up"))]
    assert len(COMPOSE) >= 3
    assert {words.removeprefix("export ").partition("=")[0] for words in before} >= COMPOSE


def test_every_topic_that_the_picture_shows_is_one() -> None:
    named = set(re.findall(r"\bearmark\.[a-z]+(?:-[a-z]+)*", README.read_text(encoding="utf-8")))
    assert named <= set(BY_NAME)
    assert len(named) >= 8
