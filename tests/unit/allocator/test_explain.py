"""Advice on a shortage: what is proposed helps, nothing of it is needless, and where it says so nothing smaller would do."""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.allocator.core.explain import MAX_CLAIMS, MAX_EXACT_ACTIONS, MAX_RECEIPTS, MAX_STEPS, advise
from services.allocator.core.shortage import Claim, Holding, Replay, Situation, sum_of
from shared.schemas.events import Remedy

WAREHOUSES = ("W", "V")
some = st.integers(1, 6)
places = st.sampled_from([("W",), ("V",), ("W", "V"), ("V", "W")])
claims = st.builds(Claim, st.sampled_from(["a", "b", "c"]), places, some, st.booleans())
flagged = st.builds(Claim, st.sampled_from(["a", "d", "h"]), places, some, st.just(True))
holdings = st.builds(
    Holding, st.sampled_from(["a", "d", "e", "f", "g"]), st.dictionaries(st.sampled_from(WAREHOUSES), some, min_size=1), st.just(False)
)
situations = st.builds(
    Situation,
    units=st.integers(1, 12),
    warehouses=places,
    free=st.dictionaries(st.sampled_from(WAREHOUSES), some),
    flagged=st.lists(flagged, max_size=2, unique_by=lambda one: one.demand),
    claims=st.lists(claims, max_size=3, unique_by=lambda one: one.demand),
    holdings=st.lists(holdings, max_size=4, unique_by=lambda one: one.demand),
    held=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(WAREHOUSES), some), max_size=2, unique_by=lambda one: one[0]),
    may_move=st.booleans(),
)


def succeeds(situation: Situation, actions: Sequence[Remedy]) -> bool:
    """By replay alone, whatever their sums say."""
    allowed = [action.warehouse or "" for action in actions if action.action == "allow_warehouse"]
    return sum_of(Replay(situation).left_over(actions), (*situation.warehouses, *allowed)) >= situation.units


def short(situation: Situation) -> bool:
    return not succeeds(situation, [])


@settings(deadline=None)
@given(situations)
def test_no_set_of_actions_that_would_do_is_excluded_by_its_sum(situation: Situation) -> None:
    replay, actions = Replay(situation), _all_actions(situation)
    for size in range(min(len(actions), 3) + 1):
        for some_of_them in combinations(actions, size):
            assert replay.succeeds(some_of_them) == succeeds(situation, some_of_them)


@settings(max_examples=200, deadline=None)
@given(situations.filter(short))
def test_what_is_proposed_helps_and_nothing_of_it_is_needless(situation: Situation) -> None:
    advice = advise(situation)
    assert succeeds(situation, advice.remedies)
    for remedy in advice.remedies:
        assert not succeeds(situation, [one for one in advice.remedies if one is not remedy])


@settings(max_examples=200, deadline=None)
@given(situations.filter(short))
def test_exact_advice_is_the_smallest(situation: Situation) -> None:
    """Against every set of actions with what is there, one by one."""
    advice = advise(situation)
    assert advice.exact == (len(advice.remedies) <= MAX_EXACT_ACTIONS)
    actions = _all_actions(situation)
    receives = advice.remedies[0].action == "receive"
    for size in range(min(len(actions), MAX_EXACT_ACTIONS) + 1 if receives else len(advice.remedies)):
        for fewer in combinations(actions, size):
            assert not succeeds(situation, fewer), f"{fewer} would do"


@given(situations.filter(short))
def test_a_receipt_is_no_larger_than_needed(situation: Situation) -> None:
    (receipt,) = advise(_without_help(situation)).remedies
    assert receipt.action == "receive"
    for units in range(1, receipt.units):
        fewer = Remedy(action="receive", units=units, warehouse=receipt.warehouse)
        assert not succeeds(_without_help(situation), [fewer])


def test_lifting_a_hold_is_proposed_before_taking_from_others() -> None:
    situation = Situation(3, ("W",), {}, (), (), [Holding("a", {"W": 3}, picking=False)], [(1, "W", 3)], may_move=True)
    assert [remedy.action for remedy in advise(situation).remedies] == ["lift_hold"]


def test_the_smallest_of_the_holders_that_suffice_is_asked() -> None:
    holders = [
        Holding("large", {"W": 9}, picking=False),
        Holding("small", {"W": 3}, picking=False),
        Holding("tiny", {"W": 1}, picking=False),
    ]
    (remedy,) = advise(Situation(3, ("W",), {}, (), (), holders, [], may_move=False)).remedies
    assert remedy == Remedy(action="release", units=3, demand="small")


def test_more_than_four_actions_are_greedy_and_say_so() -> None:
    holders = [Holding(f"h{number}", {"W": 2}, picking=False) for number in range(9)]
    advice = advise(Situation(11, ("W",), {}, (), (), holders, [], may_move=False))
    assert (len(advice.remedies), advice.exact) == (6, False)


def test_behind_a_crowd_stock_for_all_of_it_is_proposed() -> None:
    advice = advise(Situation(3, ("W",), {}, (), (), [], [], may_move=False, crowd_units=5_000))
    assert advice.remedies == (Remedy(action="receive", units=5_003, warehouse="W"),)
    assert not advice.exact


@pytest.mark.parametrize("partial", [True, False])
def test_to_explain_a_line_behind_many_costs_little(monkeypatch: pytest.MonkeyPatch, *, partial: bool) -> None:
    """Counted in claims that are walked past: time is not tested."""
    walked, left_over = [0], Replay.left_over

    def counted(replay: Replay, actions: Sequence[Remedy] = ()) -> dict[str, int]:
        walked[0] += len(waiting.claims)
        return left_over(replay, actions)

    monkeypatch.setattr(Replay, "left_over", counted)
    ahead = tuple(Claim(f"c{number}", ("W",), 1 + number % 5, partial=partial or number % 3 > 0) for number in range(MAX_CLAIMS))
    holders = [Holding(f"h{number}", {"W": 1 + number % 7}, picking=False) for number in range(64)]
    waiting = Situation(2, ("W",), {}, (), ahead, holders, [], may_move=True)
    assert advise(waiting).remedies
    assert walked[0] <= 2 * (MAX_STEPS + MAX_CLAIMS) + MAX_RECEIPTS * MAX_CLAIMS


def test_a_receipt_behind_many_that_take_all_or_nothing_is_enough_for_all() -> None:
    ahead = tuple(Claim(f"c{number}", ("W",), 1 + number, partial=False) for number in range(60))
    waiting = Situation(1, ("W",), {}, (), ahead, [], [], may_move=False)
    assert succeeds(waiting, [Remedy(action="receive", units=1 + sum(claim.units for claim in ahead), warehouse="W")])
    assert succeeds(waiting, advise(waiting).remedies)


def test_a_receipt_behind_many_of_whom_each_takes_the_next_unit_is_enough_for_all() -> None:
    """Unit by unit it would take sixty tries to find out."""
    ahead = tuple(Claim(f"c{number}", ("W",), 1, partial=False) for number in range(60))
    waiting = Situation(1, ("W",), {}, (), ahead, [], [], may_move=False)
    assert advise(waiting).remedies == (Remedy(action="receive", units=61, warehouse="W"),)
    assert not succeeds(waiting, [Remedy(action="receive", units=60, warehouse="W")])


def _all_actions(situation: Situation) -> list[Remedy]:
    lifts = [Remedy(action="lift_hold", units=units, warehouse=warehouse, record=record) for record, warehouse, units in situation.held]
    others = [warehouse for warehouse, units in Replay(situation).left_over().items() if units and warehouse not in situation.warehouses]
    allows = [Remedy(action="allow_warehouse", units=1, warehouse=warehouse) for warehouse in others if situation.may_move]
    demands = {one.demand for one in situation.holdings} | {one.demand for one in situation.claims}
    return [*lifts, *allows, *[Remedy(action="release", units=1, demand=demand) for demand in sorted(demands)]]


def _without_help(situation: Situation) -> Situation:
    """Only those ahead, whom nobody may ask to go."""
    ahead = [Claim(claim.demand, claim.warehouses, claim.units, partial=True) for claim in situation.ahead]
    return Situation(situation.units, situation.warehouses, situation.free, ahead, (), [], [], may_move=False)
