"""What a process imports before it does anything: every start pays for it, and so does every test that starts one."""

import subprocess
import sys

import pytest

from services.console.serve import APPLICATIONS

NOT_NEEDED = ("alembic", "typer", "testcontainers")


@pytest.mark.parametrize("application", APPLICATIONS.values())
def test_a_service_imports_nothing_that_only_the_command_line_needs(application: str) -> None:
    program = f"import sys, services.console.serve, {application}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"sqlalchemy", "fastapi"} <= set(imported)
    assert [name for name in NOT_NEEDED if name in imported] == []


def test_the_command_line_imports_no_web_framework() -> None:
    program = "import sys, services.console.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"typer", "httpx"} <= set(imported)
    assert [name for name in ("alembic", "fastapi", "faststream", "uvicorn") if name in imported] == []
