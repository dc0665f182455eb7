"""How a service listens: with room for as many connections as it may have."""

import resource
from collections.abc import Iterator

import pytest

from shared.http.serving import allow_files


@pytest.fixture
def hard() -> Iterator[int]:
    """The most that the system lets this process have; what it has is as usual while the test runs, and as before afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, before[1]), before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_may_open_as_many_files_as_its_connections_take_and_some_more(hard: int) -> None:
    allow_files(3_000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(3_500, hard), hard)


def test_a_process_that_may_open_more_files_already_keeps_them(hard: int) -> None:
    allow_files(10)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(1_024, hard), hard)
