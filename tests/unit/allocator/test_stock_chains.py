"""All or nothing at one SKU: stops of a chain, wake and baton, activation, several alternatives."""

from types import ModuleType

import pytest

from services.allocator.core.stock import claims, serving
from services.allocator.core.stock.claims import claim
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import Reservation, SkuStock
from tests.unit.allocator.stock_script import Script

STORIES = {
    "a stop reserves, pending, and passes the chain on": """
        receive W 5                 | moved +5
        chain o1 3 then=B           | o1 goes on to B
        line o2 3 partial           | o2 has 2 waits 1
        activate o1                 | o1 has 3
    """,
    "a repeat at a stop that told nothing yet is answered and not passed on": """
        receive W 5                 | moved +5
        chain o1 3 then=B attempt=1 | o1 goes on to B
        chain o1 3 then=B attempt=1 | o1 has 3 pending
    """,
    "the last stop reports success": """
        receive W 5                 | moved +5
        chain o1 3                  | o1 has 3 pending complete
        activate o1                 | o1 has 3
    """,
    "a short stop keeps nothing and waits with its whole need": """
        receive W 2                 | moved +2
        chain o1 3                  | o1 has 0 waits 3 short
        line o2 2                   | o2 has 2
    """,
    "a rise wakes the waiter with a baton and keeps its units for it": """
        chain o1 3                  | o1 has 0 waits 3 short
        receive W 4                 | moved +4, wake o1
        line o2 4 partial           | o2 has 1 waits 3
        chain o1 3                  | o1 has 3 pending complete
        return o1 ok                |
    """,
    "one waiter is awake at a time until success widens the window": """
        chain o1 1                  | o1 has 0 waits 1 short
        chain o2 1                  | o2 has 0 waits 1 short
        chain o3 1                  | o3 has 0 waits 1 short
        chain o4 1                  | o4 has 0 waits 1 short
        receive W 9                 | moved +9, wake o1
        chain o1 1                  | o1 has 1 pending complete
        return o1 ok                | wake o2, wake o3
        return o2 failed            |
        return o3 failed            | wake o2
    """,
    "a baton that comes back unused wakes the next": """
        chain o1 2                  | o1 has 0 waits 2 short
        chain o2 2                  | o2 has 0 waits 2 short
        receive W 2                 | moved +2, wake o1
        release o1 attempt=2        | o1 has 0
        return o1 none              | wake o2
    """,
    "a wait that a newer attempt left behind goes with the baton": """
        chain o1 2                  | o1 has 0 waits 2 short
        receive W 2                 | moved +2, wake o1
        return o1 none attempt=2    | o1 has 0
    """,
    "who is awake is not woken again": """
        chain o1 2                  | o1 has 0 waits 2 short
        receive W 2                 | moved +2, wake o1
        receive W 2                 | moved +2
        return o1 ok                | wake o1
    """,
    "an expired baton has no claim and is not woken again until it comes back": """
        chain o1 2                  | o1 has 0 waits 2 short
        receive W 2                 | moved +2, wake o1
        wait 31                     |
        line o2 1                   | o2 has 1
        release o2                  | o2 has 0
        return o1 failed            | wake o1
    """,
    "who comes back after its baton expired has a claim again": """
        chain o1 2                  | o1 has 0 waits 2 short
        line much 100 p=5           | much has 0 waits 100
        receive W 4                 | moved +4, wake o1
        wait 31                     |
        line o2 1                   | o2 has 1
        return o1 failed            | wake o1
        line o3 2                   | o3 has 0 waits 2
    """,
    "what a newcomer finds left is what those before it leave, also right behind one that was served": """
        chain o1 2                  | o1 has 0 waits 2 short
        line much 100 p=5           | much has 0 waits 100
        receive W 5                 | moved +5, wake o1
        line o2 2 partial           | o2 has 2
        +line o3 2 partial          | o2 has 2, o3 has 1 waits 1
        chain o1 2                  | o1 has 2 pending complete
    """,
    "a higher attempt adopts and asks for the rest": """
        receive W 5                 | moved +5
        chain o1 3                  | o1 has 3 pending complete
        activate o1                 | o1 has 3
        chain o1 5                  | o1 has 5 pending complete
        activate o1                 | o1 has 5
    """,
    "an attempt that fails gives back what it adopted, and others are served": """
        receive W 5                 | moved +5
        chain o1 3                  | o1 has 3 pending complete
        line o2 4 partial           | o2 has 2 waits 2
        chain o1 6                  | o1 has 0 waits 6 short, o2 has 4
    """,
    "a reduction cannot fail": """
        receive W 5                 | moved +5
        chain o1 5                  | o1 has 5 pending complete
        activate o1                 | o1 has 5
        adjust W -2                 | moved -2, o1 has 5 flagged 2
        reduce o1 4                 | o1 has 4 flagged 1
        reduce o1 3                 | o1 has 3
    """,
    "a chain that comes after its release dies there": """
        receive W 5                 | moved +5
        release o1 attempt=2 wh=W   | o1 has 0
        release o1 attempt=1        |
        chain o1 3 attempt=2        | o1 has 0
        chain o1 3 attempt=1        |
    """,
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "forgetful"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_chains(story: str, forgetful: bool) -> None:
    Script(forgetful=forgetful).play(story)


def test_the_window_never_grows_beyond_its_limit() -> None:
    script = Script(StockSettings(window_limit=2, level_interval_ms=0))
    for number in range(6):
        script.sends(f"chain o{number} 1")
    script.play("""
        receive W 9                 | moved +9, wake o0
        chain o0 1                  | o0 has 1 pending complete
        return o0 ok                | wake o1, wake o2
        chain o1 1                  | o1 has 1 pending complete
        return o1 ok                | wake o3
    """)


def test_a_baton_that_comes_back_costs_no_walk_past_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restock for a thousand: whoever is beyond the window is not looked at."""
    script = Script()
    for number in range(1_000):
        script.sends(f"chain o{number} 1")
    looked_at = _claims_looked_at(serving, monkeypatch)
    script.play("""
        receive W 1000              | moved +1000, wake o0
        chain o0 1                  | o0 has 1 pending complete
        return o0 ok                | wake o1, wake o2
    """)
    assert len(looked_at) == 3, "who was woken each time"


def test_hundreds_of_woken_demands_walk_past_those_before_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is enough for a third of those that wait, so who is better placed matters; every second one that is awake comes."""
    script = Script(StockSettings(window_limit=200, level_interval_ms=0))
    for number in range(600):
        script.sends(f"chain o{number} 1")
    script.sends("receive W 200")
    for number in range(8):
        script.sends(f"chain o{number} 1", f"return o{number} ok baton={number + 1}")
    looked_at = _claims_looked_at(claims, monkeypatch)
    outcomes = script.outcomes(*[f"chain o{number} 1" for number in range(9, 200, 2)])
    assert all(outcome.reserved_units == 1 for outcome in outcomes)
    assert len(looked_at) <= 200


def _claims_looked_at(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Reservation]:
    """Whose claims that module asks for from now on."""
    looked_at = list[Reservation]()

    def counted(sku: SkuStock, waiter: Reservation, free: dict[str, int]) -> list[tuple[str, int]]:
        looked_at.append(waiter)
        return claim(sku, waiter, free)

    monkeypatch.setattr(module, "claim", counted)
    return looked_at


def test_alternatives_of_one_demand_wait_and_are_released_apart() -> None:
    script = Script()
    script.play("chain o1 2 wh=N | o1 has 0 waits 2 short")
    script.play("chain o1 2 wh=S | o1 has 0 waits 2 short")
    script.play("""
        receive N 2                 | moved +2, wake o1
        receive S 2                 | moved +2
    """)
    assert {row.alternative for row in script.partition.rows("reservation") if row.waiting_units} == {"N", "S"}
