"""`make growth`: the same work at sizes that grow, on the real Kafka and the real Postgres. Writes build/growth.json and build/growth.svg;
a sweep that is not measured keeps its figures of the last run. Exits 1 where a point costs more than it may."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from tests.benchmarks.measuring import Measurement
from tests.benchmarks.report import in_short
from tests.growth import report
from tests.growth.sweeps import Site, Sweep, chosen
from tests.support.servers import real_servers

BUILD = Path("build")


def main() -> int:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="make growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each size, taking turns (3)")
    parser.add_argument("--sweep", default="", help="only sweeps whose name holds this")
    parser.add_argument("--most", type=int, default=None, help="only sizes up to this")
    options = parser.parse_args()
    wanted = list(chosen(options.sweep, options.most))
    if not wanted:
        parser.error(f"no sweep's name holds {options.sweep!r}: there are {', '.join(one.name for one in chosen('', None))}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every leader it has to look up
    console, dear = Console(), list[str]()
    with tempfile.TemporaryDirectory() as folder, real_servers(Path(folder)) as found:
        pids = tuple(one.pid for one in found.stack.status() if one.pid is not None) if found.stack else ()
        site = Site(found.kafka_bootstrap, found.postgres_dsn, pids)
        for sweep in wanted:
            points = report.points(uvloop.run(measure(site, sweep, options.rounds, Console(stderr=True))))
            report.show(console, sweep, points)
            report.write(BUILD, sweep, points)
            dear += report.too_dear(sweep, points)
    for one in dear:
        console.print(f"[red]{one}[/]")
    return 1 if dear else 0


async def measure(site: Site, sweep: Sweep, rounds: int, console: Console) -> dict[int, Sequence[Measurement]]:
    """Sizes take turns, so that a slow minute of the machine hits all of them alike."""
    measured: dict[int, list[Measurement]] = {size: [] for size in sweep.sizes}
    for number in range(rounds):
        for size in sweep.sizes:
            one = await sweep.measure(site, size, lambda text: console.print(f"  {text}"))
            measured[size].append(one)
            cpu = f", {one.cpu_us_per_order:,.0f} us of CPU an order" if one.cpu_us_per_order else ""
            console.print(f"round {number + 1} of {rounds}: {size:,} {sweep.name}: {in_short(one)}{cpu}")
    return {size: runs for size, runs in measured.items() if runs}


if __name__ == "__main__":
    sys.exit(main())
