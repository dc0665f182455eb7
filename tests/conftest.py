"""What every test may ask for: the real Kafka, the real Postgres, a database of its own, topics of its own.

Nothing here is started until a test asks for it, so unit tests need neither.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.support import databases, topics
from tests.support.servers import Servers, origin
from tests.support.session_servers import session_servers

pytest_plugins = ["tests.support.acceptance"]

Answer = TypeVar("Answer")

# The gate tries the same examples every time, so that it fails for a change and not by chance; no deadline, because two cores are
# shared. HYPOTHESIS_PROFILE=explore goes looking for more.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers-each",
        action="store_true",
        help="every xdist worker starts servers of its own, so that tests that run `alone` may do so in several workers at once",
    )


LONG = (
    "end_to_end/",
    "test_servers_restart",
    "test_whole_flow",
    "test_local_stack",
    "test_crash_points",
    "test_world_checks",
    "test_repeats",
    "test_old_data",
)
"""Begun first, the longest tests foremost: at the end, when one worker has nothing left, the other has little to do."""


def _begins_at(item: pytest.Item) -> int:
    return next((place for place, name in enumerate(LONG) if name in item.nodeid), len(LONG))


class _ByModule(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """A worker takes a whole module, whose fixtures are costly, and all tests of the console, whose first choice of ports is the same
    wherever it runs."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "console" if module.startswith("tests/end_to_end/") else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByModule | None:
    """What runs `alone` is dealt out so, where workers have servers of their own."""
    config.option.loadscopereorder = False  # or the modules with the most tests would come first
    return _ByModule(config, log) if config.getoption("--servers-each") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which servers it were: what a worker says is not seen."""
    ran = [report for kind in ("passed", "failed", "error") for report in terminalreporter.getreports(kind)]
    if config.getoption("numprocesses", None) and any("integration" in report.keywords for report in ran):
        terminalreporter.write_line(f"Kafka and Postgres: {origin()}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that asks for a server is an integration test, whether it says so or not. Those that use Kafka, or start processes, run
    `alone`, one at a time on their servers: topics are everyone's. With a database of its own a test may run beside others."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "servers" in fixtures:
            item.add_marker("integration")
        if item.get_closest_marker("integration") and ("postgres_dsn" not in fixtures or "kafka_bootstrap" in fixtures):
            item.add_marker("alone")
    if config.getoption("--servers-each"):
        items.sort(key=_begins_at)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The real Kafka and the real Postgres of this session; says on the terminal where they come from."""
    base = tmp_path_factory.getbasetemp()
    is_worker, each = hasattr(request.config, "workerinput"), request.config.getoption("--servers-each")
    shared_by_workers = base.parent if is_worker and not each else base
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with ExitStack() as stack:
        with capture.global_and_fixture_disabled():
            found = stack.enter_context(session_servers(shared_by_workers / "servers"))
        yield found


@pytest.fixture(scope="session")
def kafka_bootstrap(servers: Servers) -> str:
    """host:port of the real Kafka."""
    return servers.kafka_bootstrap


@pytest.fixture(scope="session")
def postgres_dsn(servers: Servers) -> str:
    """The real Postgres, a database that nobody migrates; ask for `database` instead."""
    return servers.postgres_dsn


@pytest.fixture(scope="session")
def _template(postgres_dsn: str) -> str:
    return _answer(databases.template(postgres_dsn))


@pytest.fixture
def database(postgres_dsn: str, _template: str) -> Iterator[str]:
    """DSN of a migrated, empty database that only this test uses."""
    dsn = _answer(databases.create(postgres_dsn, _template))
    yield dsn
    _answer(databases.drop(postgres_dsn, dsn))


@pytest.fixture
def empty_database(postgres_dsn: str) -> Iterator[str]:
    """DSN of a database without any table, for tests of the migrations themselves."""
    dsn = _answer(databases.create(postgres_dsn))
    yield dsn
    _answer(databases.drop(postgres_dsn, dsn))


@pytest.fixture
def fresh_topics(kafka_bootstrap: str) -> str:
    """Kafka with our topics made anew and empty, eight partitions each; returns its address. Not for two tests at once."""
    _answer(topics.recreate(kafka_bootstrap))
    return kafka_bootstrap


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """Name of a new topic with one partition that only this test uses."""
    return _answer(topics.unique(kafka_bootstrap))


def _answer(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run it on a loop of its own, so that fixtures serve plain and async tests alike."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
