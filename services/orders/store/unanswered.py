"""Orders that this process has made of what channels said and that the allocator has not answered yet: their first answer is folded
without looking them up, which was 9 % of what Postgres did for an order."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from services.orders.core.model import Key, Order, Standing
from shared.schemas.events import AllocationChanged

MOST = 30_000
"""Some 7 MB. Of more than these the oldest are looked up after all."""


class Unanswered:
    """The standings of orders as they were made. `most`: so many are kept, the newest."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._standings: dict[Key, Standing] = {}

    def remember(self, orders: Iterable[Order]) -> None:
        """Those that a transaction made, after its commit."""
        for order in orders:
            if order.standing.pending:  # else nothing is to be answered
                self._standings[order.key] = order.standing
        for key in list(islice(self._standings, max(0, len(self._standings) - self._most))):
            del self._standings[key]

    def take(self, in_turn: Mapping[Key, Sequence[AllocationChanged]]) -> dict[Key, Standing]:
        """Of the orders that these answers are about, the standings of those that are remembered. They are forgotten by that: whoever
        finds that the order has been answered already looks it up.

        The order may have been changed since, also by other processes. That makes no difference to an answer about the version that is
        remembered: it ends no step that was asked for later, and so changes nothing but the allocation.
        """
        found: dict[Key, Standing] = {}
        for key, answers in in_turn.items():
            standing = self._standings.pop(key, None)
            if standing is not None and max(answer.demand_version for answer in answers) <= standing.version:
                found[key] = standing
        return found
