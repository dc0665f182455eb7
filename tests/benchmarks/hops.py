"""`make hops`: where the time of one order goes, posted over HTTP and alone, until its `allocated` event is read. Taken from what every
order leaves behind anyway: the times of its records in Kafka and of its three batches in Postgres, whose clock is the same here. Below it
what the same way takes with nothing on it: `bare_chain`."""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from shared.schemas import topics
from shared.schemas.wire import decode, type_header
from tests.benchmarks import bare_chain
from tests.benchmarks.http_flow import LONE_ORDERS, Customer, customer
from tests.benchmarks.measuring import Measurement, Stopwatch, percentile_ms
from tests.benchmarks.stand import Stand, stand
from tests.support.servers import real_servers
from tests.support.topic_reading import everything_on

ACCEPTED = {
    topics.ORDERS.name: {"order_changed"},
    topics.RESERVATIONS.name: {"reservations.pack", "reserve_line"},
    topics.OUTCOMES.name: {"outcomes.pack", "outcome"},
    topics.ALLOCATIONS.name: {"allocation_changed"},
}
"""In the order in which an order passes them."""
SIDE = {topics.ORDERS.name: "demand", topics.RESERVATIONS.name: "stock", topics.OUTCOMES.name: "demand"}
"""Who reads it."""
HOPS = (
    "posted, made, committed, relayed to earmark.orders",
    "read by the demand partition",
    "its first batch: attempt stored, reservation published",
    "read by the stock partition",
    "its batch: reserved, stored, outcome published",
    "read by the demand partition",
    "its second batch: answer stored, event published",
    "read by whoever listens",
)
_BATCHES = "SELECT side, number, extract(epoch FROM logical_time)::float8 AS began, offsets FROM allocator.batch"


@dataclass(frozen=True, slots=True)
class Mark:
    """A record of an order: when it was written, when the batch that read it began."""

    written: float
    read: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """The times of every order, by the wall clock: posted, then a mark's written and read by turns, then heard. `whole`: from the first
    to the last. `bare`: the same way with nothing on it."""

    times: Sequence[Sequence[float]]
    whole: Measurement
    bare: Measurement


async def measured(dsn: str, bootstrap: str) -> Run:
    """Run both."""
    async with stand(dsn, bootstrap) as here, customer(here) as one:
        watch = Stopwatch()
        asked = [await _asked(one) for _ in range(LONE_ORDERS)]
        whole = watch.measured(LONE_ORDERS, [heard - posted for _, posted, heard in asked])
        marks = {topic: await _marks(here, topic) for topic in ACCEPTED}
    found = []
    for number, posted, heard in asked:
        between = [at for of_topic in marks.values() for at in (of_topic[number].written, of_topic[number].read) if at is not None]
        found.append([posted, *between, heard])
    return Run(found, whole, await bare_chain.measure(dsn, bootstrap))


async def _asked(one: Customer) -> tuple[str, float, float]:
    posted = time.time()
    seconds = await one.post()
    return one.last, posted, posted + seconds


async def _marks(here: Stand, topic: str) -> dict[str, Mark]:
    """By order; the first record of each."""
    began = _beginnings(await here.rows(_BATCHES), topic)
    found: dict[str, Mark] = {}
    for record in await everything_on(here.settings.bootstrap, topic):
        for message in decode(record.value, type_header(record.headers), ACCEPTED[topic]):
            demand = message.demand.id if hasattr(message.demand, "id") else message.demand
            found.setdefault(demand.rpartition("/")[2], Mark(record.timestamp / 1e3, began(record.partition, record.offset)))
    return found


def _beginnings(batches: Iterable[Any], topic: str) -> Callable[[int, int], float | None]:
    """When the batch that took a record began."""
    taken = {
        (row["number"], offset): row["began"]
        for row in batches
        if row["side"] == SIDE.get(topic)
        for offset in range(*json.loads(row["offsets"]).get(topic, (0, 0)))
    }
    return lambda partition, offset: taken.get((partition, offset))


def show(console: Console, run: Run) -> None:
    """A line for each hop."""
    hops = list(zip(*[[after - before for before, after in pairwise(one)] for one in run.times], strict=True))
    table = Table(title=f"One order alone, medians of {len(run.times)}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("hop", "p50 ms", "p99 ms", "CPU ms"):
        table.add_column(heading, justify="left" if heading == "hop" else "right", no_wrap=heading != "hop")
    for name, seconds in zip(HOPS, hops, strict=True):
        table.add_row(name, f"{median(seconds) * 1e3:.1f}", f"{percentile_ms(seconds, 0.99):.1f}")
    for name, one in (("all", run.whole), (f"with nothing on the way: {bare_chain.HOPS} hops, {bare_chain.HOPS} commits", run.bare)):
        assert one.cpu_us_per_order is not None, "it was measured"
        table.add_row(name, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.cpu_us_per_order / 1e3:.1f}")
    console.print(table)


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every leader it has to look up
    with tempfile.TemporaryDirectory() as folder, real_servers(Path(folder)) as found_servers:
        show(Console(), uvloop.run(measured(found_servers.postgres_dsn, found_servers.kafka_bootstrap)))
