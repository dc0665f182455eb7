"""Whoever loses the stock behind a reservation is told what would cover it again, and that helps."""

import pytest

from shared.schemas.events import Outcome, Remedy
from tests.unit.allocator.stock_script import Script, demand

HOLDING = ("receive W 6", "line o1 2", "line o2 2", "line o3 2")


def flagged(*commands: str) -> tuple[Script, dict[str, Outcome]]:
    """The story so far, and the last outcome of everybody."""
    script, last = Script(), dict[str, Outcome]()
    for command in commands:
        last |= {outcome.demand.rpartition("/")[2]: outcome for outcome in script.outcomes(command)}
    return script, last


def proposed(outcome: Outcome) -> tuple[Remedy, ...]:
    """What is proposed to it."""
    assert outcome.shortage is not None, "a flagged line is explained"
    return outcome.shortage.remedies


def test_the_last_in_the_queue_may_have_another_release_or_receive_what_all_before_it_lack() -> None:
    _, last = flagged(*HOLDING, "adjust W -3")
    assert last["o2"].flagged_units == 1
    assert proposed(last["o2"]) == (Remedy(action="release", units=2, demand=demand("o1")),)
    assert proposed(last["o3"])[0].units >= last["o3"].flagged_units


def test_where_nobody_else_holds_anything_it_has_to_be_received() -> None:
    script, last = flagged("receive W 3", "line o1 3", "adjust W -2")
    assert proposed(last["o1"]) == (Remedy(action="receive", units=2, warehouse="W"),)
    healed = script.outcomes("receive W 2")[0]
    assert (healed.flagged_units, healed.shortage) == (0, None)


@pytest.mark.parametrize("name", ["o2", "o3"])
def test_what_is_proposed_helps_and_nothing_less_does(name: str) -> None:
    story = (*HOLDING, "adjust W -3")
    remedies = proposed(flagged(*story)[1][name])
    assert flagged(*story, *map(command_of, remedies))[1][name].flagged_units == 0
    for left_out in range(len(remedies)):
        fewer = (*remedies[:left_out], *remedies[left_out + 1 :])
        assert flagged(*story, *map(command_of, fewer))[1][name].flagged_units > 0


def command_of(remedy: Remedy) -> str:
    """The remedy as a command of the story."""
    if remedy.action == "receive":
        return f"receive {remedy.warehouse} {remedy.units}"
    assert remedy.demand is not None, remedy
    return f"release {remedy.demand.rpartition('/')[2]}"
