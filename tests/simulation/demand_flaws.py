"""Planted bugs of the demand side: attempts, chains, pages, deadlines, picking, forgetting.

Figures in the protocol's description say how often its executable model failed without a rule; here the product's own code fails.
"""

from collections.abc import Sequence
from typing import Any

from services.allocator import demand_side, demand_under_way
from services.allocator.core import policy
from services.allocator.core.demand import attempts, forgetting, picking
from services.allocator.core.demand.fold import DemandFold
from services.allocator.core.demand.state import DemandState, Status
from services.allocator.core.policy import Timing
from services.allocator.store import demand_ports
from shared.schemas.events import Demand, Outcome, Wake
from tests.simulation.flaw import Flaw, flaw, nothing

# ---------------------------------------------------------------- attempts

_MERGED, _START, _SHORT, _LET_GO = policy._merged, attempts._start, attempts.fall_short, attempts.let_go
_DEMAND, _OUTCOME, _WAKE = DemandFold._demand, DemandFold._outcome, DemandFold._wake


def _unsorted(lines: Any, fallback: Any, alternative: str) -> Any:
    """Every other demand's chain goes the other way."""
    merged = _MERGED(lines, fallback, alternative)
    return merged[::-1] if sum(line.units for line in merged) % 2 else merged


def _no_withdrawal(state: DemandState, held: Any, timing: Timing, now: Any, sends: Any) -> None:
    state.waiting_at, held = frozenset(), held - state.waiting_at
    _START(state, held, timing, now, sends)


def _late_leak(state: DemandState, at: Any, sends: Any) -> None:
    state.inherited = frozenset()
    _SHORT(state, at, sends)


def _release_what_answered(state: DemandState, status: Status, sends: Any) -> None:
    """Of a chain under way that is nothing: only its last stop answers."""
    if state.status is Status.TRYING:
        state.status, state.waiting_at = Status.RELEASED, state.inherited
    _LET_GO(state, status, sends)


def _old_versions(self: Any, demand: Demand) -> None:
    state = self.states.get(demand.id)
    if state is not None and demand.version < state.version:
        demand = demand.but(version=state.version + 1)
    _DEMAND(self, demand)


def _old_answers(self: Any, outcome: Outcome) -> None:
    state = self.states.get(outcome.demand)
    if state is not None and outcome.note is not None and outcome.attempt < state.attempt:
        outcome = outcome.but(attempt=state.attempt)
    _OUTCOME(self, outcome)


_ATTEMPTS: Sequence[type[Flaw]] = (
    flaw(
        "ChainsAreNotSorted",
        "Chains do not visit SKUs in one order: every other demand goes the other way.",
        (policy, "_merged", _unsorted),
    ),
    flaw(
        "WaitIsNotWithdrawn",
        "A new chain is sent without taking back the place where the last one waits.",
        (attempts, "_start", _no_withdrawal),
    ),
    flaw(
        "LaterStopsLeak",
        "A chain that falls short releases the stops before, and leaves what older attempts hold at later ones.",
        (attempts, "fall_short", _late_leak),
    ),
    flaw(
        "CancelCrossesAnAttempt",
        "A cancellation releases what has answered, and the chain that is under way goes on behind it.",
        (attempts, "let_go", _release_what_answered),
    ),
    flaw(
        "OldVersionsCount", "An older version of an order that comes late replaces the newer one.", (DemandFold, "_demand", _old_versions)
    ),
    flaw(
        "OldAnswersCount",
        "The answer to an older attempt is taken for one to the present attempt.",
        (DemandFold, "_outcome", _old_answers),
    ),
    flaw(
        "LessGoesByTheChain",
        "Who has everything and asks for less gives it up and stands in the queue again.",
        (attempts, "asks_for_less", lambda *_: False),
    ),
    flaw(
        "NobodyIsActivated",
        "A chain that succeeded is not told so at its stops, where it stays pending.",
        (attempts, "succeed", lambda state, sends: setattr(state, "status", Status.ALLOCATED)),
    ),
    flaw(
        "DeadlinesDoNotGrow",
        "An attempt that expired gets no more time than before when it is tried again.",
        (Timing, "attempt_limit", lambda self, expiries: self.attempt),
    ),
    flaw("NoDeadlines", "No attempt ever expires: deadlines are not noted.", (demand_side._Deadlines, "note", nothing)),
)

# ---------------------------------------------------------------- batons


def _closed_keeps_baton(state: Any, status: Status, sends: Any) -> None:
    kept, state.batons = state.batons, []
    _LET_GO(state, status, sends)
    state.batons = kept


def _wake_is_dropped(self: Any, wake: Wake) -> None:
    state = self._known(wake.demand, wake.attempt)
    if state.status is Status.WAITING:
        _WAKE(self, wake)


_BATONS: Sequence[type[Flaw]] = (
    flaw("BatonsAreKept", "A demand that was woken never gives its baton back.", (attempts, "return_batons", nothing)),
    flaw("ClosedDemandKeepsItsBaton", "A demand that is closed while awake keeps its baton.", (attempts, "let_go", _closed_keeps_baton)),
    flaw(
        "UselessWakeIsDropped",
        "A demand that is woken and does not wait any more keeps the baton instead of giving it back at once.",
        (DemandFold, "_wake", _wake_is_dropped),
    ),
)

# ---------------------------------------------------------------- what is stored of those under way

_NOT_OUTDATED, _UNDER_WAY = demand_ports.not_outdated, demand_under_way.UnderWay.__init__


def _all_count(found: Any, rows: Any) -> Any:
    return _NOT_OUTDATED(found, dict.fromkeys(rows, 0))


def _numbers_begin_anew(self: Any, budget: int, pages: Any, waiting: Any) -> None:
    _UNDER_WAY(self, budget, pages, waiting)
    self._newest = 0


_PAGES: Sequence[type[Flaw]] = (
    flaw(
        "PagesAreForgotten",
        "After a take-over nobody reads the pages of demands that wait for answers.",
        (demand_side, "not_outdated", lambda found, rows: []),
    ),
    flaw(
        "PagesOutliveTheRow",
        "After a take-over what a page says of a demand counts, also where the demand's row is newer.",
        (demand_side, "not_outdated", _all_count),
    ),
    flaw(
        "PageNumbersBeginAnew",
        "After a take-over pages are numbered from one again.",
        (demand_under_way.UnderWay, "__init__", _numbers_begin_anew),
    ),
)

# ---------------------------------------------------------------- leaving, and being forgotten

_BEGIN = forgetting.begin


def _demand_goes_first(state: Any, sends: Any) -> None:
    _BEGIN(state, sends)
    state.seen.clear()


async def _nothing_is_forgotten(self: Any, fold: Any, beside: int) -> list[str]:
    self._oldest = None
    return []


_ENDS: Sequence[type[Flaw]] = (
    flaw("MarksStayBehind", "Where one SKU refuses to be picked, the others stay marked.", (picking, "unmark", nothing)),
    flaw(
        "DemandGoesBeforeItsTombstones",
        "A demand is removed when it asks its SKUs to forget it, before they have.",
        (forgetting, "begin", _demand_goes_first),
    ),
    flaw("NothingIsForgotten", "What ended is kept for ever.", (demand_side.DemandSide, "_forget", _nothing_is_forgotten)),
)

DEMAND_FLAWS: Sequence[type[Flaw]] = (*_ATTEMPTS, *_BATONS, *_PAGES, *_ENDS)
