"""Stock levels: what is told, and when: after a change, in slices where there is much to tell, and all once more on their round."""

from datetime import timedelta
from random import Random

import pytest

from services.allocator.core.stock.settings import StockSettings
from tests.unit.allocator.stock_script import Script

EVERY_TWO = StockSettings(level_interval_ms=0, round_hours=24, round_slice=2, round_pause_seconds=10)
TWO_AT_ONCE = StockSettings(level_interval_ms=250, levels_slice=2, levels_per_second=4)
"""Two every half a second."""


def told(script: Script, *commands: str, seconds: float = 1) -> list[str]:
    return [level.sku for level in script.levels(*commands, seconds=seconds)]


def wait_for_the_next(script: Script) -> list[str]:
    due = script.partition.side.next_deadline()
    assert due is not None
    return told(script, seconds=(due - script.partition.now).total_seconds())


def nothing_is_due_today(script: Script) -> bool:
    """But for the round in which all levels are told again."""
    due = script.partition.side.next_deadline()
    return due is not None and due - script.partition.now > timedelta(hours=23)


# ---------------------------------------------------------------- what is told, and when


@pytest.mark.accept("000-37")
def test_levels_are_told_per_warehouse_with_the_ledger_version() -> None:
    script = Script()
    script.sends("receive W 5", "receive V 2")
    (level,) = script.levels("line o1 3", "line o2 1")
    figures = {one.warehouse: (one.on_hand_units, one.held_units, one.allocated_units, one.available_units) for one in level.warehouses}
    assert figures == {"W": (5, 0, 4, 1), "V": (2, 0, 0, 2)}
    assert level.ledger_version == 5


def test_a_shortage_of_one_record_is_not_netted_against_another() -> None:
    script = Script()
    script.sends("receive W 4 bin=B1", "line o1 4", "adjust W -4 bin=B1")
    (level,) = script.levels("receive W 3 bin=B2", "release o1", "line o2 1")
    assert [(one.allocated_units, one.available_units) for one in level.warehouses] == [(1, 2)]


def test_what_changes_nothing_is_not_told() -> None:
    script = Script()
    script.sends("receive W 1")
    assert script.levels("line o1 5", "adjust W -9") == []


def test_levels_are_held_back_and_told_when_the_interval_is_over() -> None:
    script = Script(StockSettings(level_interval_ms=250))
    assert len(script.levels("receive W 5")) == 1
    assert script.levels("line o1 1", seconds=0.1) == []
    assert script.levels("line o2 1", seconds=0.1) == []
    due = script.partition.side.next_deadline()
    assert due is not None
    (level,) = script.levels(seconds=(due - script.partition.now).total_seconds())
    assert level.warehouses[0].available_units == 3
    assert nothing_is_due_today(script)


def test_levels_that_were_held_back_are_told_after_a_takeover() -> None:
    script = Script(StockSettings(level_interval_ms=250))
    script.sends("receive W 5")
    script.sends("line o1 1", seconds=0.1)
    script.partition.take_over()
    (level,) = script.levels(seconds=0.15)
    assert level.warehouses[0].available_units == 4
    script.partition.take_over()
    assert nothing_is_due_today(script)


# ---------------------------------------------------------------- slices


@pytest.mark.parametrize("taken_over", [False, True], ids=["one owner", "taken over before every batch"])
def test_more_levels_than_go_at_once_are_told_slice_by_slice_in_the_order_of_the_skus(taken_over: bool) -> None:
    script = Script(TWO_AT_ONCE, forgetful=taken_over)
    began = script.partition.now + timedelta(seconds=1)
    assert told(script, *(f"receive W 1 sku={sku}" for sku in "EACDB")) == ["A", "B"]
    assert [wait_for_the_next(script) for _ in range(2)] == [["C", "D"], ["E"]]
    assert script.partition.now - began == timedelta(milliseconds=750), "the last one alone waits no longer than any other"
    assert nothing_is_due_today(script)


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
        told_by = [on_hand_told(script, *commands, seconds=seconds) for script in scripts]
        assert told_by[0] == told_by[1]
        last |= told_by[0]
    for _ in range(20):
        last |= on_hand_told(scripts[0])
    assert last == {row.sku: row.on_hand for row in scripts[0].partition.rows("stock_record")}


def on_hand_told(script: Script, *commands: str, seconds: float = 1) -> dict[str, int]:
    return {level.sku: level.warehouses[0].on_hand_units for level in script.levels(*commands, seconds=seconds)}


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
