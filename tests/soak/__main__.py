"""`make soak MINUTES=60 [RATE=500]`: steady work at half of the maximum rate on a real Kafka and a real Postgres, looked at every five
seconds. Writes build/soak.json and build/soak.svg. Exits 1 where something grows that should not, or where the books do not balance."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from tests.soak import report
from tests.soak.run import Wanted, run
from tests.support.servers import real_servers

BUILD = Path("build")


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long orders come (60); to drain comes after")
    parser.add_argument("--rate", type=float, default=None, help="orders a second, instead of half of the maximum")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every leader it has to look up
    console, progress = Console(), Console(stderr=True, highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder, real_servers(Path(folder)) as servers:
        outcome = uvloop.run(run(servers, Wanted(options.minutes * 60, options.rate), progress.print))
    report.write(BUILD, outcome)
    report.show(console, outcome)
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
