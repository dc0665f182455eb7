"""The numbers that the stock side is tuned by."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StockSettings:
    """`serve_limit`: waiters served per SKU and batch (design: N). `window_limit`: how far success widens the number of batons out at once.
    `baton_seconds`: after that a baton has no claim any more. `level_interval_ms`: stock levels of a partition are announced at most
    that often, and no more than `levels_per_second` of them: when more change, they are told later, with what they are by then.
    `cache_rows`: stock records and reservations kept in memory between batches."""

    serve_limit: int = 100
    window_limit: int = 64
    baton_seconds: float = 30.0
    level_interval_ms: int = 250
    levels_per_second: int = 200
    cache_rows: int = 200_000
