"""From reserved to gone: marking what is reserved as being picked, and taking it off hand when it has left.

Driven by what the owner wishes and by what the SKUs have reported, not by the order in which either came.
"""

from datetime import datetime

from services.allocator.core.demand.attempts import Sends
from services.allocator.core.demand.state import DemandState, Picking, Status
from shared.schemas.commands import Consume, MarkPicking, UnmarkPicking
from shared.schemas.events import Outcome
from shared.schemas.values import Wish

UNDER_WAY = "goods are leaving already; repeat the consumption, or close the demand"


def wish_changed(state: DemandState, sends: Sends) -> None:
    """A new version of the demand, whose terms are settled: ask for the marks, take them off, or ask once more."""
    if state.wish is Wish.STOCK:
        unmark(state, sends)
        state.picking = Picking.NONE
    elif state.picking in (Picking.NONE, Picking.REFUSED):
        state.picking = Picking.ASKED


def wish_while_leaving(state: DemandState, wish: Wish) -> None:
    """Goods may have left, so new terms are not taken. A repeat of the consumption asks again where it was refused; to go on picking
    is what happens anyway; to hold less is answered no."""
    if wish is Wish.CONSUMPTION:
        state.picking, state.refusals = Picking.CONFIRMED, {}
    elif wish is not Wish.PICKING:
        state.refusals[""] = UNDER_WAY


def unmark(state: DemandState, sends: Sends) -> None:
    """Take the marks off at every SKU: those that confirmed must not stay behind when one refused (35)."""
    if state.picking not in (Picking.MARKING, Picking.CONFIRMED):
        return
    assert state.mark is not None
    for sku, alternative in state.rows():
        sends.append(
            UnmarkPicking(
                demand=state.id, merchant=state.merchant, sku=sku, alternative=alternative, attempt=state.attempt, mark=state.mark
            )
        )


def refused(state: DemandState, outcome: Outcome, sends: Sends) -> None:
    """A SKU refused the mark or the consumption; refusals of earlier marks and commands are no news."""
    if outcome.note == "picking_refused" and outcome.about == state.mark and state.picking in (Picking.MARKING, Picking.REFUSED):
        state.refusals[outcome.sku] = _why_not_picked(state, outcome)
        unmark(state, sends)
        state.picking = Picking.REFUSED
    elif outcome.note == "consumption_refused" and outcome.about == state.command and state.picking is Picking.CONSUMING:
        state.refusals[outcome.sku] = _why_not_consumed(outcome)


def _why_not_picked(state: DemandState, outcome: Outcome) -> str:
    units = next(line.units for line in state.terms.lines if line.sku == outcome.sku)
    return state.missing_at(outcome.sku, units) or f"{outcome.sku}: it was short when asked and is whole again; ask again"


def _why_not_consumed(outcome: Outcome) -> str:
    if outcome.flagged_units:
        return (
            f"{outcome.sku}: {outcome.flagged_units} of {outcome.reserved_units} units to ship are more than is on hand; "
            "adjust or count the stock, then ship again"
        )
    return f"{outcome.sku}: not marked as being picked; start processing again, then ship"


def advance(state: DemandState, now: datetime, sends: Sends) -> None:
    """Take every step towards leaving that is possible now."""
    if state.picking is Picking.ASKED and state.answered():
        _mark(state, sends)
    if state.picking is Picking.MARKING and all(_marked_at(state, sku) for sku, _ in state.rows()):
        state.picking = Picking.CONFIRMED
    if state.picking is Picking.CONFIRMED and state.wish is Wish.CONSUMPTION and not state.refusals:
        _consume(state, sends)
    if state.picking is Picking.CONSUMING:
        _count_consumed(state, now)


def _mark(state: DemandState, sends: Sends) -> None:
    """Ask every SKU, or refuse at once where one is known not to be whole."""
    alternative = state.terms.alternative
    missing = {line.sku: why for line in state.terms.lines if (why := state.missing_at(line.sku, line.units))}
    if missing:
        state.refusals, state.picking = missing, Picking.REFUSED
        return
    state.mark, state.picking = state.version, Picking.MARKING
    for line in state.terms.lines:
        sends.append(
            MarkPicking(
                demand=state.id, merchant=state.merchant, sku=line.sku, alternative=alternative, attempt=state.attempt, mark=state.mark
            )
        )


def _marked_at(state: DemandState, sku: str) -> bool:
    outcome = state.seen.get((sku, state.terms.alternative))
    return outcome is not None and outcome.attempt == state.attempt and outcome.mark is not None and outcome.mark == state.mark


def _consume(state: DemandState, sends: Sends) -> None:
    state.picking = Picking.CONSUMING
    state.command = state.version
    for row in state.rows():
        if not state.seen[row].consumed_units:
            sku, alternative = row
            sends.append(
                Consume(
                    demand=state.id,
                    merchant=state.merchant,
                    sku=sku,
                    alternative=alternative,
                    attempt=state.attempt,
                    command=state.command,
                )
            )


def _count_consumed(state: DemandState, now: datetime) -> None:
    """All gone: for good. None gone and all refused: back to being picked, where everything else is possible again."""
    gone = [sku for sku, alternative in state.rows() if state.seen[sku, alternative].consumed_units]
    if len(gone) == len(state.terms.lines):
        state.status, state.closed_at, state.refusals = Status.CONSUMED, now, {}
    elif not gone and all(line.sku in state.refusals for line in state.terms.lines):
        state.picking = Picking.CONFIRMED
