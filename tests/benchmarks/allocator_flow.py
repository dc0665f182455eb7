"""The whole flow of orders: from orders lying in `earmark.order-intake` to `allocated` acknowledged in `earmark.allocations` and
stored where the orders API reads it. One process of orders; two allocators, which share the state partitions as the group deals them out:
one alone is busy for most of the time while the second core waits for it. The yardstick begins to count after half a second; here some
orders go through before those that count, so that no connection makes its plans within the measured time.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from shared.schemas import topics
from shared.schemas.intake import OrderIntake
from shared.schemas.values import Line
from shared.schemas.wire import Envelope, Record, encode, partition_of
from tests.benchmarks.listening import listening
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.stand import AT, MERCHANT, PARTITIONS, SETTLE_SECONDS, STUCK_SECONDS, WAREHOUSE, Stand, Watched, of_the_machine, stand
from tests.benchmarks.workloads import SKUS, picker

ORDERS = 16_000
WARM_ORDERS = 2_000
SHOWN = "SELECT count(*) FROM orders.allocation WHERE status = 'allocated'"
Work = list[tuple[int, Record]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What an installation is like, and how many orders go through it: `orders` at once, then `lone` one after the other, whose latencies
    are measured. `template`: the database that its own is a copy of."""

    skus: int = SKUS
    partitions: int = PARTITIONS
    allocators: int = 2
    orders: int = ORDERS
    lone: int = 0
    template: str | None = None


_USUAL = Shape()


async def measure(dsn: str, bootstrap: str, lines: int, shape: Shape = _USUAL, watched: Watched = of_the_machine) -> Measurement:
    """Run it once, on tables of its own."""
    async with stand(dsn, bootstrap, shape.template, shape.partitions) as here:
        for number in range(1, shape.allocators + 1):
            here.start("allocator" if number == 1 else f"allocator-{number}")
        here.start("orders")
        work = list(itertools.islice(orders(lines, shape.skus, shape.partitions), WARM_ORDERS + shape.orders + shape.lone))
        await here.fill_shelves(shape.skus)
        await here.write(topics.ORDER_INTAKE, work[:WARM_ORDERS])
        await shown(here, WARM_ORDERS)
        await asyncio.sleep(SETTLE_SECONDS)
        allocated = await here.counter(topics.ALLOCATIONS, b'"outcome":"allocated"')
        try:
            here.freeze()
            await here.write(topics.ORDER_INTAKE, work[WARM_ORDERS : WARM_ORDERS + shape.orders])
            watch = watched(here)
            here.thaw()
            await allocated.acknowledged(shape.orders)
            await shown(here, WARM_ORDERS + shape.orders)
            measured = watch.measured(shape.orders, memory_mib=here.peak_memory_mib())
            await allocated.reach(shape.orders)
        finally:
            await allocated.close()
        return measured.with_latencies(await _alone(here, work[WARM_ORDERS + shape.orders :]))


async def _alone(here: Stand, work: Work) -> list[float]:
    """One order after the other: seconds from its writing until its answer was read."""
    if not work:
        return []
    latencies = list[float]()
    async with listening(here) as listener:
        for partition, record in work:
            told, began = listener.expect((record.key or b"").decode()), time.perf_counter()
            await here.write(topics.ORDER_INTAKE, [(partition, record)])
            async with asyncio.timeout(STUCK_SECONDS):
                latencies.append(await told - began)
    return latencies


async def shown(here: Stand, orders: int) -> None:
    """Return when so many are stored as allocated where the orders API reads it. Raises when that takes two minutes or a process ended."""
    async with asyncio.timeout(STUCK_SECONDS):
        while await here.ask(SHOWN) < orders:
            here.require_life()
            await asyncio.sleep(0.05)


def orders(lines: int, skus: int = SKUS, partitions: int = PARTITIONS) -> Iterator[tuple[int, Record]]:
    """What a sales channel writes to `earmark.order-intake`, without end: orders of so many lines of one unit, each with its partition."""
    pick = picker("uniform", lines, Random(1), skus)
    for number in itertools.count(1):
        order = OrderIntake(
            merchant=MERCHANT,
            number=f"SO-{number:08d}",
            version=1,
            lines=tuple(Line(sku=sku, units=1) for sku in pick()),
            demanded_at=AT + timedelta(milliseconds=number),
            warehouses=(WAREHOUSE,),
        )
        record = encode(order, key=order.number, envelope=Envelope("channel", number), time=AT)
        yield partition_of(order.number, partitions), record
