"""What grows, through which sizes, and how each is measured."""

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from tests.benchmarks import allocator_flow, growth, restock
from tests.benchmarks.allocator_flow import Shape
from tests.benchmarks.measuring import Measurement, Stopwatch, cpu_seconds
from tests.benchmarks.stand import Stand
from tests.benchmarks.workloads import SKUS

LINES = 3
ORDERS, LONE = 10_000, 100
MOST_LINES_OF_SMALL_QUEUES = 20_000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Site:
    """The servers, and the processes of theirs whose CPU counts; none where they are not ours: then all of the machine's counts."""

    kafka: str
    postgres: str
    pids: tuple[int, ...] = ()

    def watch(self, here: Stand) -> Stopwatch:
        """Starts to count what the servers, the measured processes and this one use."""
        return Stopwatch((lambda: cpu_seconds([*self.pids, os.getpid(), *here.pids])) if self.pids else None)


Measure = Callable[[Site, int, Say], Awaitable[Measurement]]


@dataclass(frozen=True, slots=True)
class Sweep:
    """`limit`: a point may cost so many times the cheapest CPU per order of the smallest sizes; None: no promise is made. `work`: what
    one order is."""

    name: str
    sizes: tuple[int, ...]
    measure: Measure
    limit: float | None
    work: str = "order of three lines, intake to shown"


async def _flow(site: Site, shape: Shape) -> Measurement:
    return await allocator_flow.measure(site.postgres, site.kafka, LINES, shape, site.watch)


async def skus(site: Site, size: int, _: Say) -> Measurement:
    """Uniform orders over so many SKUs."""
    return await _flow(site, Shape(skus=size, orders=ORDERS, lone=LONE))


async def reservations(site: Site, size: int, say: Say) -> Measurement:
    """So many reservations on file already, a hundred lines a demand, over the SKUs that are ordered."""
    template = (
        await growth.filled(site.postgres, size, lambda share: say(f"{share:.0%} of {size:,} reservations are there")) if size else None
    )
    return await _flow(site, Shape(orders=ORDERS, lone=LONE, template=template))


async def partitions(site: Site, size: int, _: Say) -> Measurement:
    """So many state partitions on each side."""
    return await _flow(site, Shape(partitions=size, orders=ORDERS, lone=LONE))


async def allocators(site: Site, size: int, _: Say) -> Measurement:
    """So many allocator processes."""
    return await _flow(site, Shape(allocators=size, orders=ORDERS, lone=LONE))


async def waiters(site: Site, size: int, _: Say) -> Measurement:
    """So many lines wait on a SKU, and one unit comes: on other SKUs each time where few wait, so that it is so many each time."""
    names = (
        tuple(f"SCARCE-{number:02}" for number in range(restock.RESTOCKS))
        if size * restock.RESTOCKS <= MOST_LINES_OF_SMALL_QUEUES
        else ("SCARCE",)
    )
    return await restock.first_served(site.postgres, site.kafka, size, 1, names, site.watch)


SWEEPS = (
    Sweep("SKUs", (1_000, 10_000, 100_000), skus, 1.3),
    Sweep("reservations on file", (0, 1_000_000, 10_000_000), reservations, 1.3),
    Sweep("state partitions of each side", (1, 2, 4, 8, 16), partitions, None),
    Sweep("allocator processes", (1, 2, 3, 4), allocators, None),
    Sweep("waiters on one SKU", (1, 10, 100, 1_000, 10_000, 100_000), waiters, 1.3, "restock of one unit, until its line is served"),
)


def chosen(part: str, most: int | None) -> Iterable[Sweep]:
    """The sweeps whose name holds `part`, up to the size `most`."""
    for sweep in SWEEPS:
        sizes = tuple(size for size in sweep.sizes if most is None or size <= most)
        if part in sweep.name and sizes:
            yield replace(sweep, sizes=sizes)


assert SKUS in SWEEPS[0].sizes, "the other sweeps have a point in common with this"
