"""What the allocator tells of a demand: all outcomes folded into one answer, told when it is decided and differs from the last."""

import hashlib
from datetime import datetime
from typing import Literal

from services.allocator.core.demand.state import DemandState, Picking, Status
from services.allocator.core.policy import TermLine
from shared.schemas.events import AllocatedLine, AllocationChanged, Outcome

Answer = Literal["allocated", "partially_allocated", "could_not_allocate", "overallocated", "released", "consumed"]

SHORTAGES_TOLD = 40
PIECES_TOLD = 1_500
"""Limits of one event, so that a thousand lines stay below the largest record; what is left out can be read over HTTP."""
_REFUSAL_LENGTH = 500
_TOLD_AS: dict[Picking, Literal["none", "asked", "confirmed", "refused"]] = {
    Picking.NONE: "none",
    Picking.ASKED: "asked",
    Picking.MARKING: "asked",
    Picking.CONFIRMED: "confirmed",
    Picking.REFUSED: "refused",
    Picking.CONSUMING: "confirmed",
}


def decided(state: DemandState, *, answered: bool) -> bool:
    """Whether there is an answer: nothing that was sent is undecided. Consumption has one once all has left or one SKU refused."""
    if state.status is Status.CONSUMED:
        return True
    return answered and (state.picking is not Picking.CONSUMING or bool(state.refusals))


def tell(state: DemandState, now: datetime, *, answered: bool) -> AllocationChanged | None:
    """The event to publish, if there is one: then the demand remembers to have told it. `answered`: as the state says."""
    if not decided(state, answered=answered):
        return None
    if state.status is Status.CLOSED and state.closed_at is None:
        state.closed_at = now
    lines = _lines(state)
    answer, refusal, picking = _answer(state, lines), _refusal(state), _TOLD_AS[state.picking]
    told = _digest(state.version, answer, picking, refusal, lines)
    if told == state.told:
        return None
    state.told, state.told_version = told, state.told_version + 1
    return AllocationChanged(
        demand=state.id,
        merchant=state.merchant,
        version=state.told_version,
        demand_version=state.version,
        attempt=state.attempt,
        outcome=answer,
        picking=picking,
        refusal=refusal,
        lines=lines,
        decided_at=now,
    )


def _answer(state: DemandState, lines: tuple[AllocatedLine, ...]) -> Answer:
    if state.status is Status.CONSUMED or (state.status is Status.CLOSED and all(line.consumed_units for line in lines)):
        return "consumed"
    if state.status is Status.RELEASED or state.status is Status.CLOSED:
        return "released"
    had = wanted = 0
    for line in lines:
        if line.flagged_units:
            return "overallocated"
        had += line.reserved_units + line.consumed_units
        wanted += line.wanted_units
    if not had:
        return "could_not_allocate"
    return "allocated" if had >= wanted else "partially_allocated"


def _lines(state: DemandState) -> tuple[AllocatedLine, ...]:
    lines, pieces, shortages = [], PIECES_TOLD, SHORTAGES_TOLD
    seen, alternative = state.seen, state.terms.alternative
    for line in state.terms.lines:
        made = _line(line, seen.get((line.sku, alternative)), pieces=pieces > 0, shortage=shortages > 0)
        pieces -= len(made.pieces)
        shortages -= made.shortage is not None
        lines.append(made)
    return tuple(lines)


def _line(line: TermLine, outcome: Outcome | None, *, pieces: bool, shortage: bool) -> AllocatedLine:
    sku, units, _ = line
    if outcome is None:
        return AllocatedLine(sku=sku, wanted_units=units, reserved_units=0, flagged_units=0, waiting_units=0, consumed_units=0)
    return AllocatedLine(
        sku=sku,
        wanted_units=units,
        reserved_units=outcome.reserved_units,
        flagged_units=outcome.flagged_units,
        waiting_units=outcome.waiting_units,
        consumed_units=outcome.consumed_units,
        pieces=outcome.pieces if pieces and len(outcome.pieces) <= PIECES_TOLD else (),
        shortage=outcome.shortage if shortage else None,
    )


def _refusal(state: DemandState) -> str | None:
    """The refusal of the first SKU in their order, whichever came first, and how many others there are."""
    if not state.refusals:
        return None
    first, others = min(state.refusals), len(state.refusals) - 1
    text = state.refusals[first]
    return (f"{text} (and {others} more)" if others else text)[:_REFUSAL_LENGTH]


def _digest(version: int, answer: str, picking: str, refusal: str | None, lines: tuple[AllocatedLine, ...]) -> str:
    """A fingerprint of what a reader would see change. The explanation of a shortage is left out: it differs with every movement at
    the SKU, and thousands of waiting demands would tell it again and again. SKUs and units wanted are those of the version. Written as
    plain text: as the `repr` of a list it took half as long again. The refusal comes last, because it may hold anything."""
    seen = f"{version} {answer} {picking}"
    for line in lines:
        seen += f",{line.reserved_units} {line.flagged_units} {line.waiting_units} {line.consumed_units}"
        for piece in line.pieces:
            seen += f" {piece.record}*{piece.units}"
    return hashlib.blake2b(f"{seen},{refusal}".encode(), digest_size=12).hexdigest()
