"""Demands that wait for answers of the stock side: which they are, and where their newest state is stored.

Most demands change three or four times within a second and then rest for days. While they wait, a batch writes all of them together, on
one page; a demand becomes a row of its own when it is answered. Measured with three lines an order: a third of the CPU that a row
written anew at every change took, on both sides of the connection.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from services.allocator.core.demand.state import DemandState
from services.allocator.store.demand_encoding import from_row
from services.allocator.store.demand_ports import Page, Waiting

PAGES = 64
"""Who is not answered within so many pages gets a row: one that waits for long must not keep a page of a thousand for itself."""


@dataclass(slots=True)
class Writes:
    """What one batch stores: the states of a new page, rows that are new, rows that exist, and the pages that hold nothing any more.
    `page` numbers the newest page: what stands there or on older ones of a demand that gets a row is outdated. `turned`: that page is
    new, or is to be left blank: the newest one is never removed, because no number may be given twice."""

    page: int
    turned: bool = False
    waiting: list[DemandState] = field(default_factory=list)
    new: list[DemandState] = field(default_factory=list)
    old: list[DemandState] = field(default_factory=list)
    over: list[int] = field(default_factory=list)


class UnderWay:
    """The demands of one state partition whose newest state stands on a page. All of them are in memory, `budget_lines` at most; beyond
    that a waiting demand gets a row at once."""

    def __init__(self, budget_lines: int, pages: Sequence[Page], waiting: Iterable[Waiting]) -> None:
        """`pages`: all that are stored, oldest first; `waiting`: what stands on them and is not outdated."""
        self._budget, self._lines = budget_lines, 0
        self._on: dict[int, dict[str, None]] = {page.number: {} for page in pages}
        self._newest = pages[-1].number if pages else 0
        self._blank = not pages or not pages[-1].rows
        self._entries: dict[str, tuple[int, bool, int, DemandState]] = {}
        for page, has_row, row in waiting:
            self._put(page, from_row(row), has_row=has_row)

    def get(self, demand: str) -> DemandState | None:
        """The demand, if its newest state stands on a page."""
        entry = self._entries.get(demand)
        return None if entry is None else entry[3]

    def states(self) -> list[DemandState]:
        """All of them."""
        return [state for *_, state in self._entries.values()]

    def oldest_page(self) -> int | None:
        """The oldest page that anybody waits on; older ones are gone."""
        return min((page for page, left in self._on.items() if left), default=None)

    def settle(self, changed: Iterable[DemandState], unknown: Collection[str], waiting: Collection[str]) -> Writes:
        """What is to be stored after a batch that changed these: of the `unknown` ones nothing was stored before, the `waiting` ones
        may stand on a page."""
        writes = Writes(self._newest)
        for state in changed:
            demand = state.id
            has_row = self._take(demand) if demand in self._entries else demand not in unknown
            if demand in waiting and self._lines + len(state.terms.lines) <= self._budget:
                self._put(self._newest + 1, state, has_row=has_row)
                writes.waiting.append(state)
            else:
                (writes.old if has_row else writes.new).append(state)
        if writes.waiting:
            self._newest = writes.page = self._newest + 1
            self._move_stragglers(writes)
        blank = not self._on.get(self._newest)
        writes.turned, self._blank = bool(writes.waiting) or blank != self._blank, blank
        writes.over = [page for page, left in self._on.items() if not left and page < self._newest]
        for page in writes.over:
            del self._on[page]
        return writes

    def _move_stragglers(self, writes: Writes) -> None:
        for page in [page for page in self._on if page <= self._newest - PAGES]:
            for demand in list(self._on[page]):
                *_, state = self._entries[demand]
                (writes.old if self._take(demand) else writes.new).append(state)

    def _put(self, page: int, state: DemandState, *, has_row: bool) -> None:
        lines = len(state.terms.lines)
        self._entries[state.id] = page, has_row, lines, state
        self._on.setdefault(page, {})[state.id] = None
        self._lines += lines

    def _take(self, demand: str) -> bool:
        """Off its page; whether there is a row of it."""
        page, has_row, lines, _ = self._entries.pop(demand)
        del self._on[page][demand]
        self._lines -= lines
        return has_row
