"""In which order the orders of a bulk run may start."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.runs import plan

SELECTIONS = st.lists(st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3), max_size=12)


@pytest.mark.accept("002-17")
def test_an_order_waits_for_the_last_earlier_one_of_each_of_its_skus() -> None:
    planned = plan([("1", ["a"]), ("2", ["a", "b"]), ("3", ["c"]), ("4", ["b", "a"]), ("5", ["c", "b"])])
    assert [one.waits_for for one in planned] == [0, 1, 0, 1, 2]
    assert [one.releases for one in planned] == [[1], [3], [4], [4], []]


@pytest.mark.accept("002-17", "002-18")
@given(SELECTIONS, st.randoms(use_true_random=False))
def test_whatever_ends_first_an_order_starts_when_all_earlier_ones_that_share_a_sku_have_ended(
    selection: list[set[str]], dice: random.Random
) -> None:
    planned = plan((str(n), sorted(skus)) for n, skus in enumerate(selection))
    waits = [one.waits_for for one in planned]
    running = {n for n, count in enumerate(waits) if count == 0}
    ended: set[int] = set()
    while running:
        for n in running:
            assert all(m in ended for m in range(n) if selection[m] & selection[n])
        for n in set(range(len(selection))) - running - ended:
            assert any(m not in ended for m in range(n) if selection[m] & selection[n]), "it waits for nobody"
        last = dice.choice(sorted(running))
        running.remove(last)
        ended.add(last)
        for n in planned[last].releases:
            waits[n] -= 1
            if waits[n] == 0:
                running.add(n)
    assert len(ended) == len(selection)
