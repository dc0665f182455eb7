"""Splitting an order (002-23): what is ready stays and can be shipped now, the rest becomes an order of its own and waits on."""

from dataclasses import dataclass
from datetime import datetime

from services.orders.core.announcing import changed
from services.orders.core.decider import next_standing
from services.orders.core.model import Changed, Happening, Key, Order, Pending, Refused, Standing, Step
from services.orders.core.permitted import Action, refusal
from shared.schemas.values import Line, Wish


@dataclass(frozen=True, slots=True)
class Split:
    """Both halves of an accepted split."""

    kept: Changed
    rest: Changed


def split(order: Order, number: str, by: str, now: datetime) -> Split | Refused:
    """Keep in the order the units that are reserved and there, and move the others to a new order of that number, which keeps the
    priority and the date, and so the place in every queue. The value of the halves is not known. A channel that sent the order does
    not know of the halves: from now on it is edited here."""
    if refused := refusal(order.standing, Action.SPLIT):
        return refused
    if number == order.key.number:
        return Refused("number_taken", "the rest needs a number of its own", "give it another number, or none", "number")
    ready = {line.sku: line.reserved_units - line.flagged_units for line in order.allocated_lines}
    kept = tuple(line.but(units=min(ready[line.sku], line.units)) for line in order.details.lines if ready.get(line.sku))
    rest = tuple(_without(line, ready.get(line.sku, 0)) for line in order.details.lines if line.units > ready.get(line.sku, 0))
    if not kept or not rest:
        detail = "none of its units is ready" if rest else "all of its units are ready"
        return Refused("nothing_to_split", detail, "wait until the allocator has said what is missing", "allocation_status")
    return Split(_keep(order, kept, number, by, now), _move(order, rest, number, by, now))


def _without(line: Line, ready: int) -> Line:
    return line.but(units=line.units - ready)


def _keep(order: Order, lines: tuple[Line, ...], number: str, by: str, now: datetime) -> Changed:
    skus = {line.sku for line in lines}
    kept = order.but(
        details=order.details.but(lines=lines, value_minor_units=None),
        standing=next_standing(order, wish=Wish.STOCK, step=Step.ALLOCATION),
        changed_at=now,
        allocated_lines=tuple(line for line in order.allocated_lines if line.sku in skus),
        channel_version=None,
    )
    return changed(order, kept, Happening.SPLIT, by, {"rest": number})


def _move(order: Order, lines: tuple[Line, ...], number: str, by: str, now: datetime) -> Changed:
    standing = Standing(version=1, status=order.status, wish=Wish.STOCK, pending=Pending(Step.ALLOCATION, 1))
    rest = Order(
        key=Key(order.key.merchant, number),
        standing=standing,
        details=order.details.but(lines=lines, value_minor_units=None),
        created_at=now,
        changed_at=now,
        split_from=order.key.number,
    )
    return changed(None, rest, Happening.SPLIT, by, {"from": order.key.number})
