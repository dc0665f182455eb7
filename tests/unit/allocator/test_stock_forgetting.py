"""What is forgotten on the stock side, and what may still come for it."""

from datetime import timedelta

import pytest

from services.allocator.core.stock.settings import StockSettings
from tests.unit.allocator.stock_script import Script, demand


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "nothing cached"])
def test_a_tombstone_goes_when_the_demand_side_says_so_and_is_always_answered(forgetful: bool) -> None:
    script = Script(forgetful=forgetful)
    script.play("""
        receive W 3             | moved +3
        line o1 2               | o1 has 2
        line o2 9               | o2 has 0 waits 9
        release o1              | o1 has 0
        forget o1               | o1 forgotten
        forget o1               | o1 forgotten
        forget o3               | o3 forgotten
    """)
    assert [row.demand for row in script.partition.rows("reservation")] == [demand("o2")]


def test_what_was_written_and_forgotten_in_one_batch_is_not_stored() -> None:
    script = Script()
    script.play("""
        release o1
        +forget o1              | o1 has 0, o1 forgotten
        receive W 1             | moved +1
        line o1 1
        +release o1
        +forget o1              | o1 has 1, o1 has 0, o1 forgotten
    """)
    assert script.partition.rows("reservation") == []


def test_a_row_that_comes_again_in_the_batch_that_forgot_it_is_a_new_one() -> None:
    script = Script()
    script.play("""
        receive W 1             | moved +1
        release o1 attempt=4    | o1 has 0
        forget o1
        +line o1 1 attempt=1    | o1 forgotten, o1 has 1
    """)
    (row,) = script.partition.rows("reservation")
    assert (row.attempt, row.reserved_units) == (1, 1)


def test_nothing_that_is_held_or_waited_for_is_forgotten() -> None:
    for story in ("receive W 3 | moved +3\nline o1 2 | o1 has 2", "line o1 2 | o1 has 0 waits 2"):
        script = Script()
        script.play(story)
        with pytest.raises(AssertionError, match="has ended and"):
            script.sends("forget o1")


def test_a_chain_that_was_on_its_way_for_longer_than_tombstones_may_be_kept_takes_nothing() -> None:
    """Its demand may be forgotten everywhere by then, and nobody would ever release what it takes."""
    script = Script(StockSettings(level_interval_ms=0, keep=timedelta(days=30)))
    script.play("""
        receive W 9             | moved +9
        chain o1 1 days=16      |
        chain o2 1 days=14      | o2 has 1 pending complete
        chain o3 1              | o3 has 1 pending complete
    """)
    assert {row.demand for row in script.partition.rows("reservation")} == {demand("o2"), demand("o3")}


def test_an_old_chain_whose_row_is_there_is_judged_by_its_attempt() -> None:
    script = Script()
    script.play("""
        receive W 9             | moved +9
        release o1 wh=W         | o1 has 0
        chain o1 1 days=16 attempt=2 | o1 has 1 pending complete
    """)
