"""A process that leaves has said everything, and takes nothing apart."""

import subprocess
import sys

import pytest

CODE = """
import sys
from services.console.leaving import leave

class Slow:
    def __del__(self):
        print("taken apart")

kept = Slow()
print("out", end="")
print("error", end="", file=sys.stderr)
leave(STATUS)
"""


@pytest.mark.parametrize("status", [0, 3])
def test_everything_is_said_and_nothing_is_taken_apart(status: int) -> None:
    done = subprocess.run([sys.executable, "-c", CODE.replace("STATUS", str(status))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "out", "error")


def test_where_nobody_reads_what_is_said_it_ends_as_python_does() -> None:
    child = subprocess.Popen([sys.executable, "-c", CODE.replace("STATUS", "0")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.close()
    _, told = child.communicate(timeout=30)
    assert child.returncode != 0
    assert b"BrokenPipeError" in told
