"""Whatever happens to a SKU: the books balance, nothing is oversold, nobody jumps the queue, and the cache changes nothing."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.allocator.core.stock import reserving, shortages
from services.allocator.core.stock.claims import free_for
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import SkuStock
from services.allocator.core.stock.waiting import Rank
from shared.partitions.model import Send
from shared.schemas.events import Outcome
from shared.schemas.wire import Envelope, decode, encode, header_map, partition_of
from tests.unit.allocator.stock_books import check_books
from tests.unit.allocator.stock_partition import START
from tests.unit.allocator.stock_script import Script
from tests.unit.allocator.stock_stories import Story

KEYS: dict[str, Callable[[Any], str]] = {
    "earmark.outcomes": lambda message: message.demand,
    "earmark.reservations": lambda message: f"{message.merchant}/{message.stops[message.stop].sku}",
    "earmark.movements": lambda message: f"{message.merchant}/{message.sku}",
    "earmark.stock-levels": lambda message: f"{message.merchant}/{message.sku}",
}
LIMITS = [StockSettings(serve_limit=2, level_interval_ms=250), StockSettings(level_interval_ms=0, cache_rows=3), StockSettings()]
seeds, limits = st.integers(0, 2**32), st.sampled_from(LIMITS)


@settings(max_examples=100, deadline=None)
@given(seeds, limits)
def test_the_books_balance_and_nobody_sleeps_whatever_happens(seed: int, limit: StockSettings) -> None:
    script = Script(limit)
    for batch in Story(seed).batches():
        for send in script.sends(*batch):
            check_can_be_sent(send)
        check_books(script.partition)
        if script.partition.batch_is_due():
            script.sends("wait 0")
            check_books(script.partition)


@settings(max_examples=100, deadline=None)
@given(seeds, limits)
def test_what_is_sent_does_not_depend_on_what_was_cached(seed: int, limit: StockSettings) -> None:
    cached, forgetful = Script(limit), Script(limit, forgetful=True)
    for batch in Story(seed, "ABC").batches():
        assert cached.sends(*batch) == forgetful.sends(*batch)
        assert cached.partition.side.next_deadline() == forgetful.partition.side.next_deadline()
    assert cached.partition.database.tables == forgetful.partition.database.tables


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(1, 9), st.sampled_from(["W", "V", "W,V", "V,N"]))
def test_nobody_jumps_the_queue(seed: int, wanted: int, warehouses: str) -> None:
    """A newcomer in the last place gets no more than is free beyond what every waiter that fits would take, one by one."""
    script = Script()
    for at, batch in enumerate(Story(seed).batches()):
        free = _left_for_the_last(script)
        (first, *_) = script.sends(f"line new{at} {wanted} partial wh={warehouses} p=5", seconds=0)
        assert isinstance(first.message, Outcome)
        assert first.message.reserved_units <= sum(free.get(warehouse, 0) for warehouse in warehouses.split(","))
        script.sends(f"release new{at}", seconds=0)
        script.sends(*batch)


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_what_is_left_for_a_place_does_not_depend_on_where_the_last_walk_ended(seed: int) -> None:
    script = Script()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reserving, "free_for", _looked_up_twice)
        patch.setattr(shortages, "free_for", _looked_up_twice)
        for batch in Story(seed).batches():
            script.sends(*batch)


def _looked_up_twice(sku: SkuStock, rank: Rank, today: date) -> dict[str, int]:
    found, walked = free_for(sku, rank, today), sku.walked
    sku.walked = None
    assert +Counter(found) == +Counter(free_for(sku, rank, today))
    sku.walked = walked
    return found


def check_can_be_sent(send: Send) -> None:
    """It is a message of the published language, and survives the wire."""
    record = encode(send.message, key=send.key, envelope=Envelope("stock/0/1", 1), time=START)
    assert decode(record.value, header_map(record.headers), {send.message.type}) == (send.message,)
    assert partition_of(send.key, 8) == partition_of(KEYS[send.topic](send.message), 8)


def test_a_woken_demand_that_comes_out_of_turn_leaves_enough_for_those_before_it() -> None:
    """Three wait for a restock that is enough for all; the last one comes first, and takes what nobody else needs."""
    script = Script(StockSettings(level_interval_ms=0))
    for name in ("o1", "o2", "o3"):
        script.sends(f"chain {name} 2")
    script.sends("receive W 6")
    for name, left in (("o3", 4), ("o2", 2), ("o1", 0)):
        script.sends(f"chain {name} 2")
        free = sum(row.on_hand - row.backed for row in script.partition.rows("stock_record"))
        assert free == left
        check_books(script.partition)


def _left_for_the_last(script: Script) -> dict[str, int]:
    """Free units by warehouse after every waiter that fits has had its own."""
    today = script.partition.now.date()
    free: dict[str, int] = {}
    for row in script.partition.rows("stock_record"):
        if row.expires_on is None or row.expires_on >= today:
            free[row.warehouse] = free.get(row.warehouse, 0) + max(0, row.on_hand - row.held) - row.backed
    batons, now = script.partition.rows("baton"), script.partition.now
    expired = {(row.demand, row.alternative) for row in batons if row.expired or row.expires_at <= now}
    waiting = [row for row in script.partition.rows("reservation") if row.waiting_units]
    for row in sorted(waiting, key=lambda row: (row.priority, row.demanded_at, row.demand, row.alternative)):
        need = row.waiting_units
        fits = row.fill == "partial" or sum(free.get(warehouse, 0) for warehouse in row.warehouses) >= need
        if fits and (row.demand, row.alternative) not in expired:
            for warehouse in row.warehouses:
                part = min(need, free.get(warehouse, 0))
                free[warehouse] = free.get(warehouse, 0) - part
                need -= part
    return free
