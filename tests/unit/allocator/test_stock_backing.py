"""What a fall does: reservations keep their units where they can, move where they may, and the rest is flagged, the worst placed first."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.allocator.stock_script import Script, where

STORIES = {
    "a fall flags in reverse queue order, and a rise heals in queue order": """
        receive W 6                 | moved +6
        line o1 2                   | o1 has 2
        line o2 2                   | o2 has 2
        line o3 2                   | o3 has 2
        adjust W -3                 | moved -3, o2 has 2 flagged 1, o3 has 2 flagged 2
        receive W 2                 | moved +2, o2 has 2, o3 has 2 flagged 1
        receive W 2                 | moved +2, o3 has 2
        line o4 1                   | o4 has 1
    """,
    "an order for one unit becomes overallocated when stock drops to nothing": """
        receive W 1                 | moved +1
        line o1 1                   | o1 has 1
        adjust W -1                 | moved -1, o1 has 1 flagged 1
        release o1                  | o1 has 0
        line o1 1                   | o1 has 0 waits 1
        receive W 1                 | moved +1, o1 has 1
    """,
    "what is being picked is flagged last": """
        receive W 4                 | moved +4
        line o1 2                   | o1 has 2
        line o2 2                   | o2 has 2
        pick o2                     | o2 has 2 picking
        adjust W -2                 | moved -2, o1 has 2 flagged 2
        adjust W -1                 | moved -1, o2 has 2 flagged 1 picking
    """,
    "taking the picking mark off may cost the backing": """
        receive W 4                 | moved +4
        line o1 2                   | o1 has 2
        line o2 2                   | o2 has 2
        pick o2                     | o2 has 2 picking
        adjust W -2                 | moved -2, o1 has 2 flagged 2
        unpick o2                   | o1 has 2, o2 has 2 flagged 2
    """,
    "a fall first moves units to other stock records": """
        receive W 3 bin=B1          | moved +3
        receive W 3 bin=B2          | moved +3
        line o1 3                   | o1 has 3
        adjust W -2 bin=B1          | moved -2, o1 has 3
        line o2 1                   | o2 has 1
    """,
    "a fall first moves whoever can lie elsewhere, the better placed too": """
        receive W 6                 | moved +6
        receive V 3                 | moved +3
        line o1 3 wh=W,V            | o1 has 3
        line o2 3 wh=W              | o2 has 3
        adjust W -2                 | moved -2, o1 has 3
        adjust W -2                 | moved -2, o1 has 3, o2 has 3 flagged 1
    """,
    "what a picker has in hand moves for nobody": """
        receive W 6                 | moved +6
        receive V 3                 | moved +3
        line o1 3 wh=W,V            | o1 has 3
        line o2 3 wh=W              | o2 has 3
        pick o1                     | o1 has 3 picking
        adjust W -2                 | moved -2, o2 has 3 flagged 2
    """,
    "pending ones are flagged too and still succeed": """
        receive W 3                 | moved +3
        chain o1 3 then=B           | o1 goes on to B
        adjust W -1                 | moved -1, o1 has 3 flagged 1 pending
        activate o1                 | o1 has 3 flagged 1
    """,
    "a release heals before it serves": """
        receive W 4                 | moved +4
        line o1 2                   | o1 has 2
        line o2 2                   | o2 has 2
        adjust W -1                 | moved -1, o2 has 2 flagged 1
        line o3 1 p=-1              | o3 has 0 waits 1
        release o1                  | o2 has 2, o1 has 0, o3 has 1
    """,
    "a worse place in the queue may give its backing away": """
        receive W 4                 | moved +4
        line o1 2                   | o1 has 2
        line o2 2                   | o2 has 2
        adjust W -2                 | moved -2, o2 has 2 flagged 2
        line o1 2 p=9               | o2 has 2, o1 has 2 flagged 2
    """,
    "an edit down gives the flagged units back first": """
        receive W 4                 | moved +4
        line o1 4                   | o1 has 4
        adjust W -2                 | moved -2, o1 has 4 flagged 2
        line o1 3                   | o1 has 3 flagged 1
        line o1 2                   | o1 has 2
    """,
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "forgetful"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.accept("002-14", "002-25", "002-24")
def test_backing(story: str, forgetful: bool) -> None:
    Script(forgetful=forgetful).play(story)


def test_units_move_to_another_warehouse_of_the_line_before_anybody_is_flagged() -> None:
    script = Script()
    script.sends("receive N 3", "receive S 3", "line o1 3 wh=N,S")
    (outcome,) = script.outcomes("adjust N -2")
    assert (outcome.flagged_units, where(outcome)) == (0, "N/B1 1, S/B1 2")


def test_a_fall_leaves_the_better_placed_one_on_its_record() -> None:
    script = Script()
    script.sends("receive W 4 bin=B1", "line o1 2", "line o2 2", "receive W 2 bin=B2")
    (outcome,) = script.outcomes("adjust W -2 bin=B1")
    assert (outcome.demand.rpartition("/")[2], where(outcome)) == ("o2", "W/B2 2")


def test_a_flagged_line_takes_what_a_worse_placed_one_has_in_a_warehouse_that_it_could_use() -> None:
    script = Script()
    script.sends("receive N 2", "receive S 2", "line o1 2 wh=N,S", "line o2 2 wh=S")
    script.play("adjust N -2 | moved -2, o1 has 2, o2 has 2 flagged 2")


def test_a_flagged_line_leaves_alone_what_it_could_not_use() -> None:
    script = Script()
    script.sends("receive N 2", "receive S 2", "line o1 2 wh=N", "line o2 2 wh=S")
    script.play("adjust N -2 | moved -2, o1 has 2 flagged 2")
    records = sorted(script.partition.rows("stock_record"), key=lambda row: row.warehouse)
    assert [row.on_hand - row.backed - row.flagged for row in records] == [-2, 0]


def test_flagged_units_stay_with_the_record_from_which_they_fell() -> None:
    script = Script()
    script.sends("receive W 4", "line o1 3", "adjust W -3")
    (record,) = script.partition.rows("stock_record")
    assert (record.on_hand, record.backed, record.flagged) == (1, 1, 2)


def test_a_lot_that_ends_is_a_fall_at_the_end_of_its_last_day() -> None:
    script = Script()
    script.play("""
        receive W 3 expires=2026-11-21 | moved +3
        receive W 2 bin=B2 lot=L2 expires=2026-12-24 | moved +2
        line o1 4                   | o1 has 4
        line o2 1 partial           | o2 has 1
        line o3 1 partial           | o3 has 0 waits 1
    """)
    due = script.partition.side.next_deadline()
    assert due == datetime(2026, 11, 22, tzinfo=UTC)
    script.play("wait 43200 | o1 has 4 flagged 2, o2 has 1 flagged 1")
    script.play("line o4 1 partial | o4 has 0 waits 1")


def test_a_lot_dated_on_the_last_day_of_the_calendar_never_ends() -> None:
    """There is no day after it, which stopped the stock partition (found by the simulation)."""
    script = Script()
    script.play("receive W 2 lot=L1 expires=9999-12-31 | moved +2")
    levels_again = script.partition.now + timedelta(days=1)
    assert script.partition.side.next_deadline() == levels_again
    script.partition.take_over()
    assert script.partition.side.next_deadline() == levels_again


def test_stock_that_has_ended_when_it_arrives_serves_nobody() -> None:
    script = Script()
    script.play("""
        line o1 1                   | o1 has 0 waits 1
        receive W 3 expires=2026-11-20 | moved +3
        line o2 1                   | o2 has 0 waits 1
    """)
