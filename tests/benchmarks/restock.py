"""Restocks of a SKU that many wait for: how soon the first is served, and how many a second."""

import itertools
import time
from collections.abc import Sequence
from datetime import timedelta
from random import Random

from shared.schemas import topics
from shared.schemas.events import Demand, OrderChanged
from shared.schemas.values import DemandKind, Fill, Line, Wish, demand_id
from shared.schemas.wire import Envelope, Record, encode, partition_of
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import AT, MERCHANT, PARTITIONS, WAREHOUSE, Stand, Watched, of_the_machine, receipt, stand
from tests.benchmarks.stock_side import packed_reserves
from tests.benchmarks.workloads import picker

SCARCE = "SCARCE"
WAITING_LINES, WAITING_DEMANDS = 100_000, 10_000
RESTOCKS, RESTOCK_UNITS = 20, 5
SERVED = b'"reserved_units":1'


async def first_served(
    dsn: str,
    bootstrap: str,
    waiting: int = WAITING_LINES,
    units: int = RESTOCK_UNITS,
    names: Sequence[str] = (SCARCE,),
    watched: Watched = of_the_machine,
) -> Measurement:
    """So many lines of one unit wait on each of these SKUs. A few units of one after the other come: seconds from the receipt's writing
    until the outcome of a line that it serves was read, and the memory that the allocator had in use."""
    async with stand(dsn, bootstrap) as here:
        here.start("stock")
        await here.fill_shelves(skus=100)
        outcomes, turns = await here.counter(topics.OUTCOMES, b'"type":"outcome"'), itertools.cycle(names)
        try:
            await here.write(topics.RESERVATIONS, packed_reserves(lambda: [next(turns)], waiting * len(names)))
            await outcomes.reach(waiting * len(names))
        finally:
            await outcomes.close()
        served, latencies, turns = await here.counter(topics.OUTCOMES, SERVED), list[float](), itertools.cycle(names)
        try:
            watch = watched(here)
            for number in range(1, RESTOCKS + 1):
                began = time.perf_counter()
                await _restock(here, number, units, next(turns))
                await served.reach((number - 1) * units + 1)
                latencies.append(time.perf_counter() - began)
                await served.reach(number * units)
        finally:
            await served.close()
        return watch.measured(RESTOCKS * units, latencies, here.peak_memory_mib())


async def all_or_nothing(dsn: str, bootstrap: str) -> Measurement:
    """Demands of three SKUs wait on one of them; units for all come: how many a second are told that they are allocated. Two allocators,
    as in the whole flow."""
    async with stand(dsn, bootstrap) as here:
        here.start("allocator")
        here.start("allocator-2")
        await here.fill_shelves()
        waiting = await here.counter(topics.ALLOCATIONS, b'"outcome":"could_not_allocate"')
        try:
            await here.write(topics.ORDERS, _orders(WAITING_DEMANDS))
            await waiting.reach(WAITING_DEMANDS)
        finally:
            await waiting.close()
        allocated = await here.counter(topics.ALLOCATIONS, b'"outcome":"allocated"')
        try:
            watch = Stopwatch()
            await _restock(here, 1, WAITING_DEMANDS)
            await allocated.reach(WAITING_DEMANDS)
            return watch.measured(WAITING_DEMANDS)
        finally:
            await allocated.close()


async def _restock(here: Stand, number: int, units: int, name: str = SCARCE) -> None:
    await here.write(topics.INVENTORY, [receipt(f"restock-{number}", name, units, Envelope("inventory/1/1", number))])


def _orders(count: int) -> list[tuple[int, Record]]:
    pick, found = picker("uniform", 2, Random(1)), []
    for number in range(count):
        name = f"SO-{number:08d}"
        demand = Demand(
            id=demand_id(DemandKind.SALES_ORDER, MERCHANT, name),
            merchant=MERCHANT,
            version=1,
            wish=Wish.STOCK,
            lines=tuple(Line(sku=sku, units=1) for sku in sorted([SCARCE, *pick()])),
            fill=Fill.ALL_OR_NOTHING,
            warehouses=(WAREHOUSE,),
            demanded_at=AT + timedelta(milliseconds=number),
        )
        order = OrderChanged(demand=demand, number=name, status="awaiting_fulfillment", changed_at=AT)
        record = encode(order, key=demand.id, envelope=Envelope("orders/0/1", number + 1), time=AT)
        found.append((partition_of(demand.id, PARTITIONS), record))
    return found
