"""The checks of chaos find what they are there for: a check that finds nothing would pass every run."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.schemas.events import AllocatedLine, AllocationChanged, StockMoved
from tests.chaos.books import PublicBooks
from tests.chaos.promises import Promise
from tests.chaos.proof import too_slow
from tests.chaos.recovery import Recovery

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def moved(change: int, record_version: int, sku: str = "CUP") -> StockMoved:
    """A movement of one stock record."""
    return StockMoved(
        command_id=f"c{record_version}", merchant="acme", sku=sku, record=1, warehouse="main", bin="A", kind="receive", change=change,
        on_hand_before=0, on_hand_after=change, record_version=record_version, ledger_version=record_version, moved_at=NOW,
    )  # fmt: skip


def allocated(demand: str, reserved: int, version: int = 1, flagged: int = 0) -> AllocationChanged:
    """What an order has."""
    line = AllocatedLine(
        sku="CUP", wanted_units=reserved, reserved_units=reserved, flagged_units=flagged, waiting_units=0, consumed_units=0
    )
    return AllocationChanged(
        demand=f"sales-order/acme/{demand}", merchant="acme", version=version, demand_version=1, attempt=1, outcome="allocated",
        lines=(line,), decided_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "is_oversold"),
    [
        ([moved(5, 1), allocated("A", 3), allocated("B", 2)], False),
        ([moved(5, 1), allocated("A", 3), allocated("B", 3)], True),
        ([moved(5, 1), moved(5, 1), allocated("A", 6)], True),
        ([moved(5, 1), moved(5, 2), allocated("A", 6)], False),
        ([moved(5, 1), allocated("A", 3), allocated("A", 5, version=2)], False),
        ([moved(5, 1), allocated("A", 5, version=2), allocated("A", 9)], False),
        ([moved(5, 1), allocated("A", 7, flagged=2)], False),
        ([allocated("A", 1)], True),
    ],
    ids=[
        "all of it",
        "one too many",
        "a repeat counts once",
        "twice received",
        "newest counts",
        "old word late",
        "gone and flagged",
        "none",
    ],
)
def test_more_promised_than_is_there_is_seen_in_the_public_messages_alone(told: list[Any], is_oversold: bool) -> None:
    assert bool(PublicBooks.of(told).problems()) is is_oversold


FOUND = {
    "version": 3,
    "status": "awaiting_fulfillment",
    "allocation_status": "allocated",
    "pending": None,
    "lines": [{"sku": "CUP", "units": 2}],
}
KEPT = Promise({"CUP": 2}, 3)


@pytest.mark.parametrize(
    "otherwise",
    [
        {"version": 2},
        {"status": "canceled"},
        {"allocation_status": "partially_allocated"},
        {"pending": {"step": "allocation"}},
        {"lines": [{"sku": "CUP", "units": 1}]},
    ],
    ids=str,
)
def test_an_order_that_is_otherwise_than_its_client_was_told_is_a_broken_promise(otherwise: dict[str, Any]) -> None:
    assert KEPT.broken(FOUND) == ""
    assert KEPT.broken(None) == "was accepted and is gone"
    assert KEPT.broken(FOUND | otherwise)


@pytest.mark.parametrize("seconds", [[11.0], [1.0] * 98 + [11.0, 11.0]], ids=["one of one", "two of a hundred"])
def test_slow_recoveries_are_told_unless_something_else_suffered_too(seconds: list[float]) -> None:
    assert too_slow([Recovery("stock/1", one, undisturbed=True) for one in seconds])
    assert not too_slow([Recovery("stock/1", one, undisturbed=False) for one in seconds])
    assert not too_slow([Recovery("stock/1", 1.0, undisturbed=True)] * 199 + [Recovery("stock/1", 11.0, undisturbed=True)])
