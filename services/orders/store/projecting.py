"""Folds answers of the allocator into the orders' rows, a batch at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Changed, Entry, Key, Order, Standing
from services.orders.core.projector import apply, line_allocation, project
from services.orders.store.driver import driver
from services.orders.store.rows import pieces_json, shortage_json, standing_of
from services.orders.store.saving import add_history, load, save
from shared.relay import Outbox
from shared.schemas.events import AllocatedLine, AllocationChanged

_STANDINGS = """
SELECT o.merchant, o.number, o.version, o.status, o.wish, o.pending_step, o.pending_version, o.allocation_status,
       o.allocation_version, o.allocation_demand_version, o.picking, o.refusal
  FROM orders.sales_order o JOIN unnest($1::text[], $2::text[]) AS k (merchant, number) USING (merchant, number)
 ORDER BY o.merchant, o.number FOR UPDATE OF o
"""
_SAVE_STANDINGS = """
UPDATE orders.sales_order o
   SET pending_step = n.pending_step, pending_version = n.pending_version, allocation_status = n.allocation_status,
       allocation_version = n.allocation_version, allocation_demand_version = n.allocation_demand_version, picking = n.picking
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
    AS n (merchant, number, pending_step, pending_version, allocation_status, allocation_version, allocation_demand_version, picking)
 WHERE o.merchant = n.merchant AND o.number = n.number
"""
_SAVE_LINES = """
UPDATE orders.line l
   SET reserved_units = n.reserved, flagged_units = n.flagged, waiting_units = n.waiting, consumed_units = n.consumed,
       pieces = n.pieces, shortage = n.shortage
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::jsonb[], $9::jsonb[])
    AS n (merchant, number, sku, reserved, flagged, waiting, consumed, pieces, shortage)
 WHERE l.merchant = n.merchant AND l.number = n.number AND l.sku = n.sku
"""


@dataclass(slots=True)
class _Folded:
    """What a batch made of one order. `changes` where a step ended that changes the order itself."""

    standing: Standing
    last: AllocationChanged | None = None
    entries: list[Entry] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    has_transition: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """`decided`: orders that an answer was folded into. `settled`: those of which nothing is pending now. `unknown`: no such order."""

    decided: tuple[Key, ...]
    settled: tuple[Key, ...]
    unknown: tuple[Key, ...]


async def project_batch(
    connection: AsyncConnection, outbox: Outbox, answers: Mapping[Key, Sequence[AllocationChanged]], now: datetime
) -> Projection:
    """Fold the answers, in any order and repeated as they may be, and save what came of them."""
    raw = await driver(connection)
    wanted = sorted((key.merchant, key.number) for key in answers)
    rows = await raw.fetch(_STANDINGS, [merchant for merchant, _ in wanted], [number for _, number in wanted])
    in_turn = {key: sorted(said, key=lambda answer: answer.version) for key, said in answers.items()}
    standings = {Key(row["merchant"], row["number"]): standing_of(row) for row in rows}
    folded = {key: _fold(standing, in_turn[key]) for key, standing in standings.items()}
    loud = [key for key, fold in folded.items() if fold.has_transition]
    orders = await load(connection, loud, lock=False) if loud else {}
    folded |= {key: _fold_order(orders[key], in_turn[key], now) for key in loud}
    news = {key: fold for key, fold in folded.items() if fold.last is not None}
    await _save(connection, raw, outbox, news)
    return Projection(
        decided=tuple(news),
        settled=tuple(key for key, fold in news.items() if fold.standing.pending is None),
        unknown=tuple(key for key in answers if key not in standings),
    )


def _fold(standing: Standing, answers: Iterable[AllocationChanged]) -> _Folded:
    folded = _Folded(standing)
    for answer in answers:
        projected = project(folded.standing, answer)
        if projected is not None:
            folded.standing, folded.last = projected.standing, answer
            folded.entries += [projected.entry] if projected.entry else []
            folded.has_transition = folded.has_transition or projected.transition is not None
    return folded


def _fold_order(order: Order, answers: Iterable[AllocationChanged], now: datetime) -> _Folded:
    """The same with the whole order at hand: a transition makes its next version, by which later answers are judged."""
    folded = _Folded(order.standing)
    before = order
    for answer in answers:
        projected = project(order.standing, answer)
        if projected is None:
            continue
        folded.last = answer
        folded.entries += [projected.entry] if projected.entry else []
        order = replace(order, standing=projected.standing, allocated_lines=tuple(map(line_allocation, answer.lines)))
        if projected.transition:
            change = apply(order, projected.transition, answer, now)
            folded.changes.append(replace(change, before=before))
            order = before = change.order
    folded.standing = order.standing
    if folded.changes:  # answers after the last transition change what is saved of it
        folded.changes[-1] = replace(folded.changes[-1], order=order)
    return folded


async def _save(connection: AsyncConnection, raw: Any, outbox: Outbox, news: Mapping[Key, _Folded]) -> None:
    quiet = [_standing_row(key, fold.standing) for key, fold in news.items() if not fold.changes]
    if quiet:
        await raw.execute(_SAVE_STANDINGS, *zip(*quiet, strict=True))
    lines = [_line_row(key, line) for key, fold in news.items() if fold.last for line in fold.last.lines]
    if lines:
        await raw.execute(_SAVE_LINES, *zip(*lines, strict=True))
    await add_history(connection, [(key, entry) for key, fold in news.items() for entry in fold.entries])
    await save(connection, outbox, [change for fold in news.values() for change in fold.changes])


def _standing_row(key: Key, standing: Standing) -> tuple[Any, ...]:
    pending = standing.pending
    return (
        key.merchant,
        key.number,
        pending.step if pending else None,
        pending.version if pending else None,
        standing.allocation_status,
        standing.allocation_version,
        standing.allocation_demand_version,
        standing.picking,
    )


def _line_row(key: Key, line: AllocatedLine) -> tuple[Any, ...]:
    return (
        key.merchant,
        key.number,
        line.sku,
        line.reserved_units,
        line.flagged_units,
        line.waiting_units,
        line.consumed_units,
        pieces_json(line.pieces),
        shortage_json(line.shortage),
    )


def by_order(answers: Iterable[AllocationChanged]) -> dict[Key, list[AllocationChanged]]:
    """Answers grouped by the order that they are about."""
    grouped: defaultdict[Key, list[AllocationChanged]] = defaultdict(list)
    for answer in answers:
        _, merchant, number = answer.demand.split("/", 2)
        grouped[Key(merchant, number)].append(answer)
    return dict(grouped)
