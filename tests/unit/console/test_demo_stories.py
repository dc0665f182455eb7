"""The three stories: whom they choose, and that they complain when it did not go as told."""

import pytest

from services.console.demo import stories
from services.console.demo.facts import Story
from services.console.demo.stories import choose_adjustment, choose_cancellation, choose_restock
from shared.schemas.events import Remedy
from tests.unit.console.demo_floor import Floor


def sold_out() -> Floor:
    """Six orders for 2 each, stock for three of them."""
    floor = Floor()
    floor.receive("A", 6)
    for number in "123456":
        floor.order(number, A=2)
    return floor


def column(story: Story, name: str) -> list[str | int]:
    """One column of what is shown."""
    return [row[story.columns.index(name)] for row in story.rows]


def test_a_restock_serves_the_first_half_of_the_longest_queue_to_the_unit() -> None:
    floor = sold_out()
    floor.order("7", B=9)
    choice = choose_restock(floor.tally, floor.receipts)
    assert choice is not None
    assert (choice.sku, choice.units, choice.served) == ("A", 4, 2)
    assert not stories.restock_is_over(choice, floor.tally)
    floor.receive("A", choice.units)
    assert stories.restock_is_over(choice, floor.tally)
    story = stories.tell_restock(choice, floor.tally, 12.0)
    assert story.complaints == ()
    assert column(story, "order") == ["4", "5", "6"]
    assert column(story, "got") == [2, 2, 0]
    assert column(story, "now") == ["allocated", "allocated", "could not allocate"]
    assert story.facts["waiting_units_after"] == 2


def test_a_restock_that_served_out_of_turn_is_complained_about() -> None:
    floor = sold_out()
    choice = choose_restock(floor.tally, floor.receipts)
    assert choice is not None
    floor.receive("A", 2)
    assert stories.tell_restock(choice, floor.tally, 0).complaints == ("order 5 got 0 of A where 2 were its turn",)


def test_no_story_is_told_of_orders_that_ship_whole() -> None:
    floor = Floor()
    floor.receive("B", 1)
    floor.order("1", B=9, ships_whole=True)
    assert choose_restock(floor.tally, floor.receipts) is None


def test_an_adjustment_takes_the_backing_of_the_last_in_the_queue() -> None:
    floor = sold_out()
    choice = choose_adjustment(floor.tally, floor.receipts)
    assert choice is not None
    assert (choice.sku, choice.on_hand_units, choice.units, choice.flagged) == ("A", 6, 2, 1)
    floor.adjust("A", -choice.units)
    assert stories.adjustment_is_over(choice, floor.tally)
    story = stories.tell_adjustment(choice, floor.tally, 12.0)
    assert story.complaints == ()
    assert column(story, "now") == ["allocated", "allocated", "overallocated"]
    assert story.facts["remedy"] == "receive 2 into main"


def test_an_adjustment_takes_what_is_free_first() -> None:
    floor = sold_out()
    floor.receive("C", 9)
    for number in "abcde":
        floor.order(f"c{number}", C=1)
    choice = choose_adjustment(floor.tally, floor.receipts)
    assert choice is not None
    assert (choice.sku, choice.units, choice.flagged) == ("C", 4 + 2, 2)


def test_an_adjustment_needs_a_sku_that_lies_in_one_place() -> None:
    floor = sold_out()
    floor.receive("A", 1, bin_name="A-02")
    assert choose_adjustment(floor.tally, floor.receipts) is None


def test_an_adjustment_that_flagged_nobody_is_complained_about() -> None:
    floor = sold_out()
    choice = choose_adjustment(floor.tally, floor.receipts)
    assert choice is not None
    story = stories.tell_adjustment(choice, floor.tally, 0)
    assert story.complaints == ("order 3 lost 0 of A where 2 were its share", "no remedy was proposed for A")


def test_a_cancel_hands_its_units_to_the_next_in_the_queue() -> None:
    floor = sold_out()
    floor.receive("B", 1)
    floor.order("7", A=3, B=1)
    choice = choose_cancellation(floor.tally)
    assert choice is not None
    assert (choice.number, dict(choice.freed)) == ("1", {"A": 2})
    assert not stories.cancellation_is_over(choice, floor.tally)
    floor.cancel(choice.number)
    assert stories.cancellation_is_over(choice, floor.tally)
    story = stories.tell_cancellation(choice, floor.tally, 12.0)
    assert story.complaints == ()
    assert (column(story, "order"), column(story, "got")) == (["4"], [2])


def test_a_cancel_that_freed_nothing_is_complained_about() -> None:
    floor = sold_out()
    choice = choose_cancellation(floor.tally)
    assert choice is not None
    assert stories.tell_cancellation(choice, floor.tally, 0).complaints == (
        "order 1 was canceled and is not released",
        "order 4 got 0 of A where 2 were its turn",
    )


def test_without_waiting_orders_there_is_nothing_to_tell() -> None:
    floor = Floor()
    floor.receive("A", 9)
    floor.order("1", A=2)
    assert choose_restock(floor.tally, floor.receipts) is None
    assert choose_cancellation(floor.tally) is None
    assert choose_adjustment(floor.tally, floor.receipts) is None


@pytest.mark.parametrize(
    ("remedy", "said"),
    [
        (Remedy(action="receive", units=1200, warehouse="main"), "receive 1,200 into main"),
        (Remedy(action="release", units=3, demand="sales-order/acme/17"), "release 3 of order 17"),
        (Remedy(action="lift_hold", units=3, warehouse="main", record=1), "lift the hold on 3 in main"),
        (Remedy(action="allow_warehouse", units=3, warehouse="annex"), "allow 3 from annex"),
    ],
)
def test_every_remedy_reads_as_something_to_do(remedy: Remedy, said: str) -> None:
    assert stories.sentence(remedy) == said
