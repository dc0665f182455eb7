"""Receipts and adjustments: posted, refused, repeated."""

import pytest

from services.allocator.core.stock.ledger import MAX_ON_HAND_UNITS
from shared.schemas.events import StockMoved
from tests.unit.allocator.stock_script import Script

STORIES = {
    "nothing goes below zero on hand": """
        receive W 3                 | moved +3
        adjust W -4                 | refused below_zero
        adjust W -3                 | moved -3
    """,
    "an adjustment needs a stock record": """
        adjust W 3                  | refused no_such_record
        receive W 3                 | moved +3
        adjust W 3 bin=B2           | refused no_such_record
        adjust W 3 lot=L            | refused no_such_record
    """,
    "an adjustment by nothing is refused": """
        receive W 3                 | moved +3
        adjust W 0                  | refused zero_change
    """,
    "a refusal is remembered": """
        receive W 3                 | moved +3
        adjust W -4 id=late         | refused below_zero
        receive W 3                 | moved +3
        adjust W -4 id=late         | refused below_zero
    """,
    "a repeat is posted once, and answered again": """
        receive W 3 id=once         | moved +3
        receive W 3 id=once         | moved +3
        line o1 4 partial           | o1 has 3 waits 1
    """,
    "a repeat in the same batch is posted once": """
        receive W 3 id=once
        +receive W 3 id=once        | moved +3, moved +3
        line o1 4 partial           | o1 has 3 waits 1
    """,
    "another content under a known id is refused and the first answer stands": """
        receive W 3 id=once         | moved +3
        receive W 4 id=once         | refused other_content
        receive W 3 id=once         | moved +3
        adjust W 9 id=once          | refused other_content
    """,
    "an adjustment up is a rise": """
        receive W 1                 | moved +1
        line o1 3 partial           | o1 has 1 waits 2
        adjust W 1                  | moved +1, o1 has 2 waits 1
    """,
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "forgetful"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.accept("003-24", "003-25", "002-09")
def test_ledger(story: str, forgetful: bool) -> None:
    Script(forgetful=forgetful).play(story)


def test_the_answer_to_a_repeat_is_the_first_answer_word_for_word() -> None:
    script = Script()
    (first, _) = script.sends("receive W 3 id=once")
    script.sends("receive W 5", "line o1 2")
    assert script.sends("receive W 3 id=once") == [first]


def test_a_movement_says_before_and_after_and_numbers_itself() -> None:
    script = Script()
    script.sends("receive W 3", "line o1 1")
    moved = next(send.message for send in script.sends("adjust W -1") if isinstance(send.message, StockMoved))
    assert (moved.on_hand_before, moved.on_hand_after, moved.change, moved.reason) == (3, 2, -1, "CYCLE_COUNT")
    assert (moved.record, moved.record_version, moved.ledger_version) == (1, 3, 4)


def test_more_units_than_can_be_told_are_refused() -> None:
    script = Script()
    script.sends("receive W 1")
    stored = script.partition.database.table("stock_record")
    for key, row in list(stored.items()):
        stored[key] = row._replace(on_hand=MAX_ON_HAND_UNITS - 1)
    script.partition.take_over()
    script.play("""
        receive V 2                 | refused too_many_units
        adjust W 2                  | refused too_many_units
        receive V 1                 | moved +1
    """)


@pytest.mark.accept("000-07")
def test_another_bin_lot_or_warehouse_is_another_stock_record() -> None:
    script = Script()
    script.sends("receive W 1", "receive W 1 bin=B2", "receive W 1 lot=L", "receive V 1", "receive W 1")
    assert [row.on_hand for row in sorted(script.partition.rows("stock_record"), key=lambda row: row.record)] == [2, 1, 1, 1]


def test_the_earlier_last_day_counts_for_goods_on_one_record_until_it_is_empty() -> None:
    script = Script()
    days = []
    deliveries = ["receive W 1 expires=2027-05-01", "receive W 1 expires=2027-03-01", "receive W 1"]
    for command in (*deliveries, "adjust W -3", "receive W 1 expires=2028-01-01"):
        script.sends(command)
        days.append(str(script.partition.rows("stock_record")[0].expires_on))
    assert days == ["2027-05-01", "2027-03-01", "2027-03-01", "2027-03-01", "2028-01-01"]


def test_new_goods_bring_their_own_day_also_where_the_old_ones_are_still_owed() -> None:
    """They were taken for ended themselves, and those to whom the old ones were promised got nothing of them (found by the naive model)."""
    Script().play("""
        receive W 3 expires=2026-11-21  | moved +3
        line o1 3                       | o1 has 3
        wait 43200                      | o1 has 3 flagged 3
        adjust W -3                     | moved -3
        receive W 3 expires=2027-01-01  | moved +3, o1 has 3
    """)
