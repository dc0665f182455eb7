"""From a reservation to goods that have left: picking marks and consumption."""

import pytest

from shared.schemas.events import StockMoved
from tests.unit.allocator.stock_script import Script, demand

STORIES = {
    "marked, then consumed: the units leave": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        pick o1                     | o1 has 3 picking
        consume o1                  | moved -3, o1 has 0 used 3
        line o2 3 partial           | o2 has 2 waits 1
    """,
    "a mark is refused where nothing is reserved, where it waits and where it is flagged": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        line o2 3 partial           | o2 has 2 waits 1
        pick o2                     | o2 has 2 waits 1 picking_refused
        release o2                  | o2 has 0
        pick o2                     | o2 has 0 picking_refused
        adjust W -4                 | moved -4, o1 has 3 flagged 2
        pick o1                     | o1 has 3 flagged 2 picking_refused
    """,
    "a mark of another attempt is not answered": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        pick o1 attempt=2           |
        consume o1 attempt=2        |
    """,
    "consumption is refused without a mark and with a flag": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        consume o1                  | o1 has 3 consumption_refused
        pick o1                     | o1 has 3 picking
        adjust W -3                 | moved -3, o1 has 3 flagged 1 picking
        consume o1                  | o1 has 3 flagged 1 picking consumption_refused
        receive W 1                 | moved +1, o1 has 3 picking
        consume o1                  | moved -3, o1 has 0 used 3
    """,
    "a repeated consumption is answered with what happened": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        pick o1                     | o1 has 3 picking
        consume o1                  | moved -3, o1 has 0 used 3
        consume o1                  | o1 has 0 used 3
    """,
    "an edit takes the mark off": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        pick o1                     | o1 has 3 picking
        line o1 2                   | o1 has 2
    """,
    "only its own mark is taken off": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        pick o1 mark=7              | o1 has 3 picking
        unpick o1 mark=6            |
        unpick o1 mark=7            | o1 has 3
    """,
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "forgetful"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.accept("002-06")
def test_picking(story: str, forgetful: bool) -> None:
    Script(forgetful=forgetful).play(story)


def test_consumption_is_a_movement_for_every_stock_record() -> None:
    script = Script()
    script.sends("receive W 2 bin=B1", "receive W 2 bin=B2", "line o1 3 by=fifo", "pick o1")
    moved = [send.message for send in script.sends("consume o1 number=9") if isinstance(send.message, StockMoved)]
    assert [(one.bin, one.change, one.on_hand_before, one.on_hand_after, one.kind) for one in moved] == [
        ("B1", -2, 2, 0, "consume"),
        ("B2", -1, 2, 1, "consume"),
    ]
    assert {one.cause for one in moved} == {demand("o1")}


@pytest.mark.accept("002-07")
def test_a_reservation_does_not_change_what_is_on_hand() -> None:
    script = Script()
    script.sends("receive W 5", "line o1 3", "line o2 4 partial", "release o1")
    assert [row.on_hand for row in script.partition.rows("stock_record")] == [5]
