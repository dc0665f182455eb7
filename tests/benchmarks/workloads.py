"""What the yardsticks and the allocator are given: which SKUs an order wants. Same numbers for all of them, or ratios mean nothing."""

import bisect
import itertools
from collections.abc import Callable
from random import Random

SKUS = 10_000
ON_HAND_UNITS = 100_000_000
"""Of every SKU: enough that no line of a run is ever short."""
ZIPF_EXPONENT = 1.1

Picker = Callable[[], list[str]]


def sku(number: int) -> str:
    """The SKU of a number below SKUS."""
    return f"SKU-{number:06d}"


def picker(workload: str, lines: int, random: Random, skus: int = SKUS) -> Picker:
    """A function that gives the SKUs of the next order: `lines` distinct ones of `skus`, sorted. `workload`: uniform, hot or zipf."""
    if workload == "hot":
        fixed = [sku(number) for number in range(lines)]
        return lambda: fixed
    if workload == "uniform":
        return lambda: [sku(number) for number in sorted(random.sample(range(skus), lines))]
    assert workload == "zipf", workload
    return _zipf(lines, random)


def _zipf(lines: int, random: Random) -> Picker:
    weights = list(itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, SKUS + 1)))

    def pick() -> list[str]:
        chosen: set[int] = set()
        while len(chosen) < lines:
            chosen.add(bisect.bisect_left(weights, random.random() * weights[-1]))
        return [sku(number) for number in sorted(chosen)]

    return pick
