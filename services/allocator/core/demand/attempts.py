"""Attempts: how a demand goes for stock, and how it lets go. The only place where an attempt is numbered.

Every function appends the messages it needs to `sends`. Figures in comments: failing seeds per thousand of the protocol's executable
model without that rule.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.allocator.core.demand.state import NO_ROWS, Baton, DemandState, Row, Status
from services.allocator.core.policy import Terms, Timing
from shared.schemas.commands import Activate, ChainStop, Release, ReserveChain, ReserveLine, ReturnBaton
from shared.schemas.values import Fill

Sends = list[Any]


def ask(state: DemandState, terms: Terms, timing: Timing, now: datetime, sends: Sends) -> None:
    """Go for stock on new terms, or on the same ones anew after a release."""
    holding, lowered = state.holding(), asks_for_less(state, terms)
    return_batons(state, None, sends)
    state.terms = terms
    if lowered:
        _reduce(state, holding, sends)
    else:
        _start(state, holding, timing, now, sends)


def asks_for_less(state: DemandState, terms: Terms) -> bool:
    """Whether an allocated all-or-nothing demand keeps its warehouse and asks for no more at any SKU: that can not fail (2)."""
    if state.status is not Status.ALLOCATED or terms.fill is not Fill.ALL_OR_NOTHING or terms.alternative != state.terms.alternative:
        return False
    has = {line.sku: line.units for line in state.terms.lines}
    return all(line.units <= has.get(line.sku, 0) for line in terms.lines)


def again(state: DemandState, timing: Timing, now: datetime, sends: Sends) -> None:
    """A new attempt on the same terms: woken, or after a pause."""
    _start(state, state.holding(), timing, now, sends)


def _start(state: DemandState, holding: frozenset[Row], timing: Timing, now: datetime, sends: Sends) -> None:
    """A new attempt on the present terms. It adopts what older ones hold (149); rows that it does not want are released."""
    if state.waiting_at:
        # Withdrawn under the old number, so that nothing of it stays behind. But where it was woken it stays and keeps its claim until the
        # chain is there or the baton is back: withdrawn at once, lines behind it took what it was woken for while it was on its way.
        withdrawn = state.waiting_at.difference(baton.row for baton in state.batons)
        release(state, withdrawn, sends)
        holding -= withdrawn
        state.waiting_at = NO_ROWS
    state.attempt += 1
    if holding:
        wanted = frozenset(state.rows())
        release(state, holding - wanted, sends)
        holding &= wanted
    if state.terms.fill is Fill.ALL_OR_NOTHING:
        state.status, state.inherited = Status.TRYING, holding
        state.deadline_at = now + timing.attempt_limit(state.expiries)
        sends.append(_chain(state, now))
    else:
        state.status, state.deadline_at, state.inherited = Status.LINES, None, NO_ROWS
        _reserve_lines(state, sends, lowering=False)


def _reduce(state: DemandState, holding: frozenset[Row], sends: Sends) -> None:
    """Ask for less of what is reserved: to all SKUs in parallel, without chain and deadline."""
    state.attempt += 1
    release(state, holding.difference(state.rows()), sends)
    _reserve_lines(state, sends, lowering=True)


def let_go(state: DemandState, status: Status, sends: Sends) -> None:
    """Release everything under a new number, so that what is still under way for older ones is refused."""
    if holding := state.holding():
        state.attempt += 1
        release(state, holding, sends)
    state.inherited, state.waiting_at = NO_ROWS, NO_ROWS
    state.status, state.deadline_at = status, None
    return_batons(state, None, sends)  # a cancelled demand that keeps its baton blocks the queue (184)


def succeed(state: DemandState, sends: Sends) -> None:
    """The chain's last stop has reported: every pending reservation becomes active, and the baton goes back."""
    state.status, state.deadline_at, state.expiries = Status.ALLOCATED, None, 0
    state.inherited = NO_ROWS
    for sku, alternative in state.rows():
        sends.append(Activate(demand=state.id, merchant=state.merchant, sku=sku, alternative=alternative, attempt=state.attempt))
    return_batons(state, True, sends)


def fall_short(state: DemandState, at: Row, sends: Sends) -> None:
    """The chain found too little at one SKU: wait there, and hold nothing anywhere else. Earlier stops hold what this chain took, later
    ones may still hold what older attempts took (42)."""
    release(state, (row for row in state.rows() if row < at or (row != at and row in state.inherited)), sends)
    state.status, state.deadline_at = Status.WAITING, None
    state.inherited, state.waiting_at = NO_ROWS, frozenset({at})
    return_batons(state, False, sends)


def expire(state: DemandState, timing: Timing, now: datetime, sends: Sends) -> None:
    """The chain outlived its deadline: cancel it everywhere and try later, ever later until one succeeds (55)."""
    release(state, state.holding(), sends)
    state.inherited = NO_ROWS
    state.expiries += 1
    return_batons(state, False, sends)
    state.status, state.deadline_at = Status.BACKOFF, now + timing.pause_after(state.expiries)


def release(state: DemandState, rows: Iterable[Row], sends: Sends) -> None:
    """Tell rows to let go under the present number, and remember to hear that they did."""
    for row in sorted(rows):
        state.releasing[row] = state.attempt
        sku, alternative = row
        sends.append(Release(demand=state.id, merchant=state.merchant, sku=sku, alternative=alternative, attempt=state.attempt))


def return_batons(state: DemandState, served: bool | None, sends: Sends) -> None:
    """Give every baton back: the attempt it started succeeded, failed, or none was made of it."""
    for baton in state.batons:
        sends.append(baton_return(state, baton, served))
    state.batons = ()


def baton_return(state: DemandState, baton: Baton, served: bool | None) -> ReturnBaton:
    """The message that gives one baton back."""
    (sku, alternative), number = baton
    return ReturnBaton(
        demand=state.id,
        merchant=state.merchant,
        sku=sku,
        alternative=alternative,
        attempt=state.attempt,
        baton=number,
        served=served,
    )


def _chain(state: DemandState, now: datetime) -> ReserveChain:
    """One message that travels from SKU to SKU in sorted order: any other order deadlocks (336)."""
    terms = state.terms
    return ReserveChain(
        demand=state.id,
        merchant=state.merchant,
        alternative=terms.alternative,
        attempt=state.attempt,
        stop=0,
        stops=tuple(ChainStop(sku=line.sku, units=line.units) for line in terms.lines),
        strategy=terms.strategy,
        priority=terms.priority,
        demanded_at=terms.demanded_at,
        started_at=now,
    )


def _reserve_lines(state: DemandState, sends: Sends, *, lowering: bool) -> None:
    terms = state.terms
    _, fill, strategy, priority, demanded_at, alternative = terms
    for sku, units, warehouses in terms.lines:
        sends.append(
            ReserveLine(
                demand=state.id,
                merchant=state.merchant,
                sku=sku,
                alternative=alternative,
                attempt=state.attempt,
                units=units,
                fill=fill,
                reduce=lowering,
                warehouses=warehouses,
                strategy=strategy,
                priority=priority,
                demanded_at=demanded_at,
            )
        )
