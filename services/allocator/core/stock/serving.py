"""Serving the waiters of a SKU after a rise: lines directly, all-or-nothing demands by waking them with a baton."""

from datetime import timedelta

from services.allocator.core.stock.answers import tell
from services.allocator.core.stock.backing import back
from services.allocator.core.stock.choosing import choose_allotted, free_by_warehouse
from services.allocator.core.stock.claims import claim
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.state import Baton, Reservation, SkuStock
from shared.schemas.events import Wake
from shared.schemas.topics import OUTCOMES
from shared.schemas.values import Fill


def serve(draft: Draft, sku: SkuStock) -> None:
    """Give to waiters in queue order, at most `serve_limit` of them; the rest goes on in a batch that is due at once."""
    _continue_at(draft, sku, again=False)
    if not sku.waiting_count:
        return
    assert sku.complete, "serving needs every waiter of the SKU"
    free = free_by_warehouse(sku, draft.today)
    served: list[tuple[Reservation, list[tuple[str, int]]]] = []
    woken: list[Reservation] = []
    again = _pick(draft, sku, free, served, woken)
    for waiter, allotment in served:
        _give(draft, sku, waiter, allotment)
    for waiter in woken:
        _wake(draft, sku, waiter)
    _continue_at(draft, sku, again=again)


def _pick(
    draft: Draft,
    sku: SkuStock,
    free: dict[str, int],
    served: list[tuple[Reservation, list[tuple[str, int]]]],
    woken: list[Reservation],
) -> bool:
    """Who gets what. True: more could be served than the limit allows.

    The walk ends where nobody else may be served or woken: all-or-nothing demands beyond the window are ten thousand, and every baton
    that comes back asks for the next.
    """
    ranks, left, lines = sku.queue.in_order(free)
    out = sum(not baton.expired for baton in sku.batons.values())
    for rank in ranks:
        if not left or not (lines or _is_open(sku, out)):
            break
        waiter = sku.reservations[rank[2], rank[3]]
        waits_for_baton = waiter.fill is Fill.ALL_OR_NOTHING
        lines -= not waits_for_baton
        allotment = claim(sku, waiter, free)
        if not allotment:
            continue
        may_wake = waits_for_baton and _may_wake(sku, waiter, out)
        if (may_wake or not waits_for_baton) and len(served) + len(woken) >= draft.settings.serve_limit:
            return True
        for _, units in allotment:
            left -= units
        if not waits_for_baton:
            served.append((waiter, allotment))
        elif may_wake:
            out += 1
            woken.append(waiter)
    return False


def _may_wake(sku: SkuStock, waiter: Reservation, out: int) -> bool:
    return waiter.key not in sku.batons and _is_open(sku, out)


def _is_open(sku: SkuStock, out: int) -> bool:
    return out < sku.wake_window


def _give(draft: Draft, sku: SkuStock, waiter: Reservation, allotment: list[tuple[str, int]]) -> None:
    units = sum(part for _, part in allotment)
    if units == waiter.waiting:
        draft.dequeue(sku, waiter)
    else:
        sku.queue.lower(waiter.warehouses, units)
        waiter.waiting -= units
    back(draft, sku, waiter, choose_allotted(sku, allotment, waiter.strategy, draft.today))
    tell(draft, sku, waiter)


def _wake(draft: Draft, sku: SkuStock, waiter: Reservation) -> None:
    sku.baton_seq += 1
    sku.batons[waiter.key] = Baton(sku.baton_seq, draft.now + timedelta(seconds=draft.settings.baton_seconds))
    draft.changed_queue(sku)
    draft.changed_baton(sku, waiter.key)
    demand, alternative = waiter.key
    wake = Wake(demand=demand, merchant=sku.key[0], sku=sku.key[1], alternative=alternative, attempt=waiter.attempt, baton=sku.baton_seq)
    draft.send(OUTCOMES.name, demand, wake)


def _continue_at(draft: Draft, sku: SkuStock, *, again: bool) -> None:
    continue_at = draft.now if again else None
    if sku.continue_at != continue_at:
        sku.continue_at = continue_at
        draft.changed_queue(sku)
    draft.continuations[sku.key] = continue_at
