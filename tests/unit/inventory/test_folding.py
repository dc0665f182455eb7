"""What the allocator tells, as inventory keeps it."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.inventory.core.folding import answers, newest
from shared.schemas.events import StockLevelChanged
from tests.builders.inventory import level, moved, refused

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_movement_posts_its_command_and_a_refusal_refuses_it() -> None:
    posted, not_posted = answers([moved("c1", change=5, before=2), refused("c2")])
    assert (posted.command_id, posted.status, posted.content["on_hand_before"], posted.content["on_hand_after"]) == ("c1", "posted", 2, 7)
    assert (not_posted.command_id, not_posted.status, not_posted.content["reason"]) == ("c2", "refused", "below_zero")


def test_a_consumption_answers_no_command_of_inventory() -> None:
    assert answers([moved("ship-1", kind="consume", change=-1, before=2)]) == []


@given(st.lists(st.builds(level, st.sampled_from(["A", "B", "C"]), st.integers(1, 9))))
def test_of_each_sku_the_highest_version_is_kept_in_whatever_order_they_come(changes: list[StockLevelChanged]) -> None:
    kept = newest(changes)
    assert kept == sorted(kept, key=lambda change: (change.merchant, change.sku))
    assert {change.sku: change.ledger_version for change in kept} == {
        sku: max(change.ledger_version for change in changes if change.sku == sku) for sku in {change.sku for change in changes}
    }
