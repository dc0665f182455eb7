"""A pytest plugin: tests name the behaviours they prove by `@pytest.mark.accept("000-24")`; a run writes down how they went.

An unknown id is refused at collection: a typing error would prove nothing. Works under xdist: ids travel in the reports.
"""

from pathlib import Path

import pytest

from tests.acceptance import results
from tests.acceptance.behaviours import behaviours

PROPERTY = "accept"
KNOWN = frozenset(behaviours())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--acceptance-results", type=Path, metavar="FILE", help="write which acceptance behaviours the tests of this run prove"
    )


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--acceptance-results")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path))


def pytest_itemcollected(item: pytest.Item) -> None:
    for number in (number for mark in item.iter_markers("accept") for number in mark.args):
        if number not in KNOWN:
            raise pytest.UsageError(f"{item.nodeid}: {number!r} is no acceptance behaviour; see tests/acceptance/behaviours.txt")
        item.user_properties.append((PROPERTY, number))


class Recorder:
    """Collects the outcome of every test that names a behaviour. A test that fails in its teardown has failed.

    A file that can not be read, or a worker that died, leaves tests unaccounted for, and nobody knows which behaviours they are about:
    such a run ends as an interrupted one. (xdist ends like a run with a failed test.)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: results.Results = {}
        self._complete = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._complete &= not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._complete &= report.when in {"setup", "call", "teardown"}
        if report.when != "call" and report.outcome == "passed":
            return
        for name, number in report.user_properties:
            if name == PROPERTY:
                self._results.setdefault(str(number), {})[report.nodeid] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        results.write(self._path, self._results)
        if not self._complete:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        proven = sum(results.state(tests) == "proven" for tests in self._results.values())
        terminalreporter.write_line(f"acceptance: {proven} of {len(KNOWN)} behaviours proven by this run; `make acceptance` lists them")
