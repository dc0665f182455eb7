"""What is installed is all there is: no checkout lies beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {".py", ".sql", ".lock", ".mako"}
SOURCES = ("pyproject.toml", "README.md", "shared", "services", "deploy")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
MIGRATE = "import asyncio, sys, shared.migrations as d; print(d.__file__); print(asyncio.run(d.migrate(sys.argv[1])))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing of an earlier build gets in, and unpacked as pip would."""
    copy, installed = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    built = _run([sys.executable, "-c", BUILD], copy)
    with zipfile.ZipFile(copy / built.splitlines()[-1]) as wheel:
        wheel.extractall(installed)
    return installed


def _run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_everything_that_is_needed_at_run_time_is_in_the_wheel(installed: Path) -> None:
    folders = [ROOT / name for name in ("shared", "services", "deploy/migrations")]
    needed = {path.relative_to(ROOT) for folder in folders for path in folder.rglob("*") if path.suffix in NEEDED}
    assert {path.suffix for path in needed} == NEEDED
    assert {path for path in needed if not (installed / path).exists()} == set()


def test_tests_and_the_files_of_containers_are_not_in_the_wheel(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if path.suffix != ".dist-info") == ["deploy", "services", "shared"]
    assert [path.name for path in (installed / "deploy").iterdir()] == ["migrations"]


async def test_a_database_is_migrated_by_what_is_installed(installed: Path, empty_database: str, tmp_path: Path) -> None:
    where, head = _run([sys.executable, "-c", MIGRATE, empty_database], tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(where).is_relative_to(installed), "not the checkout's"
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT version_num FROM migrations.alembic_version") == head
    await connection.close()
