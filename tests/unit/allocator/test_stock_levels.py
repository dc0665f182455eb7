"""When stock levels are told: after they have changed, in slices where there is much to tell, and all of them once more on their round."""

from datetime import timedelta
from random import Random

import pytest

from services.allocator.core.stock.settings import StockSettings
from shared.schemas.events import StockLevelChanged
from tests.unit.allocator.stock_script import Script

EVERY_TWO = StockSettings(level_interval_ms=0, round_hours=24, round_slice=2, round_pause_seconds=10)
TWO_AT_ONCE = StockSettings(level_interval_ms=250, levels_slice=2, levels_per_second=4)
"""Two every half a second."""


def told(script: Script, *commands: str, seconds: float = 1) -> list[str]:
    return [send.message.sku for send in script.sends(*commands, seconds=seconds) if isinstance(send.message, StockLevelChanged)]


def wait_for_the_next(script: Script) -> list[str]:
    due = script.partition.side.next_deadline()
    assert due is not None
    return told(script, seconds=(due - script.partition.now).total_seconds())


# ---------------------------------------------------------------- slices


@pytest.mark.parametrize("taken_over", [False, True], ids=["one owner", "taken over before every batch"])
def test_more_levels_than_go_at_once_are_told_slice_by_slice_in_the_order_of_the_skus(taken_over: bool) -> None:
    script = Script(TWO_AT_ONCE, forgetful=taken_over)
    began = script.partition.now + timedelta(seconds=1)
    assert told(script, *(f"receive W 1 sku={sku}" for sku in "EACDB")) == ["A", "B"]
    assert [wait_for_the_next(script) for _ in range(2)] == [["C", "D"], ["E"]]
    assert script.partition.now - began == timedelta(milliseconds=750), "the last one alone waits no longer than any other"
    due = script.partition.side.next_deadline()
    assert due is not None
    assert due - began >= timedelta(hours=23), "nothing is left but the daily round"


@pytest.mark.parametrize("taken_over", [False, True], ids=["one owner", "taken over before every batch"])
def test_what_changes_behind_a_sweep_is_told_by_the_next_and_what_changes_before_it_by_both(taken_over: bool) -> None:
    script = Script(TWO_AT_ONCE, forgetful=taken_over)
    told(script, *(f"receive W 9 sku={sku}" for sku in "ABCDE"))
    assert told(script, "line o1 1 sku=A", "line o1 1 sku=D", seconds=0.1) == []
    assert [wait_for_the_next(script) for _ in range(3)] == [["C", "D"], ["E"], ["A", "D"]]


@pytest.mark.parametrize("taken_over", [False, True], ids=["one owner", "taken over before every batch"])
def test_while_the_clock_stands_still_a_change_behind_the_sweep_is_told_at_once(taken_over: bool) -> None:
    """By the stored times it would count as told."""
    script = Script(TWO_AT_ONCE, forgetful=taken_over)
    assert told(script, *(f"receive W 9 sku={sku}" for sku in "ABC")) == ["A", "B"]
    assert told(script, "line o1 1 sku=A", "line o1 1 sku=C", seconds=0) == ["A"]
    assert wait_for_the_next(script) == ["C"]
    assert told(script, "line o2 1 sku=A", seconds=0) == []
    assert wait_for_the_next(script) == ["A"]


@pytest.mark.parametrize("seed", range(20))
def test_whoever_takes_over_tells_the_same_as_whoever_goes_on_and_in_the_end_all_are_told_as_they_are(seed: int) -> None:
    random, last = Random(seed), dict[str, int]()
    scripts = [Script(TWO_AT_ONCE, forgetful=forgetful) for forgetful in (False, True)]
    for _ in range(40):
        commands = [f"receive W 1 sku={random.choice('ABCDEFG')}" for _ in range(random.choice((0, 1, 1, 5)))]
        seconds = random.choice((0, 0.1, 0.3, 2))
        told_by = [levels(script, *commands, seconds=seconds) for script in scripts]
        assert told_by[0] == told_by[1]
        last |= told_by[0]
    for _ in range(20):
        last |= levels(scripts[0], seconds=1)
    assert last == {row.sku: row.on_hand for row in scripts[0].partition.rows("stock_record")}


def levels(script: Script, *commands: str, seconds: float) -> dict[str, int]:
    sent = [send.message for send in script.sends(*commands, seconds=seconds) if isinstance(send.message, StockLevelChanged)]
    return {level.sku: level.warehouses[0].on_hand_units for level in sent}


# ---------------------------------------------------------------- the round of all levels


@pytest.mark.parametrize("taken_over", [False, True], ids=["one owner", "taken over before every batch"])
def test_every_level_is_told_again_within_a_day_a_few_at_a_time(taken_over: bool) -> None:
    script = Script(EVERY_TWO, forgetful=taken_over)
    began = script.partition.now
    assert told(script, *(f"receive W 1 sku={sku}" for sku in "EACDB")) == list("ABCDE")
    assert [wait_for_the_next(script) for _ in range(3)] == [["A", "B"], ["C", "D"], ["E"]]
    assert script.partition.now - began == timedelta(days=1, seconds=21)
    assert [wait_for_the_next(script) for _ in range(3)] == [["A", "B"], ["C", "D"], ["E"]]
    assert script.partition.now - began == timedelta(days=2, seconds=21), "a round begins a day after the last one began"


def test_a_level_that_changes_is_told_with_the_slice_and_once() -> None:
    script = Script(EVERY_TWO)
    told(script, *(f"receive W 1 sku={sku}" for sku in "ABCD"))
    assert told(script, "line o1 1 sku=B", "line o2 1 sku=D", seconds=86_400) == ["A", "B", "D"]


def test_a_partition_without_stock_has_no_round() -> None:
    script = Script(EVERY_TWO)
    script.sends("release o1")
    assert script.partition.side.next_deadline() is None
