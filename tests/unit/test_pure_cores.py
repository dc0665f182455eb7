"""The cores are pure: they import the published language, each other, and what of the standard library knows no clock, no chance and no
world. import-linter forbids what it is told of; this allows what is named and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "services"
MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.py"))
CORES = sorted(SERVICES.glob("*/core"))
PURE = {
    "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq", "itertools", "json",
    "math", "operator", "typing",
}  # fmt: skip
CLOCKS = {"now", "today", "utcnow"}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.parent.name)
def test_a_core_imports_nothing_that_could_surprise_it(core: Path) -> None:
    own = f"services.{core.parent.name}.core"
    for file in core.rglob("*.py"):
        imported = set(_imports(ast.parse(file.read_text(encoding="utf-8"))))
        strange = {name for name in imported - PURE if not f"{name}.".startswith((f"{own}.", "shared.schemas."))}
        assert not strange, f"{file}: {strange}"


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.parent.name)
def test_a_core_asks_no_clock(core: Path) -> None:
    for file in core.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not [call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCKS], file


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_the_naive_model_imports_nothing_of_the_product(file: Path) -> None:
    """What the product is held against must not be made of it."""
    imported = set(_imports(ast.parse(file.read_text(encoding="utf-8"))))
    assert {name for name in imported - PURE - {"copy"} if not name.startswith("tests.models.")} == set()


def test_there_are_cores() -> None:
    assert {core.parent.name for core in CORES} >= {"allocator", "orders", "inventory"}
    assert MODELS
