"""A bulk run: in which order the orders of a selection are allocated (002-17, 002-18).

An order starts when every earlier selected order that shares a SKU with it has ended; orders that share none go in parallel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Planned:
    """One order of a run. It waits for so many earlier ones; when it has ended, it `releases` these positions."""

    number: str
    waits_for: int
    releases: list[int] = field(default_factory=list)


def plan(selection: Iterable[tuple[str, Sequence[str]]]) -> list[Planned]:
    """The run of (number, its SKUs) in the order of the selection.

    It is enough to wait for the last earlier order of each SKU: that one waited for those before it.
    """
    planned: list[Planned] = []
    last_with: dict[str, int] = {}
    for position, (number, skus) in enumerate(selection):
        earlier = {last_with[sku] for sku in skus if sku in last_with}
        planned.append(Planned(number, len(earlier)))
        for other in earlier:
            planned[other].releases.append(position)
        last_with.update(dict.fromkeys(skus, position))
    return planned
