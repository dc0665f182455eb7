"""Nobody jumps the queue: what is left for a place in it."""

from collections.abc import Mapping
from datetime import date

from services.allocator.core.stock.choosing import allot, free_by_warehouse, free_units
from services.allocator.core.stock.state import Reservation, SkuStock, Walked
from services.allocator.core.stock.waiting import Rank
from shared.schemas.values import Fill


def has_room_for_everybody(sku: SkuStock, warehouse: str, units: int, today: date) -> bool:
    """Whether these units are free in the warehouse even if everybody who may draw on it takes there all that they wait for. Then it does
    not matter who is better placed, and a demand that a restock woke need not walk past the thousand that it woke before."""
    wanted = units + sku.queue.units_on(warehouse)
    return free_units(sku, (warehouse,), wanted, today) >= wanted


def free_for(sku: SkuStock, rank: Rank, today: date) -> dict[str, int]:
    """Free units by warehouse that are left for `rank` after the better placed waiters that fit have had theirs, woken or not.

    Goes on from where it ended last, as long as that still holds: hundreds of newcomers behind ten thousand waiters, or hundreds of woken
    demands in the order of the queue, would each walk past all that are before them.
    """
    walked = sku.walked
    if walked is not None and walked.ledger_version == sku.ledger_version and walked.rank < rank:
        free, after = dict(walked.left), walked.rank
    else:
        free, after = free_by_warehouse(sku, today), None
    if free and sku.waiting_count:
        _subtract_claims(sku, free, after, rank)
    return free


def remember_left(sku: SkuStock, rank: Rank, left: Mapping[str, int]) -> None:
    """Whoever stands at `rank` has all that it wanted by now, and `left` is what that left for those behind it. What it got was left for
    it by those before it, so they still get the same."""
    sku.walked = Walked(sku.ledger_version, rank, dict(left))


def _subtract_claims(sku: SkuStock, free: dict[str, int], after: Rank | None, before: Rank) -> None:
    """Takes out of `free` what the waiters between `after` and `before` are about to get, and remembers how far it went."""
    ranks, left, _ = sku.queue.in_order(free, after)
    last = None
    for rank in ranks:
        if rank >= before or not left:
            break
        last = rank
        for _, units in claim(sku, sku.reservations[rank[2], rank[3]], free):
            left -= units
    if last is not None:
        remember_left(sku, last, free)


def claim(sku: SkuStock, waiter: Reservation, free: dict[str, int]) -> list[tuple[str, int]]:
    """Take what it is about to get out of `free`: by warehouse. Nearly everybody takes all in the first."""
    if is_away(sku, waiter):
        return []
    units, first = waiter.waiting, waiter.warehouses[0]
    there = free.get(first, 0)
    if units <= there:
        free[first] = there - units
        return [(first, units)]
    if waiter.fill is not Fill.PARTIAL and left_for(free, waiter.warehouses) < units:
        return []
    return allot(free, waiter.warehouses, units)


def is_away(sku: SkuStock, waiter: Reservation) -> bool:
    """Whether its baton has expired: it has no claim until that returns."""
    if waiter.fill is Fill.PARTIAL or not sku.batons:
        return False
    baton = sku.batons.get(waiter.key)
    return baton is not None and baton.expired


def left_for(free: Mapping[str, int], warehouses: tuple[str, ...]) -> int:
    """Free units of these warehouses together."""
    return sum([free.get(warehouse, 0) for warehouse in warehouses])
