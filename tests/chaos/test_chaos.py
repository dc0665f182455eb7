"""One minute of chaos. `make chaos MINUTES=…` runs as long as you like, and another seed each time."""

from pathlib import Path

import pytest

from tests.chaos.driver import Driver
from tests.chaos.run import run

pytestmark = pytest.mark.integration

SECONDS, SEED = 60.0, 20261128


async def test_a_minute_of_faults_breaks_no_promise(tmp_path: Path) -> None:
    outcome = await run(tmp_path, SEED, print, lambda stage, random: Driver(stage, random, SECONDS))
    assert [f"{one.name}: {one.problems[:5]}" for one in outcome.held if one.problems and not one.is_timed] == []
    assert outcome.orders > 0
    assert sum(outcome.faults.values()) > 0
