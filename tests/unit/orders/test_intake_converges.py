"""Whatever order the versions of a channel's orders arrive in, however often and in whatever batches: our orders end as they would have
ended had each come once and in turn."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.orders.core.intake import Unchanged, key_of, take_in
from services.orders.core.model import Key, Order, Refused
from shared.schemas.intake import OrderIntake
from shared.schemas.values import Fill, Line
from tests.builders.orders import LATER, NOW
from tests.support.effort import effort

contents = st.fixed_dictionaries(
    {
        "lines": st.dictionaries(st.sampled_from(["CUP", "POT"]), st.integers(1, 2), min_size=1).map(
            lambda units: tuple(Line(sku=sku, units=count) for sku, count in units.items())
        ),
        "priority": st.integers(0, 1),
        "fill": st.sampled_from([None, Fill.WHOLE_LINES]),
    }
)
"""Few, so that a version often says again what another has said."""


@st.composite
def channels(draw: st.DrawFn) -> list[OrderIntake]:
    """Every version of a few orders, in turn. Some are canceled at last, as they were, and perhaps the channel says so twice."""
    messages = []
    for number in range(draw(st.integers(1, 3))):
        said = draw(st.lists(contents, min_size=1, max_size=5))
        allocate, canceled = draw(st.booleans()), draw(st.integers(0, 2))
        common: dict[str, Any] = {"merchant": "acme", "number": f"C-{number}", "allocate": allocate, "demanded_at": NOW}
        messages += [OrderIntake(**{"version": version, **common, **content}) for version, content in enumerate(said, 1)]
        last = messages[-1]
        messages += [last.but(version=last.version + more, canceled=True, reason="no need") for more in range(1, canceled + 1)]
    return messages


def taken(batches: Sequence[Sequence[OrderIntake]]) -> dict[Key, Order]:
    """Our orders after these batches, each taken in the order of its versions, as the feed does. Nothing of it is refused."""
    orders: dict[Key, Order] = {}
    for batch in batches:
        for message in sorted(batch, key=lambda one: one.version):
            answer = take_in(orders.get(key_of(message)), message, repr(message), LATER)
            assert not isinstance(answer, Refused), answer
            for order in [answer.order] if isinstance(answer, Unchanged) else [change.order for change in answer]:
                orders[order.key] = order
    return orders


def view(order: Order) -> Any:
    """What is left of its history is how many versions of ours it took."""
    return order.status, order.details, order.standing.wish, order.channel_version, order.cancellation and order.cancellation.reason


@effort(100)
@given(st.data(), channels())
def test_versions_may_arrive_in_any_order_and_batches_and_more_than_once(data: Any, messages: list[OrderIntake]) -> None:
    arriving = data.draw(st.permutations([*messages, *data.draw(st.lists(st.sampled_from(messages), max_size=5))]))
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=4))), len(arriving)]
    found = taken([arriving[at:after] for at, after in pairwise(cuts)])
    assert {key: view(order) for key, order in found.items()} == {key: view(order) for key, order in taken([messages]).items()}
