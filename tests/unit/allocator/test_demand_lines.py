"""Partial fill: every line on its own. Tables of messages in and messages out; `demand_script` says how they are read."""

import pytest

from services.allocator.core.demand.fold import ForgottenDemand
from services.allocator.core.policy import DemandSettings, PolicySettings
from shared.schemas.events import Holder, Outcome, Remedy, Shortage
from shared.schemas.values import Piece
from tests.unit.allocator.demand_script import DEMAND, Demands


@pytest.mark.accept("002-11")
def test_each_line_is_reserved_on_its_own_and_the_answer_is_told_once_all_have_answered() -> None:
    Demands().play("""
        want 1 stock B=3 A=2    -> line A=2 #1; line B=3 #1
        B#1 reserved=3          ->
        A#1 reserved=2          -> told 1 allocated A=2/2 B=3/3
    """)


@pytest.mark.accept("002-13")
def test_what_is_missing_waits_and_the_demand_is_partially_allocated_until_it_is_served() -> None:
    Demands().play("""
        want 1 stock A=2 B=3                      -> line A=2 #1; line B=3 #1
        A#1 reserved=2; B#1 reserved=1 waiting=2  -> told 1 partially_allocated A=2/2 B=1/3+2w
        B#1 reserved=2 waiting=1                  -> told 1 partially_allocated A=2/2 B=2/3+1w
        B#1 reserved=3                            -> told 1 allocated A=2/2 B=3/3
    """)


@pytest.mark.accept("002-12")
def test_a_demand_for_which_nothing_is_reserved_could_not_be_allocated() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 whole          -> line A=2 #1; line B=3 #1
        A#1 waiting=2; B#1 waiting=3        -> told 1 could_not_allocate A=0/2+2w B=0/3+3w
    """)


@pytest.mark.accept("002-14")
def test_a_flagged_unit_makes_it_overallocated_and_healing_makes_it_allocated_again() -> None:
    Demands().play("""
        want 1 stock A=1            -> line A=1 #1
        A#1 reserved=1              -> told 1 allocated A=1/1
        A#1 reserved=1 flagged=1    -> told 1 overallocated A=1/1!1
        A#1 reserved=1              -> told 1 allocated A=1/1
    """)


@pytest.mark.accept("002-08")
def test_an_edit_is_a_new_attempt_that_adopts_and_releases_what_it_does_not_want() -> None:
    Demands().play("""
        want 1 stock A=2 B=3                -> line A=2 #1; line B=3 #1
        A#1 reserved=2; B#1 reserved=3      -> told 1 allocated A=2/2 B=3/3
        want 2 stock A=1 C=1                -> release B#2; line A=1 #2; line C=1 #2
        A#2 reserved=1; C#2 reserved=1      ->
        B#2                                 -> told 2 allocated A=1/1 C=1/1
    """)


def test_a_change_of_place_in_the_queue_is_a_new_attempt_too() -> None:
    Demands().play("""
        want 1 stock A=2                -> line A=2 #1
        A#1 waiting=2                   -> told 1 could_not_allocate A=0/2+2w
        want 2 stock A=2 priority=-1    -> line A=2 #2
        A#2 reserved=2                  -> told 2 allocated A=2/2
    """)


def test_a_new_version_that_asks_for_the_same_is_answered_without_a_new_attempt() -> None:
    Demands().play("""
        want 1 stock A=2    -> line A=2 #1
        A#1 reserved=2      -> told 1 allocated A=2/2
        want 2 stock A=2    -> told 2 allocated A=2/2
    """)


def test_repeats_and_overtaken_versions_change_nothing() -> None:
    demands = Demands()
    demands.play("""
        want 3 stock A=2    -> line A=2 #1
        want 3 stock A=2    ->
        want 2 stock A=9    ->
    """)
    answer = Outcome(demand=DEMAND, merchant="acme", sku="A", attempt=1, version=5, reserved_units=2)
    older = Outcome(demand=DEMAND, merchant="acme", sku="A", attempt=1, version=4, waiting_units=2)
    assert len(demands.fold([answer])) == 1
    assert demands.fold([answer, older]) == []


def test_an_outcome_of_an_older_attempt_decides_nothing() -> None:
    Demands().play("""
        want 1 stock A=2        -> line A=2 #1
        want 2 stock A=3        -> line A=3 #2
        A#1 reserved=2          ->
        A#2 reserved=3          -> told 2 allocated A=3/3
    """)


@pytest.mark.accept("000-24", "002-06")
def test_a_closed_demand_lets_everything_go_and_is_released_when_all_have_confirmed() -> None:
    demands = Demands()
    demands.play("""
        want 1 stock A=2 B=3                -> line A=2 #1; line B=3 #1
        A#1 reserved=2; B#1 waiting=3       -> told 1 partially_allocated A=2/2 B=0/3+3w
        want 2 closed A=2 B=3               -> release A#2; release B#2
        A#2                                 ->
    """)
    assert demands.state.closed_at is None
    demands.play("after 7; B#2 -> told 2 released A=0/2 B=0/3")
    assert demands.state.closed_at == demands.now


def test_a_demand_closed_in_the_middle_of_its_attempt_ignores_what_comes_late() -> None:
    Demands().play("""
        want 1 stock A=2            -> line A=2 #1
        want 2 closed A=2           -> release A#2
        A#1 reserved=2              ->
        A#2                         -> told 2 released A=0/2
        want 1 stock A=2            ->
    """)


def test_a_closed_demand_stays_closed_and_answers_later_versions_with_that() -> None:
    Demands().play("""
        want 1 stock A=2    -> line A=2 #1
        A#1 reserved=2      -> told 1 allocated A=2/2
        want 2 closed A=2   -> release A#2
        A#2                 -> told 2 released A=0/2
        want 3 stock A=2    -> told 3 released A=0/2
    """)


def test_a_closing_version_that_has_overtaken_an_edit_says_what_was_wanted_at_last() -> None:
    Demands().play("""
        want 1 stock A=2            -> line A=2 #1
        A#1 reserved=2              -> told 1 allocated A=2/2
        want 3 closed A=2 B=1       -> release A#2
        want 2 stock A=2 B=1        ->
        A#2                         -> told 3 released A=0/2 B=0/1
    """)


def test_a_demand_that_never_held_anything_is_released_at_once() -> None:
    Demands().play("want 1 closed A=2 -> told 1 released A=0/2")
    Demands().play("want 1 nothing A=2 -> told 1 released A=0/2")


@pytest.mark.accept("002-19", "002-24")
def test_deallocating_frees_the_stock_and_allocating_starts_anew() -> None:
    Demands().play("""
        want 1 stock A=2            -> line A=2 #1
        A#1 reserved=2 flagged=1    -> told 1 overallocated A=2/2!1
        want 2 nothing A=2          -> release A#2
        A#2                         -> told 2 released A=0/2
        want 3 nothing A=5          -> told 3 released A=0/5
        want 4 stock A=5            -> line A=5 #3
        A#3 reserved=5              -> told 4 allocated A=5/5
    """)


def test_allocated_again_before_the_release_is_confirmed_the_answer_waits_for_both() -> None:
    Demands().play("""
        want 1 stock A=2 B=1            -> line A=2 #1; line B=1 #1
        want 2 nothing A=2 B=1          -> release A#2; release B#2
        want 3 stock A=2                -> line A=2 #3
        A#1 reserved=2; B#1 reserved=1  ->
        A#2; A#3 reserved=2             ->
        B#2                             -> told 3 allocated A=2/2
    """)


def test_several_changes_in_one_batch_get_one_answer() -> None:
    Demands().play("""
        want 1 nothing A=2; want 2 stock A=2; want 3 nothing A=2    -> line A=2 #1; release A#2
        A#1 reserved=2; A#2                                         -> told 3 released A=0/2
    """)


def test_changing_to_all_or_nothing_releases_the_lines_before_the_chain_sets_out_and_back_again() -> None:
    """The row at the stock side is another one then (it names the warehouse), so nothing can be adopted and nothing may be left."""
    Demands().play("""
        want 1 stock A=2 B=3                -> line A=2 #1; line B=3 #1
        A#1 reserved=2; B#1 reserved=3      -> told 1 allocated A=2/2 B=3/3
        want 2 stock A=2 B=3 all            -> release A#2; release B#2; chain A=2 B=3 @w #2
        A@#2; B@#2; B#2 reserved=3 pending complete  -> activate A@w#2; activate B@w#2
        A#2 reserved=2; B#2 reserved=3      -> told 2 allocated A=2/2 B=3/3
        want 3 stock A=2 whole              -> release A@w#3; release B@w#3; line A=2 #3
        A#3 reserved=2; A@w#3               ->
        B@w#3                               -> told 3 allocated A=2/2
    """)


def test_where_allocation_does_not_run_by_itself_stock_is_held_back() -> None:
    demands = Demands(DemandSettings(policy=PolicySettings(allocate_now=False)))
    demands.play("want 1 stock A=2 -> told 1 released A=0/2")


def test_the_last_explanation_of_a_shortage_stays_until_nothing_is_missing() -> None:
    demands = Demands()
    demands.play("want 1 stock A=3 -> line A=3 #1")
    why = Shortage(
        missing_units=2,
        on_hand_units=1,
        held_units=0,
        expired_units=0,
        allocated_units=0,
        claimed_units=0,
        elsewhere_units=4,
        holders=(Holder(demand="sales-order/acme/SO-9", units=1),),
        remedies=(Remedy(action="allow_warehouse", units=2, warehouse="w2"),),
        ledger_version=8,
    )
    demands.fold([Outcome(demand=DEMAND, merchant="acme", sku="A", attempt=1, version=1, reserved_units=1, waiting_units=2, shortage=why)])
    assert demands.told().lines[0].shortage == why
    demands.outcomes = 1
    demands.play("A#1 reserved=2 waiting=1 -> told 1 partially_allocated A=2/3+1w")
    assert demands.told().lines[0].shortage == why
    demands.play("A#1 reserved=3 flagged=1 -> told 1 overallocated A=3/3!1")
    assert demands.told().lines[0].shortage == why
    demands.play("A#1 reserved=3 -> told 1 allocated A=3/3")
    assert demands.told().lines[0].shortage is None


def test_units_that_lie_elsewhere_now_are_told_again_and_the_same_are_not() -> None:
    demands = Demands()
    demands.play("want 1 stock A=2 -> line A=2 #1")
    for version, record, told in ((1, 1, 1), (2, 1, 0), (3, 2, 1)):
        where = (Piece(record=record, warehouse="w", bin="B1", units=2),)
        answer = Outcome(demand=DEMAND, merchant="acme", sku="A", attempt=1, version=version, reserved_units=2, pieces=where)
        assert len(demands.fold([answer])) == told
        assert demands.told().lines[0].pieces == where


def test_an_answer_to_a_demand_or_an_attempt_that_is_not_known_stops_everything() -> None:
    with pytest.raises(ForgottenDemand, match=r"nothing is known.*docs/runbooks\.md#forgotten-demand"):
        Demands().fold([Outcome(demand=DEMAND, merchant="acme", sku="A", attempt=1, version=1)])
    demands = Demands()
    demands.play("want 1 stock A=3 -> line A=3 #1")
    with pytest.raises(ForgottenDemand, match="attempt 2 is answered, attempt 1 is known"):
        demands.batch("A#2 reserved=3")
    with pytest.raises(ForgottenDemand):
        demands.batch("wake A#2 1")
