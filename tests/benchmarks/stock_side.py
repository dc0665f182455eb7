"""The allocator's stock side: from single-line reserves lying in `earmark.reservations` to outcomes acknowledged in `earmark.outcomes`,
with every durable row of the product. One process, eight stock partitions, ten thousand SKUs; the demand side does not run.
"""

from collections import defaultdict
from functools import cache
from random import Random

from shared.schemas import topics
from shared.schemas.commands import ReserveLine
from shared.schemas.values import Fill, sku_key
from shared.schemas.wire import Record, packs, partition_of
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import AT, MERCHANT, PARTITIONS, WAREHOUSE, stand
from tests.benchmarks.workloads import SKUS, Picker, picker

ORDERS = 70_000
PACKED = 125
"""Commands in one record: what a batch of a thousand orders has for each of eight partitions."""
SOURCE = "demand/0/1"
_RESERVED = "SELECT sum(reserved_units) FROM allocator.reservation WHERE demand BETWEEN $1 AND $2"
"""In the order of the key's index: in any other one ten million rows are read for it. Numbers of one length sort alike everywhere."""


async def measure(
    dsn: str, bootstrap: str, workload: str, orders: int = ORDERS, skus: int = SKUS, first: int = 0, ledger: str | None = None
) -> Measurement:
    """Run it once, on tables of its own, or on those of the database `ledger`, which stays. `first`: the number of the first order, above
    those that a ledger has."""
    async with stand(dsn, bootstrap, ledger=ledger) as here:
        here.start("stock")
        work = _work(workload, orders, skus, first)
        await here.fill_shelves(skus)
        outcomes = await here.counter(topics.OUTCOMES, b'"type":"outcome"')
        try:
            here.freeze()
            await here.write(topics.RESERVATIONS, work)
            watch = Stopwatch()
            here.thaw()
            await outcomes.reach(orders)
            measured = watch.measured(orders, memory_mib=here.peak_memory_mib())
        finally:
            await outcomes.close()
        reserved = await here.ask(_RESERVED, _demand(first), _demand(first + orders - 1))
        assert outcomes.count == reserved == orders, f"{outcomes.count} outcomes and {reserved} units for {orders} orders"
    return measured


@cache
def _work(workload: str, orders: int, skus: int, first: int) -> list[tuple[int, Record]]:
    """The same in every round, but where a ledger goes on."""
    return packed_reserves(picker(workload, 1, Random(1), skus), orders, first)


def packed_reserves(pick: Picker, orders: int, first: int = 0) -> list[tuple[int, Record]]:
    """The commands, packed as the demand side packs them, in the order in which it would number them."""
    waiting, sequence = defaultdict[int, list[ReserveLine]](list), 0
    written: list[tuple[int, Record]] = []

    def flush(partition: int) -> None:
        nonlocal sequence
        records = packs("reservations", waiting.pop(partition), source=SOURCE, first_sequence=sequence + 1, time=AT)
        sequence += len(records)
        written.extend((partition, record) for record in records)

    for number in range(first, first + orders):
        command = _reserve(number, pick()[0])
        partition = partition_of(sku_key(MERCHANT, command.sku), PARTITIONS)
        waiting[partition].append(command)
        if len(waiting[partition]) == PACKED:
            flush(partition)
    for partition in sorted(waiting):
        flush(partition)
    return written


def _reserve(number: int, sku: str) -> ReserveLine:
    return ReserveLine(
        demand=_demand(number),
        merchant=MERCHANT,
        sku=sku,
        attempt=1,
        units=1,
        fill=Fill.PARTIAL,
        warehouses=(WAREHOUSE,),
        priority=0,
        demanded_at=AT,
    )


def _demand(number: int) -> str:
    return f"sales-order/{MERCHANT}/SO-{number:08d}"
