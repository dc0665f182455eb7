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
from tests.benchmarks.rows import ROWS, Row, Servers
from tests.support.servers import real_servers

BUILD = Path("build")


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


def chosen(part: str) -> list[Row]:
    """The rows whose name holds `part`, with their yardsticks before them."""
    wanted = [row for row in ROWS if part in row.name]
    if not wanted:
        raise SystemExit("\n".join([f"No row's name holds {part!r}. There are:", *[f"  {row.name}" for row in ROWS]]))
    names = {row.name for row in wanted}.union(*[row.yardsticks for row in wanted])
    return [row for row in ROWS if row.name in names]


async def measure(rows: Sequence[Row], servers: Servers, rounds: int, console: Console) -> dict[str, list[Measurement]]:
    """Row after row, round after round."""
    measured: dict[str, list[Measurement]] = {row.name: [] for row in rows}
    for number in range(rounds):
        for row in rows:
            began = time.monotonic()
            with console.status(f"round {number + 1} of {rounds}: {row.name}"):
                one = await row.measure(servers)
            measured[row.name].append(one)
            console.print(f"round {number + 1}: {row.name}: {report.in_short(one)}, {time.monotonic() - began:.0f} s")
            await asyncio.sleep(0.5)
    return measured


if __name__ == "__main__":
    main()
