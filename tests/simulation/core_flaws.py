"""Planted bugs of the allocator's cores: one rule of the protocol left out each. They prove that the checks bite.

Figures in the protocol's description say how often its executable model failed without the rule; here the product's own code fails.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from services.allocator import demand_side, demand_under_way
from services.allocator.core import policy
from services.allocator.core.demand import attempts, forgetting, picking
from services.allocator.core.demand import fold as demand_fold
from services.allocator.core.demand.state import Status
from services.allocator.core.policy import Timing
from services.allocator.core.stock import backing, claims, holding, ledger, reserving, serving
from services.allocator.core.stock import fold as stock_fold
from services.allocator.core.stock.choosing import free_by_warehouse
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.rows import LevelsRound
from services.allocator.core.stock.state import Reservation, StockRecord
from services.allocator.stock_side import StockSide
from services.allocator.store import demand_ports
from shared.schemas.commands import MarkPicking, Release, ReturnBaton
from shared.schemas.values import Fill
from tests.simulation.flaw import Change, Flaw


def nothing(*_: Any, **__: Any) -> None:
    """Does not do it."""


class CoreFlaw(Flaw):
    """Made of changes only."""

    made: Sequence[Change] = ()

    def changes(self) -> Sequence[Change]:
        return self.made


def flaw(name: str, *changes: Change) -> type[CoreFlaw]:
    """A planted bug by its name."""
    return type(name, (CoreFlaw,), {"made": changes})


# ---------------------------------------------------------------- the stock side


def _newcomer(sku: Any, rank: Any, today: Any) -> dict[str, int]:
    return free_by_warehouse(sku, today)


def _no_tombstone(draft: Draft, sku: Any, command: Release) -> None:
    if (command.demand, command.alternative) in sku.reservations:
        holding.release(draft, sku, command)


def _release_and_forget(draft: Draft, sku: Any, command: Release) -> None:
    holding.release(draft, sku, command)
    reservation = sku.reservations[command.demand, command.alternative]
    if reservation.attempt == command.attempt:
        draft.forget_reservation(sku, reservation)


async def _no_round(self: Any, now: Any) -> None:
    self._round = self._round or LevelsRound(FAR, FAR, None)


FAR = datetime(2999, 1, 1, tzinfo=UTC)


def _claim_of_the_expired(sku: Any, waiter: Reservation, free: Any) -> bool:
    return waiter.fill is Fill.PARTIAL or waiter.waiting <= claims.left_for(free, waiter.warehouses)


def _spent_stays(self: Draft, sku: Any, reservation: Reservation) -> None:
    self.changed_queue(sku)


def _baton_leaves_spent(self: Draft, sku: Any, key: Any) -> None:
    self.batons[sku.key, key] = sku


def _without_serving(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, without letting waiters be served afterwards."""

    def quietly(draft: Draft, sku: Any, command: Any) -> Any:
        before = dict(draft.to_serve)
        result = function(draft, sku, command)
        draft.to_serve.clear()
        draft.to_serve.update(before)
        return result

    return quietly


def _adopt_nothing(draft: Draft, sku: Any, reservation: Reservation, want: Any) -> None:
    backing.drop(draft, sku, reservation)
    reserving._ask(reservation, want)
    backing.settle(draft, sku, silent=reservation)
    draft.serve_later(sku)


def _mark_unanswered(draft: Draft, sku: Any, command: MarkPicking) -> None:
    reservation = sku.reservations.get((command.demand, command.alternative))
    if reservation is not None and reservation.reserved and not reservation.flagged:
        holding.mark_picking(draft, sku, command)


def _mark_flagged(draft: Draft, sku: Any, command: MarkPicking) -> None:
    reservation = sku.reservations.get((command.demand, command.alternative))
    flagged = reservation.flagged if reservation is not None else 0
    if reservation is not None:
        reservation.flagged = 0
    holding.mark_picking(draft, sku, command)
    if reservation is not None:
        reservation.flagged = flagged


def _capacity(self: StockRecord, today: Any) -> int:
    return max(0, self.on_hand - self.held) + 1


def _by_place_only(self: Reservation) -> Any:
    return (True, self.rank)


def _best_flagged_first(self: Reservation) -> Any:
    priority, *rest = self.rank
    return (self.mark is None, (-priority, *rest))


STOCK_FLAWS: tuple[type[Flaw], ...] = (
    flaw("NewcomerJumpsTheQueue", (reserving, "free_for", _newcomer)),
    flaw("ReleaseWakesNobody", (stock_fold.HANDLERS, Release, _without_serving(holding.release))),
    flaw("ReturnedBatonWakesNobody", (stock_fold.HANDLERS, ReturnBaton, _without_serving(holding.return_baton))),
    flaw("ReleaseWithoutTombstone", (stock_fold.HANDLERS, Release, _no_tombstone)),
    flaw("FallFlagsNobody", (ledger, "settle", nothing)),
    flaw("RiseHealsNobody", (backing, "_heal_from_free", nothing)),
    flaw("EditAdoptsNothing", (reserving, "_adopt", _adopt_nothing)),
    flaw("CommandsAreNotRemembered", (ledger, "_answered", lambda *_: False)),
    flaw("MarkIsNotRefused", (stock_fold.HANDLERS, MarkPicking, _mark_unanswered)),
    flaw("FlaggedIsMarked", (stock_fold.HANDLERS, MarkPicking, _mark_flagged)),
    flaw("OneUnitTooMany", (StockRecord, "room", lambda self, today: max(0, self.on_hand - self.held - self.backed + 1))),
    flaw("PickedIsFlaggedLikeOthers", (Reservation, "backing_rank", property(_by_place_only))),
    flaw("BestPlacedIsFlagged", (Reservation, "backing_rank", property(_best_flagged_first))),
    flaw("ContinuationIsForgotten", (serving, "_continue_at", nothing)),
    flaw("LotsNeverEnd", (stock_fold, "end_lots", nothing)),
    flaw("ShortStopKeepsWhatItHas", (reserving, "drop", nothing)),
    flaw("ReleaseHealsNobody", (holding, "settle", nothing)),
    flaw("ConsumedWithoutMovement", (holding, "post_consumption", nothing)),
    flaw("TombstoneGoesWithTheRelease", (stock_fold.HANDLERS, Release, _release_and_forget)),
    flaw("ExpiredBatonsKeepTheirClaim", (serving, "has_claim", _claim_of_the_expired), (claims, "has_claim", _claim_of_the_expired)),
    flaw("SpentIsRememberedTooLong", (Draft, "_changed_claims", _spent_stays), (Draft, "changed_baton", _baton_leaves_spent)),
    flaw("LevelsAreToldOnce", (StockSide, "_go_round", _no_round)),
)

# ---------------------------------------------------------------- the demand side


def _unsorted(lines: Any, fallback: Any, alternative: str) -> Any:
    """Every other demand's chain goes the other way."""
    merged = _MERGED(lines, fallback, alternative)
    return merged[::-1] if sum(line.units for line in merged) % 2 else merged


_MERGED = policy._merged
_NOT_OUTDATED = demand_ports.not_outdated
_RETURN = attempts.return_batons
_START = attempts._start
_SHORT = attempts.fall_short
_LET_GO = attempts.let_go


def _closed_keeps_baton(state: Any, status: Status, sends: Any) -> None:
    kept, state.batons = state.batons, []
    _LET_GO(state, status, sends)
    state.batons = kept


def _late_leak(state: Any, at: Any, sends: Any) -> None:
    state.inherited = frozenset()
    _SHORT(state, at, sends)


def _no_withdrawal(state: Any, held: Any, timing: Timing, now: Any, sends: Any) -> None:
    state.waiting_at, held = frozenset(), held - state.waiting_at
    _START(state, held, timing, now, sends)


def _wake_is_dropped(self: Any, wake: Any) -> None:
    state = self._known(wake.demand, wake.attempt)
    if state.status is Status.WAITING:
        _WAKE(self, wake)


_WAKE = demand_fold.DemandFold._wake


def _old_versions(self: Any, demand: Any) -> None:
    state = self.states.get(demand.id)
    if state is not None and demand.version < state.version:
        demand = demand.but(version=state.version + 1)
    _DEMAND(self, demand)


_DEMAND = demand_fold.DemandFold._demand


def _numbers_begin_anew(self: Any, budget: int, pages: Any, waiting: Any) -> None:
    _UNDER_WAY(self, budget, pages, waiting)
    self._newest = 0


_UNDER_WAY = demand_under_way.UnderWay.__init__

_BEGIN = forgetting.begin


def _demand_goes_first(state: Any, sends: Any) -> None:
    _BEGIN(state, sends)
    state.seen.clear()


async def _nothing_is_forgotten(self: Any, fold: Any, *, beside: bool) -> list[str]:
    self._oldest = None
    return []


DEMAND_FLAWS: tuple[type[Flaw], ...] = (
    flaw("ChainsAreNotSorted", (policy, "_merged", _unsorted)),
    flaw("ClosedDemandKeepsItsBaton", (attempts, "let_go", _closed_keeps_baton)),
    flaw("BatonsAreKept", (attempts, "return_batons", lambda state, served, sends: None)),
    flaw("LaterStopsLeak", (attempts, "fall_short", _late_leak)),
    flaw("WaitIsNotWithdrawn", (attempts, "_start", _no_withdrawal)),
    flaw("UselessWakeIsDropped", (demand_fold.DemandFold, "_wake", _wake_is_dropped)),
    flaw("OldVersionsCount", (demand_fold.DemandFold, "_demand", _old_versions)),
    flaw("NoDeadlines", (demand_side._Deadlines, "note", nothing)),
    flaw("PagesAreForgotten", (demand_side, "not_outdated", lambda found, rows: [])),
    flaw("PagesOutliveTheRow", (demand_side, "not_outdated", lambda found, rows: _NOT_OUTDATED(found, dict.fromkeys(rows, 0)))),
    flaw("PageNumbersBeginAnew", (demand_under_way.UnderWay, "__init__", _numbers_begin_anew)),
    flaw("MarksStayBehind", (picking, "unmark", nothing)),
    flaw("LessGoesByTheChain", (attempts, "asks_for_less", lambda *_: False)),
    flaw("DeadlinesDoNotGrow", (Timing, "attempt_limit", lambda self, expiries: self.attempt)),
    flaw("DemandGoesBeforeItsTombstones", (forgetting, "begin", _demand_goes_first)),
    flaw("NothingIsForgotten", (demand_side.DemandSide, "_forget", _nothing_is_forgotten)),
    flaw("NobodyIsActivated", (attempts, "succeed", lambda state, sends: setattr(state, "status", Status.ALLOCATED))),
)

CORE_FLAWS = STOCK_FLAWS + DEMAND_FLAWS
