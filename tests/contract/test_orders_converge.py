"""As `tests/unit/orders/test_intake_converges.py`, through the feed that takes batches of records into the real Postgres."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from shared.schemas.intake import OrderIntake
from shared.schemas.values import Line
from tests.support.effort import effort
from tests.support.orders_service import Orders, now

pytestmark = pytest.mark.integration
DAY = now().replace(microsecond=0)
_examples = itertools.count(1)
units = st.integers(1, 2)
"""Few, so that a version often says again what another has said."""


def _said(number: str, version: int, count: int, *, canceled: bool = False) -> OrderIntake:
    line = Line(sku="CUP", units=count)
    return OrderIntake(merchant="acme", number=number, version=version, lines=(line,), demanded_at=DAY, canceled=canceled)


@effort(12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.lists(st.tuples(st.lists(units, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=3))
async def test_versions_of_a_channel_may_arrive_in_any_order_and_batches_and_more_than_once(orders: Orders, data: Any, drawn: Any) -> None:
    example, messages, wanted = next(_examples), [], {}
    for order, (versions, canceled) in enumerate(drawn):
        number = f"C-{example}-{order}"
        messages += [_said(number, version, count) for version, count in enumerate(versions, 1)]
        messages += [_said(number, len(versions) + 1, versions[-1], canceled=True)] if canceled else []
        wanted[number] = ("canceled" if canceled else "awaiting_fulfillment", versions[-1])
    arriving = data.draw(st.permutations([*messages, *data.draw(st.lists(st.sampled_from(messages), max_size=3))]))
    cut = data.draw(st.integers(0, len(arriving)))
    for batch in (arriving[:cut], arriving[cut:]):
        await orders.take_in(*batch)
    found = {number: await orders.get(f"/orders/{number}") for number in wanted}
    assert {number: (order["status"], order["lines"][0]["units"]) for number, order in found.items()} == wanted
    assert (await orders.get("/dead-letters"))["items"] == []
