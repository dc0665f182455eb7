"""Nobody jumps the queue: what is left for a place in it."""

from collections.abc import Mapping
from datetime import date

from services.allocator.core.stock.choosing import allot, free_by_warehouse, free_units
from services.allocator.core.stock.state import Reservation, SkuStock, Spent
from services.allocator.core.stock.waiting import Rank
from shared.schemas.values import Fill


def has_room_for_everybody(sku: SkuStock, warehouse: str, units: int, today: date) -> bool:
    """Whether these units are free in the warehouse even if everybody who may draw on it takes there all that they wait for. Then it does
    not matter who is better placed, and a demand that a restock woke need not walk past the thousand that it woke before."""
    wanted = units + sku.queue.units_on(warehouse)
    return free_units(sku, (warehouse,), wanted, today) >= wanted


def free_for(sku: SkuStock, rank: Rank, today: date) -> dict[str, int]:
    """Free units by warehouse that are left for `rank` after the better placed waiters that fit have had theirs, woken or not."""
    spent = sku.spent
    if spent is not None and spent.ledger_version == sku.ledger_version and spent.rank < rank:
        return dict(spent.left)
    free = free_by_warehouse(sku, today)
    if free and sku.waiting_count:
        _subtract_claims(sku, free, rank)
    return free


def _subtract_claims(sku: SkuStock, free: dict[str, int], before: Rank) -> None:
    """Takes out of `free` what the waiters better placed than `before` are about to get.

    Where they use up all that they may draw on, that is remembered: hundreds of newcomers behind ten thousand waiters that a restock is
    about to serve would walk past them one by one.
    """
    ranks, warehouses = sku.queue.in_order(free)
    left = sum([free.get(warehouse, 0) for warehouse in warehouses])
    for rank in ranks:
        if rank >= before:
            return
        waiter = sku.reservations[rank[2], rank[3]]
        if has_claim(sku, waiter, free):
            left -= sum([units for _, units in allot(free, waiter.warehouses, waiter.waiting)])
            if not left:
                sku.spent = Spent(sku.ledger_version, rank, dict(free))
                return


def has_claim(sku: SkuStock, waiter: Reservation, free: dict[str, int]) -> bool:
    """Whether it would take from what is free. One whose baton has expired has no claim until the baton returns."""
    if waiter.fill is Fill.PARTIAL:
        return True
    baton = sku.batons.get(waiter.key)
    return not (baton and baton.expired) and waiter.waiting <= left_for(free, waiter.warehouses)


def left_for(free: Mapping[str, int], warehouses: tuple[str, ...]) -> int:
    """Free units of these warehouses together."""
    return sum([free.get(warehouse, 0) for warehouse in warehouses])
