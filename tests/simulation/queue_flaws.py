"""Planted bugs of reservations and of the queue at one SKU: attempts, tombstones, places, batons, picking marks."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from services.allocator.core.stock import backing, claims, holding, reserving, serving
from services.allocator.core.stock import fold as stock_fold
from services.allocator.core.stock.choosing import free_by_warehouse
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.state import Reservation, SkuStock
from shared.schemas.commands import MarkPicking, Release, ReserveChain, ReserveLine, ReturnBaton
from shared.schemas.events import Wake
from shared.schemas.topics import OUTCOMES
from tests.simulation.flaw import Flaw, flaw, nothing

# ---------------------------------------------------------------- attempts and tombstones


def _whatever_its_attempt(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, for which every attempt is newer than what is there."""

    def take(draft: Draft, sku: SkuStock, command: Any) -> Any:
        there = sku.reservations.get((command.demand, command.alternative))
        if there is not None:
            there.attempt = min(there.attempt, command.attempt - 1)
        return handler(draft, sku, command)

    return take


def _no_tombstone(draft: Draft, sku: SkuStock, command: Release) -> None:
    if (command.demand, command.alternative) in sku.reservations:
        holding.release(draft, sku, command)


def _release_and_forget(draft: Draft, sku: SkuStock, command: Release) -> None:
    holding.release(draft, sku, command)
    reservation = sku.reservations[command.demand, command.alternative]
    if reservation.attempt == command.attempt:
        draft.forget_reservation(sku, reservation)


def _adopt_nothing(draft: Draft, sku: SkuStock, reservation: Reservation, want: Any) -> None:
    backing.drop(draft, sku, reservation)
    reserving._ask(reservation, want)
    backing.settle(draft, sku, silent=reservation)
    draft.serve_later(sku)


_ATTEMPTS: Sequence[type[Flaw]] = (
    flaw(
        "AttemptsAreIgnored",
        "A reserve command of an older attempt, or of the present one once more, is carried out instead of being refused.",
        (stock_fold.HANDLERS, ReserveLine, _whatever_its_attempt(reserving.reserve_line)),
        (stock_fold.HANDLERS, ReserveChain, _whatever_its_attempt(reserving.reserve_stop)),
    ),
    flaw(
        "ReleaseWithoutTombstone",
        "A release that comes before its chain leaves nothing behind that refuses the chain.",
        (stock_fold.HANDLERS, Release, _no_tombstone),
    ),
    flaw(
        "TombstoneGoesWithTheRelease",
        "What is released is forgotten at once, and with it the attempt that may still be under way.",
        (stock_fold.HANDLERS, Release, _release_and_forget),
    ),
    flaw(
        "EditAdoptsNothing",
        "A new attempt gives back what an older one reserved, and stands in the queue for it.",
        (reserving, "_adopt", _adopt_nothing),
    ),
    flaw(
        "ShortStopKeepsWhatItHas",
        "A stop of a chain that finds too little keeps what an older attempt reserved there.",
        (reserving, "drop", nothing),
    ),
)

# ---------------------------------------------------------------- the queue


def _newcomer(sku: Any, rank: Any, today: Any) -> dict[str, int]:
    return free_by_warehouse(sku, today)


def _without_serving(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, without letting waiters be served afterwards."""

    def quietly(draft: Draft, sku: Any, command: Any) -> Any:
        before = dict(draft.to_serve)
        result = function(draft, sku, command)
        draft.to_serve.clear()
        draft.to_serve.update(before)
        return result

    return quietly


def _changed_queue_alone(self: Draft, sku: Any, reservation: Reservation) -> None:
    self.changed_queue(sku)


def _all_is_left(sku: Any, rank: Any, left: Any) -> None:
    claims.remember_left(sku, rank, free_by_warehouse(sku, date.min))


_QUEUE: Sequence[type[Flaw]] = (
    flaw("NewcomerJumpsTheQueue", "A newcomer takes what those who wait are about to get.", (reserving, "free_for", _newcomer)),
    flaw(
        "ReleaseWakesNobody",
        "After a release nobody who waits is served.",
        (stock_fold.HANDLERS, Release, _without_serving(holding.release)),
    ),
    flaw(
        "ContinuationIsForgotten",
        "Where more wait than one batch may serve, the rest is not served in the next.",
        (serving, "_continue_at", nothing),
    ),
    flaw(
        "LeftIsRememberedTooLong",
        "What the waiters up to a place leave stays remembered when one of them leaves.",
        (Draft, "_changed_claims", _changed_queue_alone),
    ),
    flaw(
        "WhoIsServedLeavesEverything",
        "All that is free behind a demand that got what it wanted counts as left, whatever those before it are about to get.",
        (reserving, "remember_left", _all_is_left),
    ),
)

# ---------------------------------------------------------------- batons


def _wake_without_baton(draft: Draft, sku: SkuStock, waiter: Reservation) -> None:
    sku.baton_seq += 1
    draft.changed_queue(sku)
    (demand, alternative), (merchant, name) = waiter.key, sku.key
    wake = Wake(
        demand=demand, merchant=merchant, sku=name, alternative=alternative, attempt=waiter.attempt, baton=sku.baton_seq
    )  # fmt: skip
    draft.send(OUTCOMES.name, demand, wake)


_BATONS: Sequence[type[Flaw]] = (
    flaw(
        "WokenWithoutBaton",
        "Who waits is woken without a baton, so nobody notes that it is awake.",
        (serving, "_wake", _wake_without_baton),
    ),
    flaw(
        "TwoBatonsForOne",
        "Who has been woken and has not answered yet is woken again with another baton.",
        (serving, "_may_wake", lambda sku, waiter, out: serving._is_open(sku, out)),
    ),
    flaw(
        "AllAreWokenAtOnce",
        "More are woken at once than the window of the SKU allows.",
        (serving, "_is_open", lambda sku, out: True),
    ),
    flaw(
        "ReturnedBatonWakesNobody",
        "When a baton comes back, the next who waits is not woken.",
        (stock_fold.HANDLERS, ReturnBaton, _without_serving(holding.return_baton)),
    ),
    flaw(
        "ExpiredBatonsKeepTheirClaim",
        "Who was woken and never answered keeps its claim on what is free.",
        (claims, "is_away", lambda sku, waiter: False),
    ),
)

# ---------------------------------------------------------------- picking


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


_PICKING: Sequence[type[Flaw]] = (
    flaw(
        "MarkIsNotRefused",
        "A picking mark that can not be set is not answered at all.",
        (stock_fold.HANDLERS, MarkPicking, _mark_unanswered),
    ),
    flaw(
        "FlaggedIsMarked",
        "What has no stock behind it is marked as being picked.",
        (stock_fold.HANDLERS, MarkPicking, _mark_flagged),
    ),
)

QUEUE_FLAWS: Sequence[type[Flaw]] = (*_ATTEMPTS, *_QUEUE, *_BATONS, *_PICKING)
