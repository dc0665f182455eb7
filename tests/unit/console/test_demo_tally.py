"""What a demo knows of its orders, from what the allocator told."""

import pytest

from services.console.demo.tally import Place, percentile
from tests.unit.console.demo_floor import Floor


def test_the_first_decision_of_an_order_is_its_latency_and_later_ones_are_not() -> None:
    floor = Floor()
    floor.order("1", A=2)
    floor.receive("A", 5)
    assert [(one.outcome, one.before) for one in floor.tellings] == [("could_not_allocate", None), ("allocated", "could_not_allocate")]
    assert [one.latency_ms for one in floor.tellings] == [pytest.approx(20), None]
    assert floor.tally.latencies_ms == [pytest.approx(20)]


def test_repeats_and_what_was_overtaken_change_nothing() -> None:
    floor = Floor()
    events = floor.toy.order("1", {"A": 2}) + floor.toy.receive("A", 5)
    floor.tally.posted("1", floor.now)
    floor.tell([events[1], events[0], events[1]])
    assert floor.tally.outcomes == {"allocated": 1}
    assert (floor.tally.events, floor.tally.repeats) == (1, 2)


def test_orders_of_others_are_not_ours() -> None:
    floor = Floor()
    floor.tell(floor.toy.order("1", {"A": 2}))
    assert (floor.tellings, floor.tally.events) == ([], 0)


def test_an_order_is_settled_by_its_decision_and_a_canceled_one_by_its_release() -> None:
    floor = Floor()
    floor.receive("A", 5)
    floor.tally.posted("1", floor.now)
    assert floor.tally.unsettled == ["1"]
    floor.tell(floor.toy.order("1", {"A": 2}))
    assert (floor.tally.settled, floor.tally.unsettled) == (1, [])
    floor.tally.canceled("1")
    assert floor.tally.unsettled == ["1"]
    floor.tell(floor.toy.cancel("1"))
    assert (floor.tally.unsettled, floor.tally.outcomes) == ([], {"released": 1})


def test_an_order_that_was_refused_is_awaited_no_more() -> None:
    floor = Floor()
    floor.tally.posted("1", floor.now)
    floor.tally.withdrawn("1")
    assert (floor.tally.unsettled, floor.tally.orders) == ([], {})


def test_who_waits_holds_and_lost_is_known_in_queue_order() -> None:
    floor = Floor()
    floor.receive("A", 5)
    floor.order("9", A=3)
    floor.order("8", A=4, B=1)
    floor.order("7", A=1)
    assert floor.tally.holding() == {"A": [Place(0, "9", 3), Place(1, "8", 2)]}
    assert floor.tally.waiting() == {"A": [Place(1, "8", 2), Place(2, "7", 1)], "B": [Place(1, "8", 1)]}
    floor.adjust("A", -1)
    assert floor.tally.flagged() == {"A": [Place(1, "8", 1)]}
    assert floor.tally.reservations == (2, 5)


def test_what_is_told_of_an_event_names_what_lacks_most() -> None:
    floor = Floor()
    floor.receive("A", 5)
    floor.order("1", A=2, B=7, C=1)
    telling = floor.tellings[-1]
    assert (telling.whole_lines, telling.lines, telling.missing) == (1, 3, ("B", 7))


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 5), (0.99, 10), (0.0, 1), (1.0, 10), (0.1, 1), (0.11, 2)])
def test_a_percentile_is_a_value_that_was_measured(share: float, wanted: float) -> None:
    assert percentile([float(value) for value in range(1, 11)], share) == wanted


def test_of_nothing_the_percentile_is_zero() -> None:
    assert percentile([], 0.5) == 0
