"""Every shortage explains itself, and what it advises really helps on the real core."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.partitions.model import Send
from shared.schemas.commands import Release
from shared.schemas.events import Outcome, Remedy, Shortage
from tests.unit.allocator.stock_script import MERCHANT, SKU, Script, demand
from tests.unit.allocator.stock_stories import Story


def shortage_of(script: Script, *commands: str) -> Shortage:
    """The explanation in the last outcome of these commands."""
    told = script.outcomes(*commands)[-1].shortage
    assert told is not None
    return told


@pytest.mark.accept("002-12", "000-03", "000-04")
def test_a_shortage_names_sums_and_holders() -> None:
    script = Script()
    script.sends("receive W 9", "receive W 3 bin=B2 lot=L expires=2026-11-20", "receive V 4")
    script.sends("line o1 5", "line o2 1", "line o3 9 p=-1")
    told = shortage_of(script, "line o4 6")
    assert (told.missing_units, told.on_hand_units, told.expired_units, told.allocated_units) == (3, 12, 3, 6)
    assert (told.held_units, told.claimed_units, told.elsewhere_units) == (0, 0, 4)
    assert [(holder.demand, holder.units) for holder in told.holders] == [(demand("o1"), 5), (demand("o2"), 1)]
    assert told.remedies == (Remedy(action="allow_warehouse", units=4, warehouse="V"),)
    assert told.ledger_version == 6


def test_units_that_better_placed_waiters_are_about_to_get_are_claimed() -> None:
    script = Script()
    script.sends("chain o1 5", "receive W 6")
    told = shortage_of(script, "line o2 2")
    assert (told.missing_units, told.claimed_units) == (1, 5)


def test_the_five_largest_holders_are_told_and_the_own_demand_is_not_one() -> None:
    script = Script()
    script.sends("receive W 30", *[f"line o{number} {number}" for number in range(1, 8)], "line own 2 partial")
    told = shortage_of(script, "line own 9 partial")
    assert [holder.units for holder in told.holders] == [7, 6, 5, 4, 3]


def test_what_is_being_picked_is_not_asked_back() -> None:
    script = Script()
    script.sends("receive W 4", "line o1 4", "pick o1")
    assert [remedy.action for remedy in shortage_of(script, "line o2 1").remedies] == ["receive"]


def test_who_has_lost_everything_and_would_be_healed_first_is_asked_too() -> None:
    script = Script()
    script.sends("receive W 4", "line o1 2", "line o2 2", "adjust W -3")
    told = shortage_of(script, "line o3 1")
    assert {(remedy.action, remedy.demand) for remedy in told.remedies} == {("release", demand("o1")), ("release", demand("o2"))}


def test_what_is_advised_does_not_hang_on_who_came_into_memory_first() -> None:
    """Who keeps the SKU in memory has o1 behind the others, because it came again; who reads it anew has it where it is stored."""
    advised = []
    for forgetful in (False, True):
        script = Script(forgetful=forgetful)
        for command in (
            "receive W 9",
            "line b 3",
            "line o1 2",
            "line o2 2",
            "line x 2",
            "line y 1",
            "release o1",
            "release y",
            "line o1 2",
        ):
            script.sends(command)
        script.sends("adjust W -6")
        advised.append([remedy.demand for remedy in shortage_of(script, "line o4 3").remedies])
    assert advised == 2 * [[demand("b"), demand("o1"), demand("o2"), demand("x")]]


def test_flagged_units_of_its_own_are_healed_first_wherever_it_may_draw_on() -> None:
    """Two units in another warehouse do not help: they would go behind the two that it has lost, and the third would still be missing."""
    script = Script()
    script.sends("receive W 2", "receive V 2", "line o1 2 partial", "adjust W -2")
    assert shortage_of(script, "line o1 3 partial").remedies == (Remedy(action="receive", units=3, warehouse="W"),)


def test_lifting_a_hold_helps() -> None:
    script = Script()
    script.sends("receive W 4")
    _hold(script, 3)
    told = shortage_of(script, "line o1 2")
    assert (told.held_units, told.missing_units) == (3, 1)
    assert told.remedies == (Remedy(action="lift_hold", units=3, warehouse="W", record=1),)


def test_behind_a_long_queue_everybody_ahead_is_counted() -> None:
    script = Script()
    script.sends(*[f"line o{number} 2 partial" for number in range(300)])
    (remedy,) = shortage_of(script, "line last 3 partial").remedies
    assert (remedy.action, remedy.units) == ("receive", 603)
    (remedy,) = shortage_of(script, "line second 3 partial p=-1").remedies
    assert (remedy.action, remedy.units) == ("receive", 3)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.sampled_from(["line", "chain"]), st.sampled_from(["W", "V", "W,V"]))
def test_the_proposed_actions_make_the_line_succeed_and_none_of_them_is_needless(seed: int, units: int, kind: str, warehouses: str) -> None:
    asked = f"line new {units} wh={warehouses}" if kind == "line" else f"chain new {units} wh={warehouses[0]}"
    told = _outcome(_world(seed).sends(asked, seconds=0)).shortage
    assume(told is not None)
    assert told is not None
    assert _succeeds(seed, asked, told.remedies)
    for remedy in told.remedies:
        assert not _succeeds(seed, asked, [one for one in told.remedies if one is not remedy]), f"needless: {remedy}"


def _world(seed: int) -> Script:
    """A SKU after a story, with a hold on some of it."""
    script = Script()
    story = Story(seed)
    for batch in story.batches()[:30]:
        script.sends(*batch)
    while script.partition.batch_is_due():
        script.sends("wait 0")
    _hold(script, story.random.choice((0, 0, 2)))
    return script


def _hold(script: Script, units: int) -> None:
    """Hold what is free of each record, up to so many units: hold documents come with another issue."""
    stored = script.partition.database.table("stock_record")
    for key, row in list(stored.items()):
        stored[key] = row._replace(held=min(units, row.on_hand - row.backed))
    script.partition.take_over()


def _succeeds(seed: int, asked: str, remedies: Any) -> bool:
    """In the same world: the line is asked, the actions are taken, the line is asked once more in the same batch."""
    script = _world(seed)
    script.sends(asked, seconds=0)
    commands = [command for remedy in remedies for command in _taken(script, remedy)]
    more = "".join(f",{remedy.warehouse}" for remedy in remedies if remedy.action == "allow_warehouse")
    again = script._command(f"{asked}{more}".split())
    sends = script.partition.batch([*commands, again], 0)
    return _outcome(sends).waiting_units == 0


def _taken(script: Script, remedy: Remedy) -> list[Any]:
    if remedy.action == "receive":
        return [script._command(f"receive {remedy.warehouse} {remedy.units} bin=NEW".split())]
    if remedy.action == "release":
        rows = [row for row in script.partition.rows("reservation") if row.demand == remedy.demand]
        return [Release(demand=row.demand, merchant=MERCHANT, sku=SKU, alternative=row.alternative, attempt=row.attempt) for row in rows]
    if remedy.action == "lift_hold":
        stored = script.partition.database.table("stock_record")
        row = stored[MERCHANT, SKU, remedy.record]
        stored[MERCHANT, SKU, remedy.record] = row._replace(held=row.held - remedy.units)
        script.partition.take_over()
    return []


def _outcome(sends: list[Send]) -> Outcome:
    """The last outcome of the line."""
    outcomes = [send.message for send in sends if isinstance(send.message, Outcome) and send.message.demand == demand("new")]
    return outcomes[-1]
