"""SIGTERM ends the console as Ctrl-C does, whatever it is doing at that moment."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal, sys
from services.console.__main__ import _end_as_by_ctrl_c
from shared.local import process

signal.signal(signal.SIGINT, {ctrl_c})
signal.signal(signal.SIGTERM, _end_as_by_ctrl_c)

class Ended:
    def {method}(self):
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(100_000))  # the handler runs before this is over

async def main():
    {meet}
    await asyncio.sleep(20)

try:
    process.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


def _ended(**given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", PROGRAM.format(**given)], capture_output=True, text=True, timeout=60, check=False)


def test_an_end_that_comes_within_a_finalizer_is_not_lost() -> None:
    """Where it were an exception, Python would write it to the terminal and go on."""
    ended = _ended(ctrl_c="signal.default_int_handler", method="__del__", meet="Ended()")
    assert (ended.returncode, ended.stderr) == (130, "")


@pytest.mark.parametrize("ctrl_c", ["signal.default_int_handler", "signal.SIG_IGN"])
def test_it_ends_a_command_that_waits_even_one_that_is_deaf_to_ctrl_c(ctrl_c: str) -> None:
    ended = _ended(ctrl_c=ctrl_c, method="now", meet="asyncio.get_running_loop().call_later(0.1, Ended().now)")
    assert ended.returncode == 130


def test_a_command_that_is_deaf_to_ctrl_c_tidies_up_on_its_loop() -> None:
    """It was closed outside of it, and what it had open complained instead of being closed."""
    meet = """asyncio.get_running_loop().call_later(0.1, Ended().now)
    try:
        await asyncio.sleep(20)
    finally:
        await asyncio.sleep(0)"""
    ended = _ended(ctrl_c="signal.SIG_IGN", method="now", meet=meet)
    assert (ended.returncode, ended.stderr) == (130, "")
