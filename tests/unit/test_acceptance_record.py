"""The record of promised behaviours: complete, and honest about what proves them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.behaviours import behaviours
from tests.acceptance.results import read, state

pytest_plugins = ["pytester"]


def test_all_182_behaviours_of_the_five_documents_are_listed_once() -> None:
    found = behaviours()
    assert Counter(number[:3] for number in found) == {"000": 39, "001": 24, "002": 30, "003": 26, "004": 63}
    assert {one.tag for one in found.values()} == {"DOM", "UI", "NAV", "FAQ", "CFG"}
    assert all(one.text and one.document.startswith(one.id[:3]) for one in found.values())


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], "untested"),
        (["skipped"], "untested"),
        (["passed"], "proven"),
        (["passed", "skipped"], "proven"),
        (["passed", "failed"], "failing"),
    ],
)
def test_one_failing_test_is_enough_to_break_a_promise(outcomes: list[str], expected: str) -> None:
    assert state({f"test_{number}": outcome for number, outcome in enumerate(outcomes)}) == expected


PLUGIN = "-p tests.support.acceptance -p no:cacheprovider -o addopts= -o markers=accept"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs below start in a folder of their own."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=source)
    return pytester.runpytest_subprocess(*PLUGIN.split(), "-o", "asyncio_mode=auto", *options)


MIXED = """
import pytest

@pytest.mark.accept("000-24", "000-25")
def test_passes(): pass

@pytest.mark.accept("000-24")
def test_fails(): assert False

@pytest.fixture
def broken():
    yield
    raise OSError

@pytest.mark.accept("000-26")
def test_fails_in_its_teardown(broken): pass

@pytest.mark.accept("000-27")
@pytest.mark.skip
def test_skipped(): pass

def test_of_nothing(): pass
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_writes_down_how_the_tests_of_each_behaviour_went(pytester: pytest.Pytester, workers: str, tmp_path: Path) -> None:
    path = tmp_path / "build" / "results.json"
    outcome = run(pytester, MIXED, "-n", workers, "--acceptance-results", str(path))
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["acceptance: 1 of 182 behaviours proven*"])
    assert {number: state(tests) for number, tests in read([path]).items()} == {
        "000-24": "failing",
        "000-25": "proven",
        "000-26": "failing",
        "000-27": "untested",
    }
    assert json.loads(path.read_text())["000-25"] == {"test_it.py::test_passes": "passed"}


def test_an_unknown_behaviour_is_refused(pytester: pytest.Pytester) -> None:
    outcome = run(pytester, 'import pytest\n@pytest.mark.accept("000-99")\ndef test_it(): pass\n')
    assert outcome.ret != 0
    assert "'000-99' is no acceptance behaviour" in outcome.stdout.str() + outcome.stderr.str()


DIES = "import os, pytest\n@pytest.mark.accept('000-24')\ndef test_it(): os._exit(1)\n"


@pytest.mark.parametrize("source", ["import nothing_there", DIES], ids=["unreadable", "dies"])
def test_a_run_that_leaves_tests_unaccounted_for_is_an_interrupted_one(pytester: pytest.Pytester, source: str, tmp_path: Path) -> None:
    outcome = run(pytester, source, "-n", "1", "--acceptance-results", str(tmp_path / "results.json"))
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
