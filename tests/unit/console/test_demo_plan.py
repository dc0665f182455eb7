"""What a demo will do, worked out before anything is started."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.console.demo.order_lines import Reading, ShopOrder, generate
from services.console.demo.plan import BINS, NO_ORDER, Cancel, Post, plan, ships_whole


def order(number: str, customer: str = "9", /, **lines: int) -> ShopOrder:
    """An order of the customer."""
    return ShopOrder(number, lines, customer, cancels=number.startswith("C"))


def canceled(*orders: ShopOrder) -> list[str]:
    """What the cancellations among them cancel, in order."""
    return [step.number for step in plan(Reading(list(orders)), 1).steps if isinstance(step, Cancel)]


def test_a_cancellation_cancels_the_latest_earlier_order_of_its_customer_that_shares_a_sku() -> None:
    assert canceled(order("1", A=1), order("2", A=5), order("3", B=1), order("4", "8", A=1), order("C5", A=2)) == ["2"]


def test_an_order_with_the_very_same_lines_goes_before_a_later_one_that_only_shares_a_sku() -> None:
    assert canceled(order("1", A=2, B=1), order("2", A=5), order("C3", A=2, B=1)) == ["1"]


@pytest.mark.parametrize(
    "orders",
    [
        [order("C1", A=1), order("2", A=1)],
        [order("1", A=1), order("C2", B=1)],
        [order("1", A=1), order("C2", "8", A=1)],
        [order("1", "", A=1), order("C2", "", A=1)],
    ],
    ids=["the order comes later", "another SKU", "another customer", "nobody knows the customer"],
)
def test_a_cancellation_without_such_an_order_is_counted(orders: list[ShopOrder]) -> None:
    made = plan(Reading(orders), 1)
    assert dict(made.left_out) == {NO_ORDER: 1}
    assert not made.canceled


def test_an_order_is_canceled_once() -> None:
    assert canceled(order("1", A=1), order("C2", A=1), order("C3", A=1)) == ["1"]


@pytest.mark.parametrize(
    ("country", "lines", "whole"), [("", 1, False), ("United Kingdom", 1, False), ("France", 8, True), ("France", 9, False)]
)
def test_what_goes_abroad_and_fits_in_one_parcel_is_all_or_nothing(country: str, lines: int, whole: bool) -> None:
    assert ships_whole(ShopOrder("1", {f"S{number}": 1 for number in range(lines)}, country=country)) is whole


@settings(max_examples=25, deadline=None)
@given(count=st.integers(20, 300), seed=st.integers(0, 1000))
def test_some_of_every_sku_is_received_less_than_is_wanted_in_sum_and_the_same_seed_gives_the_same(count: int, seed: int) -> None:
    reading = generate(count, seed)
    made = plan(reading, seed)
    wanted, received = Counter[str](), Counter[str]()
    for one in made.orders:
        if one.number not in made.canceled:
            wanted.update(one.lines)
    for receipt in made.receipts:
        received[receipt.sku] += receipt.units
        assert receipt.bin in BINS[receipt.warehouse]
    assert received.keys() == wanted.keys()
    assert all(0 < received[sku] <= wanted[sku] for sku in wanted)
    assert 0.7 < sum(received.values()) / sum(wanted.values()) < 1
    assert plan(reading, seed) == made


def test_a_cancel_comes_after_its_post() -> None:
    posted: set[str] = set()
    for step in plan(generate(400), 1).steps:
        match step:
            case Post(one):
                posted.add(one.number)
            case Cancel(number):
                assert number in posted
