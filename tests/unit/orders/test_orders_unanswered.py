"""The first answer of an order that this process has made is folded without looking the order up."""

import itertools

import pytest

from services.orders.core.model import Key, Order, Standing
from services.orders.core.projector import project
from services.orders.store.unanswered import Unanswered
from tests.builders.orders import KEY, answer_of, new, told

OUTCOMES = ("allocated", "partially_allocated", "could_not_allocate", "overallocated", "released", "consumed")


def numbered(number: str) -> Order:
    return new().but(key=Key("acme", number))


def kept(unanswered: Unanswered, *numbers: str, demand_version: int = 1) -> list[str]:
    """Which of the orders an answer about that version would find."""
    answer = answer_of(new(), "allocated", demand_version=demand_version)
    return [key.number for key in unanswered.take({Key("acme", number): [answer] for number in numbers})]


def stored(standing: Standing) -> tuple[object, ...]:
    """What an answer alone changes."""
    return standing.allocation_status, standing.allocation_version, standing.allocation_demand_version, standing.picking


def test_an_order_is_found_once() -> None:
    unanswered = Unanswered()
    unanswered.remember([numbered("1"), numbered("2")])
    assert kept(unanswered, "1", "3") == ["1"]
    assert kept(unanswered, "1", "2") == ["2"]


def test_an_answer_about_a_later_version_than_the_remembered_one_needs_a_look() -> None:
    unanswered = Unanswered()
    unanswered.remember([numbered("1")])
    assert kept(unanswered, "1", demand_version=2) == []
    assert kept(unanswered, "1") == []


def test_an_order_that_nobody_will_answer_is_not_remembered() -> None:
    unanswered = Unanswered()
    unanswered.remember([new(allocate=False)])
    assert kept(unanswered, KEY.number) == []


def test_the_oldest_are_forgotten_first() -> None:
    unanswered = Unanswered(most=2)
    unanswered.remember([numbered("1"), numbered("2")])
    unanswered.remember([numbered("3")])
    assert kept(unanswered, "1", "2", "3") == ["2", "3"]


@pytest.mark.parametrize("action", ["edit", "cancel", "allocate", "start-processing", "dropship"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_whatever_was_asked_since_an_answer_about_the_first_version_comes_to_the_same(action: str, outcome: str) -> None:
    made = new()
    now = told(made, action)
    for picking, refusal in itertools.product(("none", "confirmed", "refused"), (None, "a record is held")):
        answer = answer_of(made, outcome, demand_version=1, picking=picking, refusal=refusal)
        remembered, looked_up = project(made.standing, answer), project(now.standing, answer)
        assert remembered is not None
        assert looked_up is not None
        assert stored(remembered.standing) == stored(looked_up.standing)
        assert remembered.transition is looked_up.transition is None
        assert remembered.entry == looked_up.entry
