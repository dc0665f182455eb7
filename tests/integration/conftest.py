"""What the tests of a module share: topics and tables of their own, and processes of the product on them."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.settings import Settings
from shared.world import prepare
from tests.support import databases, topics
from tests.support.allocator import settings_for
from tests.support.children import Children, children


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """On a loop of its own: fixtures of a module outlive the loops of its tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def world(kafka_bootstrap: str, postgres_dsn: str, _template: str) -> Iterator[Settings]:
    """Empty topics and an empty database, prepared, for the tests of one module."""
    dsn = _run(databases.create(postgres_dsn, _template))
    _run(topics.recreate(kafka_bootstrap))
    settings = settings_for(kafka_bootstrap, dsn)
    _run(prepare(settings))
    yield settings
    _run(databases.drop(postgres_dsn, dsn))


@pytest.fixture(scope="module")
def processes(world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """Processes of the product on that world; what a module leaves running ends with it."""
    with children(world, tmp_path_factory.mktemp("children")) as started:
        yield started
