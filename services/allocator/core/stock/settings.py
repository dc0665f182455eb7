"""The numbers that the stock side is tuned by."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class StockSettings:
    """`serve_limit`: waiters served per SKU and batch (design: N). `window_limit`: how far success widens the number of batons out at once.
    `baton_seconds`: after that a baton has no claim any more. `level_interval_ms`: stock levels of a partition are announced at most
    that often, `levels_slice` of them at once, and no more than `levels_per_second`: when more change, they are told later, with what
    they are by then.
    `cache_rows`: stock records and reservations kept in memory between batches. `doubted_commands`: after a takeover so many that are of
    something new are looked up all the same, more than a batch has: one that the store refused is among them. `round_hours`: all levels
    are told again within so many, `round_slice` SKUs at a time with `round_pause_seconds` between. `keep`: tombstones stand at least so
    long after their demand has ended."""

    serve_limit: int = 1_000
    window_limit: int = 4_096
    baton_seconds: float = 30.0
    level_interval_ms: int = 250
    levels_per_second: int = 200
    levels_slice: int = 500
    cache_rows: int = 200_000
    doubted_commands: int = 2_000
    round_hours: float = 24.0
    round_slice: int = 100
    round_pause_seconds: float = 10.0
    keep: timedelta = timedelta(days=30)
