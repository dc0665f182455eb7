"""Lines that reserve on their own: filled, waiting, served, edited, released."""

import pytest

from services.allocator.core.stock.settings import StockSettings
from tests.unit.allocator.stock_script import Script, where

STORIES = {
    "what is there is reserved and the rest waits in its place": """
        receive W 10                | moved +10
        line o1 4 partial           | o1 has 4
        line o2 8 partial           | o2 has 6 waits 2
        line o3 1 partial           | o3 has 0 waits 1
        release o1                  | o1 has 0, o2 has 8, o3 has 1
    """,
    "a whole line takes everything or nothing": """
        receive W 5                 | moved +5
        line o1 6                   | o1 has 0 waits 6
        line o2 5                   | o2 has 5
        receive W 5                 | moved +5
        receive W 1                 | moved +1, o1 has 6
    """,
    "a newcomer with a better place goes before those who wait": """
        line o1 5                   | o1 has 0 waits 5
        line o2 2                   | o2 has 0 waits 2
        line o3 1 p=-1              | o3 has 0 waits 1
        receive W 6                 | moved +6, o3 has 1, o1 has 5
    """,
    "what better placed waiters that fit leave over goes to a newcomer in the same batch": """
        line o1 5                   | o1 has 0 waits 5
        receive W 6
        +line o2 1                  | moved +6, o2 has 1, o1 has 5
    """,
    "a newcomer with a worse place gets nothing that a waiter is about to get": """
        line o1 5                   | o1 has 0 waits 5
        receive W 5
        +line o2 1                  | moved +5, o2 has 0 waits 1, o1 has 5
    """,
    "priority goes before time": """
        line o1 3 partial           | o1 has 0 waits 3
        line o2 3 partial p=-1      | o2 has 0 waits 3
        receive W 4                 | moved +4, o2 has 3, o1 has 1 waits 2
    """,
    "a line that is too large lets smaller ones behind it pass": """
        line o1 9                   | o1 has 0 waits 9
        line o2 2                   | o2 has 0 waits 2
        receive W 3                 | moved +3, o2 has 2
    """,
    "an edit keeps what is reserved and asks for the rest": """
        receive W 5                 | moved +5
        line o1 3 partial           | o1 has 3
        line o2 2 partial           | o2 has 2
        line o1 4 partial           | o1 has 3 waits 1
        line o1 2 partial           | o1 has 2
        line o3 1 partial           | o3 has 1
    """,
    "an edit that fails keeps what the line still wants": """
        receive W 5                 | moved +5
        line o1 3                   | o1 has 3
        line o2 2                   | o2 has 2
        line o1 9                   | o1 has 3 waits 6
    """,
    "a lower attempt is refused in silence and an equal one is answered as before": """
        receive W 5                 | moved +5
        line o1 3 attempt=2         | o1 has 3
        line o1 5 attempt=1         |
        line o1 3 attempt=2         | o1 has 3
    """,
    "a release that comes first leaves a tombstone": """
        receive W 5                 | moved +5
        release o1 attempt=3        | o1 has 0
        line o1 2 attempt=3         | o1 has 0
        line o1 2 attempt=2         |
        line o1 2 attempt=4         | o1 has 2
    """,
    "a waiter that leaves frees what it claimed": """
        line o1 5                   | o1 has 0 waits 5
        line o2 3                   | o2 has 0 waits 3
        receive W 4                 | moved +4, o2 has 3
        line o3 2 partial           | o3 has 1 waits 1
        release o2                  | o2 has 0, o3 has 2
    """,
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "forgetful"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.accept("002-02", "000-24", "000-25", "000-31", "002-12", "002-13")
def test_lines(story: str, forgetful: bool) -> None:
    Script(forgetful=forgetful).play(story)


def test_at_most_the_limit_is_served_per_batch_and_the_rest_at_once_after_it() -> None:
    script = Script(StockSettings(serve_limit=2, level_interval_ms=0))
    for number in range(5):
        script.sends(f"line o{number} 1")
    script.play("receive W 9 | moved +9, o0 has 1, o1 has 1")
    assert script.partition.batch_is_due()
    script.play("""
        line o9 9 partial           | o9 has 4 waits 5, o2 has 1, o3 has 1
        wait 0.1                    | o4 has 1
    """)
    assert not script.partition.batch_is_due()


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("fefo", "W/B2 4, W/B3 3"),
        ("fifo", "W/B1 2, W/B2 4, W/B3 1"),
        ("lifo", "W/B3 5, W/B2 2"),
        ("fewest_records", "W/B3 5, W/B1 2"),
    ],
)
def test_the_strategy_chooses_the_stock_records(strategy: str, wanted: str) -> None:
    script = Script()
    for command in (
        "receive W 2 bin=B1 expires=2027-03-01",
        "receive W 4 bin=B2 expires=2027-01-01",
        "receive W 5 bin=B3 expires=2027-02-01",
    ):
        script.sends(command)
    (outcome,) = script.outcomes(f"line o1 7 by={strategy}")
    assert sorted(where(outcome).split(", ")) == sorted(wanted.split(", "))


def test_warehouses_are_drawn_on_in_the_order_of_the_line() -> None:
    script = Script()
    script.sends("receive N 3", "receive S 3")
    (outcome,) = script.outcomes("line o1 4 wh=S,N")
    assert sorted(where(outcome).split(", ")) == ["N/B1 1", "S/B1 3"]


def test_an_edit_gives_back_what_its_new_terms_like_least() -> None:
    script = Script()
    script.sends("receive N 3", "receive S 3", "line o1 4 wh=N,S")
    (outcome,) = script.outcomes("line o1 3 wh=S,N")
    assert where(outcome) == "N/B1 2, S/B1 1"


def test_waiters_of_another_warehouse_do_not_stand_in_the_way() -> None:
    Script().play("""
        line o1 5 wh=N              | o1 has 0 waits 5
        receive S 2                 | moved +2
        line o2 2 wh=S              | o2 has 2
        line o3 4 partial wh=S,N    | o3 has 0 waits 4
        receive N 6                 | moved +6, o1 has 5, o3 has 1 waits 3
    """)


def test_a_newcomer_leaves_the_warehouse_that_a_better_placed_waiter_needs() -> None:
    script = Script()
    script.play("line o1 5 wh=N | o1 has 0 waits 5")
    outcomes = script.outcomes("receive N 5", "receive S 3", "line o2 3 wh=N,S")
    assert [where(outcome) for outcome in outcomes] == ["S/B1 3", "N/B1 5"]
