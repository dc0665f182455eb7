"""All or nothing: the chain, its shortage, wake and baton, deadlines, edits. Tables as `demand_script` reads them."""

from datetime import timedelta

from shared.schemas.commands import ReserveChain
from tests.unit.allocator.demand_script import Demands

ALLOCATED = """
    want 1 stock A=2 B=3 all                    -> chain A=2 B=3 @w #1
    B#1 reserved=3 pending complete             -> activate A@w#1; activate B@w#1
    A#1 reserved=2; B#1 reserved=3              -> told 1 allocated A=2/2 B=3/3
"""
WAITING_AT_B = """
    want 1 stock A=2 B=3 C=1 all                -> chain A=2 B=3 C=1 @w #1
    B#1 waiting=3 short                         -> release A@w#1
    A#1                                         -> told 1 could_not_allocate A=0/2 B=0/3+3w C=0/1
"""


def test_the_chain_visits_the_skus_in_sorted_order() -> None:
    demands = Demands()
    demands.play("want 1 stock C=1 A=2 B=3 all -> chain A=2 B=3 C=1 @w #1")
    assert demands.sends[0].stop == 0


def test_success_makes_every_reservation_active_and_is_told_when_all_are() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 all            -> chain A=2 B=3 @w #1
        B#1 reserved=3 pending complete     -> activate A@w#1; activate B@w#1
        B#1 reserved=3                      ->
        A#1 reserved=2                      -> told 1 allocated A=2/2 B=3/3
    """)


def test_a_pending_reservation_that_was_flagged_succeeds_as_overallocated() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 all                        -> chain A=2 B=3 @w #1
        A#1 reserved=2 flagged=1 pending                ->
        B#1 reserved=3 pending complete                 -> activate A@w#1; activate B@w#1
        A#1 reserved=2 flagged=1; B#1 reserved=3        -> told 1 overallocated A=2/2!1 B=3/3
    """)


def test_a_shortage_releases_the_earlier_stops_and_waits_at_the_one_sku() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    assert demands.state.waiting_at == {("B", "w")}
    assert demands.state.holding() == {("B", "w")}


def test_a_shortage_also_releases_later_stops_where_an_older_attempt_may_have_left_something() -> None:
    Demands().play(ALLOCATED)
    demands = Demands()
    demands.play(ALLOCATED)
    demands.play("""
        want 2 stock A=3 B=3 C=1 all    -> chain A=3 B=3 C=1 @w #2
        A#2 waiting=3 short             -> release B@w#2
        B#2                             -> told 2 could_not_allocate A=0/3+3w B=0/3 C=0/1
    """)


def test_a_wake_starts_an_attempt_and_the_baton_goes_back_when_it_has_ended() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7                              -> chain A=2 B=3 C=1 @w #2
        C#2 reserved=1 pending complete         -> activate A@w#2; activate B@w#2; activate C@w#2; baton B@w#2 7 served
        A#2 reserved=2; B#2 reserved=3; C#2 reserved=1  -> told 1 allocated A=2/2 B=3/3 C=1/1
    """)


def test_a_woken_attempt_that_falls_short_again_returns_the_baton_and_tells_nothing_new() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7              -> chain A=2 B=3 C=1 @w #2
        B#2 waiting=3 short     -> release A@w#2; baton B@w#2 7 failed
        A#2                     ->
    """)
    demands.play("""
        wake B#2 8              -> chain A=2 B=3 C=1 @w #3
        C#3 waiting=1 short     -> release A@w#3; release B@w#3; baton B@w#3 8 failed
        A#3; B#3                -> told 1 could_not_allocate A=0/2 B=0/3 C=0/1+1w
    """)


def test_a_woken_attempt_that_falls_short_before_it_is_there_withdraws_the_wait_that_kept_its_claim() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7              -> chain A=2 B=3 C=1 @w #2
        A#2 waiting=2 short     -> release B@w#2; baton B@w#2 7 failed
        B#2                     -> told 1 could_not_allocate A=0/2+2w B=0/3 C=0/1
    """)


def test_a_baton_is_returned_unused_at_once_when_no_attempt_can_be_made_of_it() -> None:
    trying = Demands()
    trying.play("""
        want 1 stock A=2 all    -> chain A=2 @w #1
        wake A#1 7              -> baton A@w#1 7 unused
    """)
    allocated = Demands()
    allocated.play(ALLOCATED)
    allocated.play("wake A#1 7 -> baton A@w#1 7 unused")
    outdated = Demands()
    outdated.play(WAITING_AT_B)
    outdated.play("""
        wake B#1 5                  -> chain A=2 B=3 C=1 @w #2
        B#2 waiting=3 short         -> release A@w#2; baton B@w#2 5 failed
        wake B#1 6                  -> baton B@w#2 6 unused
    """)
    outdated = Demands()
    outdated.play(WAITING_AT_B)
    outdated.play("""
        wake A#1 7                  -> baton A@w#1 7 unused
        want 2 closed A=2 B=3 C=1 all -> release B@w#2
        wake B#1 8                  -> baton B@w#2 8 unused
        B#2                         -> told 2 released A=0/2 B=0/3 C=0/1
    """)


def test_closing_a_woken_demand_returns_its_baton() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7                  -> chain A=2 B=3 C=1 @w #2
        want 2 closed A=2 B=3 C=1 all -> release A@w#3; release B@w#3; release C@w#3; baton B@w#3 7 unused
        A#3; B#3; C#3               -> told 2 released A=0/2 B=0/3 C=0/1
    """)


def test_an_edit_of_a_woken_demand_returns_its_baton_before_the_new_attempt() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7                      -> chain A=2 B=3 C=1 @w #2
        want 2 stock A=2 B=4 C=1 all    -> baton B@w#2 7 unused; chain A=2 B=4 C=1 @w #3
    """)


def test_an_edit_of_a_waiting_demand_withdraws_its_wait_under_the_old_number() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        want 2 stock A=2 B=1 all            -> release B@w#1; chain A=2 B=1 @w #2
        B#1; B#2 reserved=1 pending complete -> activate A@w#2; activate B@w#2
        A#2 reserved=2; B#2 reserved=1      -> told 2 allocated A=2/2 B=1/1
    """)


def test_an_edit_in_the_middle_of_an_attempt_supersedes_it() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 all            -> chain A=2 B=3 @w #1
        want 2 stock A=2 C=1 all            -> release B@w#2; chain A=2 C=1 @w #2
        B#1 reserved=3 pending complete     ->
        B#2                                 ->
        C#2 reserved=1 pending complete     -> activate A@w#2; activate C@w#2
        A#2 reserved=2; C#2 reserved=1      -> told 2 allocated A=2/2 C=1/1
    """)


def test_asking_an_allocated_demand_for_less_runs_no_chain_and_has_no_deadline() -> None:
    demands = Demands()
    demands.play(ALLOCATED)
    demands.play("want 2 stock A=1 all -> release B@w#2; reduce A@w=1 #2")
    assert demands.state.deadline_at is None
    demands.play("A#2 reserved=1; B#2 -> told 2 allocated A=1/1")


def test_asking_for_more_anywhere_or_for_another_warehouse_needs_the_chain() -> None:
    more = Demands()
    more.play(ALLOCATED)
    more.play("want 2 stock A=1 B=4 all -> chain A=1 B=4 @w #2")
    moved = Demands()
    moved.play(ALLOCATED)
    moved.play("want 2 stock A=1 B=1 all at=w2 -> release A@w#2; release B@w#2; chain A=1 B=1 @w2 #2")


def test_a_demand_with_several_warehouses_takes_the_first() -> None:
    Demands().play("want 1 stock A=1 all at=w2,w3 -> chain A=1 @w2 #1")


def test_an_attempt_that_outlives_its_deadline_is_cancelled_everywhere_and_tried_later() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 all    -> chain A=2 B=3 @w #1
        after 29                    ->
        after 1                     -> release A@w#1; release B@w#1
        A#1; B#1                    -> told 1 could_not_allocate A=0/2 B=0/3
        after 9                     ->
        after 1                     -> chain A=2 B=3 @w #2
    """)


def test_a_late_success_of_a_cancelled_attempt_is_not_taken() -> None:
    Demands().play("""
        want 1 stock A=2 all                -> chain A=2 @w #1
        after 30                            -> release A@w#1
        A#1 reserved=2 pending complete     ->
        A#1                                 -> told 1 could_not_allocate A=0/2
    """)


def test_a_late_shortage_of_a_cancelled_attempt_makes_nobody_wait_there() -> None:
    Demands().play("""
        want 1 stock A=2 B=3 all    -> chain A=2 B=3 @w #1
        after 30                    -> release A@w#1; release B@w#1
        B#1 waiting=3 short         ->
        A#1; B#1                    -> told 1 could_not_allocate A=0/2 B=0/3
        after 10                    -> chain A=2 B=3 @w #2
    """)


def test_a_woken_attempt_that_expires_returns_its_baton() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        wake B#1 7  -> chain A=2 B=3 C=1 @w #2
        after 30    -> release A@w#2; release B@w#2; release C@w#2; baton B@w#2 7 failed
    """)


def test_deadline_and_pause_double_with_every_expiry_and_only_success_resets_them() -> None:
    demands = Demands()
    demands.play("want 1 stock A=1 all -> chain A=1 @w #1")
    waits = []
    for _ in range(10):
        deadline = demands.state.deadline_at
        assert deadline is not None
        waits.append(deadline - demands.now)
        demands.now = deadline
        demands.fold([])
    seconds = [wait.total_seconds() for wait in waits]
    assert seconds == [30, 10, 60, 20, 120, 40, 240, 80, 480, 160]
    attempt = demands.state.attempt
    demands.play(f"A#{attempt} waiting=1 short -> told 1 could_not_allocate A=0/1+1w")
    assert demands.state.expiries == 5
    demands.batch(f"wake A#{attempt} 3")
    demands.batch(f"A#{attempt + 1} reserved=1 pending complete")
    assert demands.state.expiries == 0


def test_the_longest_attempt_is_bounded() -> None:
    demands = Demands()
    timing = demands.settings.timing
    assert timing.attempt_limit(200) == timing.attempt_limit(8) == timedelta(seconds=30 * 256)
    assert timing.pause_after(200) == timedelta(seconds=5 * 256)


def test_no_attempt_asks_for_fairness_before_a_rule_does() -> None:
    demands = Demands()
    demands.play("want 1 stock A=1 all -> chain A=1 @w #1")
    chain = demands.sends[0]
    assert isinstance(chain, ReserveChain)
    assert (chain.sticky, chain.overtaken) == (False, 0)


def test_deallocating_a_waiting_demand_takes_it_out_of_the_queue() -> None:
    demands = Demands()
    demands.play(WAITING_AT_B)
    demands.play("""
        want 2 nothing A=2 B=3 C=1 all  -> release B@w#2
        B#2                             -> told 2 released A=0/2 B=0/3 C=0/1
        want 3 stock A=2 B=3 C=1 all    -> chain A=2 B=3 C=1 @w #3
    """)
