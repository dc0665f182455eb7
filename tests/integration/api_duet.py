"""The HTTP API and the naive model, told the same, and compared at rest by what a merchant sees."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from copy import deepcopy
from itertools import permutations, product
from typing import Any, NamedTuple

from tests.integration.api_of_merchant import Answer, Merchant
from tests.models.orders import STATUS_FOR, Order, Orders

PATIENCE_SECONDS = 20.0
View = dict[str, Any]


class Told(NamedTuple):
    """One command to both. `does` answers with the status that HTTP would have."""

    sends: Callable[[], Coroutine[Any, Any, Answer]]
    does: Callable[[Orders], int]


async def tell(merchant: Merchant, model: Orders, told: Sequence[Told]) -> Orders:
    """Send the commands at once and wait until what the merchant sees is what may come of them. The model that it is like."""
    answers = await asyncio.gather(*[one.sends() for one in told])
    statuses = [200 if status == 202 else status for status, _ in answers]
    possible = list(_each_once(_afterwards(model, told), statuses))
    seen: View = {}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                seen = await seen_by(merchant, list(possible[0].orders) if possible else [])
                for one in possible:
                    if view_of(one) == seen:
                        return one
                await asyncio.sleep(0.01)
    except TimeoutError:
        views = "".join(f"\n  model   {view_of(one)}" for one in possible)
        raise AssertionError(f"\n  answers {statuses}: {[body for _, body in answers]}\n  product {seen}{views}") from None


def _afterwards(model: Orders, told: Sequence[Told]) -> Iterator[tuple[list[int], Orders]]:
    """What may be answered and come of it: the commands in any order; whoever waits is served SKU by SKU in any order; between two
    commands that may have happened, or only lines are served while who takes all or nothing is on the way, or nobody is, as in one batch;
    and orders may or may not have heard of it."""
    skus, between = sorted(model.demands.skus), ("all", "lines", "nobody") if len(told) > 1 else ("all",)
    for in_turn, in_order, served, heard in product(permutations(range(len(told))), permutations(skus), between, (True, False)):
        after, statuses = deepcopy(model), [0] * len(told)
        for at in in_turn:
            statuses[at] = told[at].does(after)
            _go_on(after, in_order, served, heard=heard)
        _go_on(after, in_order, "all", heard=True)
        yield statuses, after


def _go_on(model: Orders, skus: tuple[str, ...], served: str, *, heard: bool) -> None:
    """Twice, because what orders hear may make them ask again."""
    for _ in range(2):
        if served != "nobody":
            model.demands.serve(skus, woken=served == "all")
        if heard:
            model.learn()


def _each_once(possible: Iterator[tuple[list[int], Orders]], statuses: list[int]) -> Iterator[Orders]:
    """Those in which the commands were answered so, each view once."""
    views: list[View] = []
    for answered, model in possible:
        if answered == statuses and (view := view_of(model)) not in views:
            views.append(view)
            yield model


# ---------------------------------------------------------------- what is seen


async def seen_by(merchant: Merchant, numbers: Sequence[str]) -> View:
    """As the merchant sees it, one order from this process and the next from the other."""
    orders = await asyncio.gather(*[merchant.read(f"/orders/{number}", at=at % 2) for at, number in enumerate(numbers)])
    records = (await merchant.read_stock("/records"))["items"]
    return {
        "orders": {order["number"]: _seen(order) for order in orders},
        "records": {(one["sku"], one["warehouse"]): (one["on_hand"], one["allocated"], one["available"]) for one in records},
    }


def _seen(order: Any) -> Any:
    lines = {
        line["sku"]: (line["units"], line["reserved_units"], line["flagged_units"], line["waiting_units"], line["consumed_units"])
        for line in order["lines"]
    }
    axes = order["version"], order["status"], order["allocation_status"], order["display_status"], order["pending"]
    reason = order["cancellation"]["reason"] if order["cancellation"] else None
    return (*axes, order["refusal"] is not None, reason, sorted(set(order["actions"]) - {"split"}), lines)


def view_of(model: Orders) -> View:
    """As a merchant would see the model."""
    records = {}
    for sku, stock in model.demands.skus.items():
        for record in stock.records:
            allocated = sum(line.units.count(record) + line.flagged.count(record) for line in stock.lines.values())
            records[sku, record.warehouse] = (record.on_hand, allocated, record.on_hand - allocated)
    return {"orders": {number: _view(model, order) for number, order in model.orders.items()}, "records": records}


def _view(model: Orders, order: Order) -> Any:
    demand, lines = model.demands.demands[order.number], {}
    for sku, units in order.terms.units:
        line = model.demands.line(demand, sku)
        lines[sku] = (units, line.reserved, len(line.flagged), line.waiting, line.consumed)
    actions = sorted(action for action in STATUS_FOR if not model.refusal(order, action))
    return (order.version, order.status, order.stock, order.screen, order.asked, order.refused, order.reason, actions, lines)
