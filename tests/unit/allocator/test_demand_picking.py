"""From reserved to gone: marks and consumption, refusals and their remedies. Tables as `demand_script` reads them."""

import pytest

from tests.unit.allocator.demand_script import Demands

ALLOCATED = """
    want 1 stock A=2 B=3                        -> line A=2 #1; line B=3 #1
    A#1 reserved=2; B#1 reserved=3              -> told 1 allocated A=2/2 B=3/3
"""
PICKING = (
    ALLOCATED
    + """
    want 2 picking A=2 B=3                      -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
    A#1 reserved=2 mark=2                       ->
    B#1 reserved=3 mark=2                       -> told 2 allocated A=2/2 B=3/3 picking confirmed
"""
)
LEAVING = PICKING + "want 3 consumption A=2 B=3 -> consume A#1 3; consume B#1 3"


def playing(script: str) -> Demands:
    demands = Demands()
    demands.play(script)
    return demands


def test_processing_is_confirmed_when_every_sku_is_marked() -> None:
    playing(PICKING)


def test_an_all_or_nothing_demand_is_marked_at_its_warehouse() -> None:
    playing("""
        want 1 stock A=2 all                -> chain A=2 @w #1
        A#1 reserved=2 pending complete     -> activate A@w#1
        A#1 reserved=2                      -> told 1 allocated A=2/2
        want 2 picking A=2 all              -> mark A@w#1 2; told 2 allocated A=2/2 picking asked
        A#1 reserved=2 mark=2               -> told 2 allocated A=2/2 picking confirmed
    """)


@pytest.mark.parametrize(
    ("outcome", "told", "why"),
    [
        ("A#1 reserved=1 waiting=1", "partially_allocated A=1/2+1w", "A: 1 of 2 units reserved, 1 wait for stock; wait for them or split"),
        ("A#1 waiting=2", "could_not_allocate A=0/2+2w", "A: none of 2 units reserved; receive stock"),
        ("A#1 reserved=2 flagged=1", "overallocated A=2/2!1", "A: 1 of 2 reserved units have no stock behind them any more; receive or"),
    ],
)
def test_a_demand_that_is_not_whole_is_refused_at_once_with_sku_and_remedy(outcome: str, told: str, why: str) -> None:
    demands = playing(f"""
        want 1 stock A=2    -> line A=2 #1
        {outcome}           -> told 1 {told}
        want 2 picking A=2  -> told 2 {told} picking refused
    """)
    assert (demands.told().refusal or "").startswith(why)


def test_a_sku_that_refuses_the_mark_unmarks_the_others() -> None:
    demands = playing(ALLOCATED)
    demands.play("""
        want 2 picking A=2 B=3                      -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
        A#1 reserved=2 mark=2                       ->
        B#1 reserved=3 flagged=1                    -> told 2 overallocated A=2/2 B=3/3!1 picking asked
        B#1 reserved=3 flagged=1 unpicked=2         -> unmark A#1 2; unmark B#1 2; told 2 overallocated A=2/2 B=3/3!1 picking refused
        A#1 reserved=2                              ->
    """)
    assert demands.told().refusal == (
        "B: 1 of 3 reserved units have no stock behind them any more; receive or count stock, or deallocate and allocate again"
    )


def test_of_several_refusals_the_first_sku_is_named_whichever_came_first() -> None:
    both = ("A#1 reserved=2 flagged=1 unpicked=2", "B#1 reserved=3 flagged=1 unpicked=2")
    refusals = set()
    for first, second in (both, both[::-1]):
        demands = playing(ALLOCATED)
        demands.batch("want 2 picking A=2 B=3")
        demands.batch(first)
        demands.batch(second)
        refusals.add(demands.told().refusal)
        assert len([send for send in demands.sends if send.type == "unmark_picking"]) == 2
    assert len(refusals) == 1
    assert (refusals.pop() or "").endswith("(and 1 more)")


def test_a_refusal_of_an_older_mark_is_no_news() -> None:
    demands = playing(ALLOCATED)
    demands.play("""
        want 2 picking A=2 B=3              -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
        want 3 stock A=2 B=3                -> unmark A#1 2; unmark B#1 2; told 3 allocated A=2/2 B=3/3
        want 4 picking A=2 B=3              -> mark A#1 4; mark B#1 4; told 4 allocated A=2/2 B=3/3 picking asked
        B#1 reserved=3 unpicked=2           ->
        A#1 reserved=2 mark=2; B#1 reserved=3 mark=2  ->
        A#1 reserved=2 mark=4; B#1 reserved=3 mark=4  -> told 4 allocated A=2/2 B=3/3 picking confirmed
    """)


def test_asked_again_after_a_refusal_it_marks_anew() -> None:
    demands = playing(ALLOCATED)
    demands.play("""
        want 2 picking A=2 B=3              -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
        B#1 reserved=3 flagged=1 unpicked=2 -> unmark A#1 2; unmark B#1 2; told 2 overallocated A=2/2 B=3/3!1 picking refused
        B#1 reserved=3                      -> told 2 allocated A=2/2 B=3/3 picking refused
        want 3 picking A=2 B=3              -> mark A#1 3; mark B#1 3; told 3 allocated A=2/2 B=3/3 picking asked
    """)


def test_a_repeat_of_the_version_that_was_refused_does_not_ask_again() -> None:
    playing("""
        want 1 stock A=2            -> line A=2 #1
        A#1 reserved=1 waiting=1    -> told 1 partially_allocated A=1/2+1w
        want 2 picking A=2          -> told 2 partially_allocated A=1/2+1w picking refused
        A#1 reserved=2              -> told 2 allocated A=2/2 picking refused
        want 2 picking A=2          ->
    """)


def test_a_sku_that_is_whole_again_when_its_refusal_arrives_says_to_ask_again() -> None:
    demands = playing(ALLOCATED)
    demands.play("""
        want 2 picking A=2 B=3              -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
        B#1 reserved=3 unpicked=2           -> unmark A#1 2; unmark B#1 2; told 2 allocated A=2/2 B=3/3 picking refused
    """)
    assert demands.told().refusal == "B: it was short when asked and is whole again; ask again"


def test_processing_asked_for_during_an_attempt_waits_for_its_end() -> None:
    playing("""
        want 1 stock A=2                    -> line A=2 #1
        want 2 picking A=2                  ->
        A#1 reserved=2                      -> mark A#1 2; told 2 allocated A=2/2 picking asked
    """)
    playing("""
        want 1 picking A=2 all              -> chain A=2 @w #1
        A#1 waiting=2 short                 -> told 1 could_not_allocate A=0/2+2w picking refused
    """)


def test_stopping_takes_the_marks_off() -> None:
    demands = playing(PICKING)
    demands.play("want 3 stock A=2 B=3 -> unmark A#1 2; unmark B#1 2; told 3 allocated A=2/2 B=3/3")


def test_an_edit_needs_no_unmarking_because_adopting_clears_the_marks() -> None:
    demands = playing(PICKING)
    demands.play("""
        want 3 stock A=2 B=4                -> line A=2 #2; line B=4 #2
        A#2 reserved=2; B#2 reserved=4      -> told 3 allocated A=2/2 B=4/4
    """)


def test_an_edit_that_still_wants_processing_marks_anew_when_it_is_allocated() -> None:
    demands = playing(PICKING)
    demands.play("""
        want 3 picking A=2 B=4              -> line A=2 #2; line B=4 #2
        A#2 reserved=2                      ->
        B#2 reserved=4                      -> mark A#2 3; mark B#2 3; told 3 allocated A=2/2 B=4/4 picking asked
    """)


def test_a_flag_on_what_is_being_picked_is_told_and_leaves_the_mark() -> None:
    demands = playing(PICKING)
    demands.play("B#1 reserved=3 flagged=2 mark=2 -> told 2 overallocated A=2/2 B=3/3!2 picking confirmed")


def test_what_has_shipped_is_consumed_at_every_sku_and_then_told() -> None:
    demands = playing(LEAVING)
    demands.play("""
        B#1 consumed=3      ->
        after 5; A#1 consumed=2      -> told 3 consumed A=0/2+2c B=0/3+3c picking confirmed
        want 4 consumption A=2 B=3  -> told 4 consumed A=0/2+2c B=0/3+3c picking confirmed
        want 5 closed A=2 B=3       -> told 5 consumed A=0/2+2c B=0/3+3c picking confirmed
    """)
    assert demands.state.closed_at is not None


def test_shipping_without_processing_first_marks_and_then_consumes() -> None:
    demands = playing(ALLOCATED)
    demands.play("""
        want 2 consumption A=2 B=3                      -> mark A#1 2; mark B#1 2; told 2 allocated A=2/2 B=3/3 picking asked
        A#1 reserved=2 mark=2; B#1 reserved=3 mark=2    -> consume A#1 2; consume B#1 2
        A#1 consumed=2; B#1 consumed=3                  -> told 2 consumed A=0/2+2c B=0/3+3c picking confirmed
    """)


def test_a_refused_consumption_is_visible_and_only_what_is_left_is_asked_again() -> None:
    demands = playing(LEAVING)
    demands.play("""
        A#1 consumed=2                                          ->
        B#1 reserved=3 flagged=1 mark=2 unconsumed=3            -> told 3 overallocated A=0/2+2c B=3/3!1 picking confirmed
        want 4 picking A=2 B=3                                  -> told 4 overallocated A=0/2+2c B=3/3!1 picking confirmed
    """)
    why = "B: 1 of 3 units to ship are more than is on hand; adjust or count the stock, then ship again"
    assert demands.told().refusal == why
    demands.play("""
        B#1 reserved=3 mark=2                                   -> told 4 allocated A=0/2+2c B=3/3 picking confirmed
        want 5 consumption A=2 B=3                              -> consume B#1 5
        B#1 consumed=3                                          -> told 5 consumed A=0/2+2c B=0/3+3c picking confirmed
    """)
    assert demands.told().refusal is None


def test_a_consumption_that_all_refused_leaves_everything_possible_again() -> None:
    demands = playing(LEAVING)
    demands.play("""
        B#1 reserved=3 flagged=1 mark=2 unconsumed=3    -> told 3 overallocated A=2/2 B=3/3!1 picking confirmed
        A#1 reserved=2 flagged=2 mark=2 unconsumed=3    -> told 3 overallocated A=2/2!2 B=3/3!1 picking confirmed
        want 4 stock A=2 B=3                            -> unmark A#1 2; unmark B#1 2; told 4 overallocated A=2/2!2 B=3/3!1
    """)


def test_a_consumption_refused_for_want_of_a_mark_says_what_to_do() -> None:
    demands = playing(LEAVING)
    demands.play("B#1 reserved=3 unconsumed=3 -> told 3 allocated A=2/2 B=3/3 picking confirmed")
    assert demands.told().refusal == "B: not marked as being picked; start processing again, then ship"


def test_a_late_refusal_of_an_older_consumption_is_no_news() -> None:
    demands = playing(LEAVING)
    demands.play("""
        want 4 consumption A=2 B=3                              -> consume A#1 4; consume B#1 4
        B#1 reserved=3 flagged=1 mark=2 unconsumed=3            ->
        B#1 consumed=3; A#1 consumed=2                          -> told 4 consumed A=0/2+2c B=0/3+3c picking confirmed
    """)


@pytest.mark.parametrize("wish", ["stock A=2 B=3", "nothing A=2 B=3", "stock A=1"])
def test_while_goods_leave_nothing_else_is_taken_and_the_answer_says_so(wish: str) -> None:
    demands = playing(LEAVING)
    demands.play(f"""
        A#1 consumed=2; B#1 reserved=3 flagged=1 mark=2 unconsumed=3    -> told 3 overallocated A=0/2+2c B=3/3!1 picking confirmed
        want 4 {wish}                                                   -> told 4 overallocated A=0/2+2c B=3/3!1 picking confirmed
    """)
    assert demands.told().refusal == "goods are leaving already; repeat the consumption, or close the demand (and 1 more)"


def test_closing_a_half_consumed_demand_releases_the_rest() -> None:
    demands = playing(LEAVING)
    demands.play("""
        A#1 consumed=2; B#1 reserved=3 flagged=1 mark=2 unconsumed=3    -> told 3 overallocated A=0/2+2c B=3/3!1 picking confirmed
        want 4 closed A=2 B=3                                           -> release A#2; release B#2
        A#2 consumed=2; B#2                                             -> told 4 released A=0/2+2c B=0/3
    """)


@pytest.mark.parametrize("lines", ["A=2 B=3", "A=2 C=1"])
def test_closed_while_everything_left_it_is_told_as_consumed(lines: str) -> None:
    """What has left, left on the terms before."""
    demands = playing(LEAVING)
    demands.play(f"""
        want 4 closed {lines}               -> release A#2; release B#2
        A#1 consumed=2; B#1 consumed=3      ->
        A#2 consumed=2; B#2 consumed=3      -> told 4 consumed A=0/2+2c B=0/3+3c
    """)
