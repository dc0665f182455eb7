"""`make bench`: measure the allocator against the two yardsticks, on the real Kafka and the real Postgres.

Rows take turns, round by round, so that a slow minute of the machine hits all of them alike; only ratios travel between machines.
Exits 1 when a floor is missed.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.results import results
from tests.benchmarks.rows import ROWS, RUNS, Run, Servers
from tests.support.servers import real_servers

BUILD = Path("build")
REST_SECONDS = 0.2


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each row (5)")
    parser.add_argument("--row", default="", help="only rows whose name holds this, and what they are held against")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every leader it has to look up
    with tempfile.TemporaryDirectory() as folder, real_servers(Path(folder)) as found:
        servers = Servers(found.kafka_bootstrap, found.postgres_dsn)
        measured = uvloop.run(measure(chosen(options.row), servers, options.rounds, Console(stderr=True)))
    figures = results(ROWS, measured)
    report.show(Console(), figures)
    report.write(BUILD, figures)
    sys.exit(any(one.met == "neither" for one in figures))


def chosen(part: str) -> list[Run]:
    """The runs with a row whose name holds `part`, with those of its yardsticks before them."""
    wanted = [row for row in ROWS if part in row.name]
    if not wanted:
        raise SystemExit("\n".join([f"No row's name holds {part!r}. There are:", *[f"  {row.name}" for row in ROWS]]))
    names = {row.name for row in wanted}.union(*[row.yardsticks for row in wanted])
    return [run for run in RUNS if any(row.name in names for row in run.rows)]


async def measure(runs: Sequence[Run], servers: Servers, rounds: int, console: Console) -> dict[str, list[Measurement]]:
    """Run after run, round after round."""
    measured: dict[str, list[Measurement]] = {row.name: [] for run in runs for row in run.rows}
    for number in range(1, rounds + 1):
        for run in runs:
            began, names = time.monotonic(), [row.name for row in run.rows]
            with console.status(f"round {number} of {rounds}: {', '.join(names)}"):
                found = await run.measure(servers)
            console.print(f"round {number}, {time.monotonic() - began:.0f} s")
            for name, one in zip(names, found, strict=True):
                measured[name].append(one)
                console.print(f"  {name}: {report.in_short(one)}", soft_wrap=True)
            await asyncio.sleep(REST_SECONDS)
    return measured


if __name__ == "__main__":
    main()
