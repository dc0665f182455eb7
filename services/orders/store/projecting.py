"""Folds answers of the allocator into the orders, a batch at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Changed, Entry, Key, Order, Standing
from services.orders.core.projector import apply, line_allocation, project
from services.orders.store.allocations import Told, load_standings, save_told
from services.orders.store.driver import driver
from services.orders.store.runs import end_orders, started_among
from services.orders.store.saving import add_history, load, save
from services.orders.store.unanswered import Unanswered
from shared.relay import Outbox
from shared.schemas.events import AllocationChanged


@dataclass(slots=True)
class _Folded:
    """What a batch made of one order. `known`: the version of the allocation that it was folded into. `last`: the newest answer, null
    where there was none. `changes` where a step ended that changes the order itself."""

    known: int
    standing: Standing
    last: AllocationChanged | None = None
    entries: list[Entry] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    has_transition: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """`decided`: demands of which an answer was folded into the order. `unknown`: there is no such order. `runs`: those that moved on."""

    decided: Sequence[str]
    unknown: Sequence[Key]
    runs: Sequence[str]


async def project_batch(
    connection: AsyncConnection, outbox: Outbox, answers: Sequence[AllocationChanged], unanswered: Unanswered | None, now: datetime
) -> Projection:
    """Fold the answers, in any order and repeated as they may be, and save what came of them. `unanswered`: orders that need not be
    looked up. Raises Overtaken: the same again, without it."""
    raw = await driver(connection)
    in_turn = _by_order(answers)
    remembered = unanswered.take(in_turn) if unanswered is not None else {}
    found, a_run_waits = await load_standings(raw, [key for key in in_turn if key not in remembered])
    standings = remembered | found
    folded = {key: _fold(standings[key], in_turn[key]) for key in in_turn if key in standings}
    loud = [key for key, fold in folded.items() if fold.has_transition]
    orders = await load(connection, loud, lock=True) if loud else {}
    folded |= {key: _fold_order(order, in_turn[key], now) for key, order in orders.items()}
    news = {key: fold for key, fold in folded.items() if fold.last is not None}
    await _save(connection, outbox, news)
    return Projection(
        decided=[fold.last.demand for fold in news.values() if fold.last],
        unknown=[key for key in in_turn if key not in standings],
        runs=await _end_orders(connection, outbox, news, now) if a_run_waits else (),
    )


def _by_order(answers: Iterable[AllocationChanged]) -> dict[Key, list[AllocationChanged]]:
    """Answers by the order that they are about, in turn; the orders in the order of their keys, as all lock and insert them."""
    grouped: defaultdict[str, list[AllocationChanged]] = defaultdict(list)
    for answer in answers:
        grouped[answer.demand].append(answer)
    found = {}
    for demand in sorted(grouped):
        _, merchant, number = demand.split("/", 2)
        found[Key(merchant, number)] = sorted(grouped[demand], key=lambda answer: answer.version)
    return found


def _fold(standing: Standing, answers: Iterable[AllocationChanged]) -> _Folded:
    folded = _Folded(standing.allocation_version, standing)
    for answer in answers:
        projected = project(folded.standing, answer)
        if projected is not None:
            folded.standing, folded.last = projected.standing, answer
            folded.entries += [projected.entry] if projected.entry else []
            folded.has_transition = folded.has_transition or projected.transition is not None
    return folded


def _fold_order(order: Order, answers: Iterable[AllocationChanged], now: datetime) -> _Folded:
    """The same with the whole order at hand: a transition makes its next version, by which later answers are judged."""
    folded = _Folded(order.standing.allocation_version, order.standing)
    before = order
    for answer in answers:
        projected = project(order.standing, answer)
        if projected is None:
            continue
        folded.last = answer
        folded.entries += [projected.entry] if projected.entry else []
        order = order.but(standing=projected.standing, allocated_lines=tuple(map(line_allocation, answer.lines)))
        if projected.transition:
            change = apply(order, projected.transition, answer, now)
            folded.changes.append(change.but(before=before))
            order = before = change.order
    folded.standing = order.standing
    if folded.changes:  # answers after the last transition change what is saved of it
        folded.changes[-1] = folded.changes[-1].but(order=order)
    return folded


async def _end_orders(connection: AsyncConnection, outbox: Outbox, news: Mapping[Key, _Folded], now: datetime) -> list[str]:
    """Let runs go on that waited for one of these orders. Such an order is locked and looked at again: a run that has started it since
    its standing was read waits for the next answer."""
    settled = [key for key, fold in news.items() if fold.standing.pending is None]
    started = await started_among(connection, settled)
    locked, _ = await load_standings(await driver(connection), started, lock=True)
    return await end_orders(connection, outbox, [key for key, standing in locked.items() if standing.pending is None], now)


async def _save(connection: AsyncConnection, outbox: Outbox, news: Mapping[Key, _Folded]) -> None:
    told: dict[Key, Told] = {}
    entries: list[tuple[Key, Entry]] = []
    for key, fold in news.items():
        assert fold.last is not None, "news are answers"
        with_answer = fold.entries[:1] if not fold.known else []
        told[key] = Told(fold.known, fold.standing, fold.last.lines, with_answer[0] if with_answer else None)
        entries += [(key, entry) for entry in fold.entries[len(with_answer) :]]
    await save_told(await driver(connection), told)
    await add_history(connection, entries)
    await save(connection, outbox, [change for fold in news.values() for change in fold.changes])
