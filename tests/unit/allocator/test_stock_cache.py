"""What stays in memory between batches: within the budget, and never less than what the last batch used last."""

from services.allocator.core.stock.cache import StockCache
from services.allocator.core.stock.rows import SkuKey
from services.allocator.core.stock.state import SkuStock


def used(cache: StockCache, *keys: SkuKey) -> None:
    for key in keys:
        cache.skus.setdefault(key, SkuStock(key))
    cache.settle(keys, [])


def test_the_skus_used_longest_ago_leave_first() -> None:
    cache = StockCache(budget_rows=2)
    used(cache, ("acme", "A"), ("acme", "B"))
    used(cache, ("acme", "A"))
    used(cache, ("acme", "C"))
    assert list(cache.skus) == [("acme", "A"), ("acme", "C")]


def test_a_sku_that_is_larger_than_the_budget_is_not_read_again_for_every_batch() -> None:
    cache = StockCache(budget_rows=0)
    used(cache, ("acme", "A"), ("acme", "B"))
    assert list(cache.skus) == [("acme", "B")]
