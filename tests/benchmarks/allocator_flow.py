"""The whole flow of orders: from orders lying in `earmark.order-intake` to `allocated` acknowledged in `earmark.allocations` and
stored where the orders API reads it. One process of orders; two allocators, which share the state partitions as the group deals them out:
one alone is busy for most of the time while the second core waits for it. The yardstick begins to count after half a second; here some
orders go through before those that count, so that no connection makes its plans within the measured time.
"""

import asyncio
from datetime import timedelta
from random import Random

from shared.schemas import topics
from shared.schemas.intake import OrderIntake
from shared.schemas.values import Line
from shared.schemas.wire import Envelope, Record, encode, partition_of
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import AT, MERCHANT, PARTITIONS, SETTLE_SECONDS, STUCK_SECONDS, WAREHOUSE, Stand, stand
from tests.benchmarks.workloads import picker

ORDERS = 20_000
WARM_ORDERS = 2_000
_SHOWN = "SELECT count(*) FROM orders.allocation WHERE status = 'allocated'"


async def measure(dsn: str, bootstrap: str, lines: int, orders: int = ORDERS) -> Measurement:
    """Run it once, on tables of its own."""
    work = _orders(lines, WARM_ORDERS + orders)
    async with stand(dsn, bootstrap) as here:
        await here.start("services.console.serve", "allocator")
        await here.start("services.console.serve", "allocator-2")
        await here.start("services.console.serve", "orders")
        await here.fill_shelves()
        await here.write(topics.ORDER_INTAKE, work[:WARM_ORDERS])
        await _shown(here, WARM_ORDERS)
        await asyncio.sleep(SETTLE_SECONDS)
        allocated = await here.counter(topics.ALLOCATIONS, b'"outcome":"allocated"')
        try:
            here.freeze()
            await here.write(topics.ORDER_INTAKE, work[WARM_ORDERS:])
            watch = Stopwatch()
            here.thaw()
            await allocated.acknowledged(orders)
            await _shown(here, WARM_ORDERS + orders)
            measured = watch.measured(orders)
            await allocated.reach(orders)
            return measured
        finally:
            await allocated.close()


async def _shown(here: Stand, orders: int) -> None:
    async with asyncio.timeout(STUCK_SECONDS):
        while await here.ask(_SHOWN) < orders:
            await asyncio.sleep(0.05)


def _orders(lines: int, orders: int) -> list[tuple[int, Record]]:
    pick, found = picker("uniform", lines, Random(1)), []
    for number in range(orders):
        order = OrderIntake(
            merchant=MERCHANT,
            number=f"SO-{number:08d}",
            version=1,
            lines=tuple(Line(sku=sku, units=1) for sku in pick()),
            demanded_at=AT + timedelta(milliseconds=number),
            warehouses=(WAREHOUSE,),
        )
        record = encode(order, key=order.number, envelope=Envelope("channel", number + 1), time=AT)
        found.append((partition_of(order.number, PARTITIONS), record))
    return found
