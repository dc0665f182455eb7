"""What a process imports before it does anything: every start pays for it, and so does every test that starts one."""

import subprocess
import sys

import pytest

from services.console.serve import APPLICATIONS


@pytest.mark.parametrize("application", APPLICATIONS.values())
def test_a_service_imports_nothing_that_only_the_command_line_needs(application: str) -> None:
    imported = _imported("services.console.serve", application)
    assert {"sqlalchemy", "fastapi"} <= imported
    assert imported & {"alembic", "typer", "testcontainers"} == set()


def test_the_command_line_imports_no_web_framework() -> None:
    imported = _imported("services.console.cli")
    assert {"typer", "httpx"} <= imported
    assert imported & {"alembic", "fastapi", "faststream", "uvicorn"} == set()


def _imported(*modules: str) -> set[str]:
    """The packages that a fresh interpreter has after it imported these modules."""
    program = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
