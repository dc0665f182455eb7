"""`python -m tests.simulation --seed S [--trace]` replays one seed; `--seeds N [--start K]` runs many on all cores; `--flaws` plants every
known bug in turn and tells how many seeds find it."""

import argparse
import sys

from rich.console import Console

from tests.simulation.hunt import MOST, tell_hunts
from tests.simulation.planted import PLANTED
from tests.simulation.report import tell_many, tell_one
from tests.simulation.running import flaw_named, run_seed


def main() -> int:
    """Exit status 0 only when every promise held; of planted bugs, when all were found."""
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--seed", type=int, help="replay this one seed")
    options.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    options.add_argument("--seeds", type=int, help=f"run so many seeds (default 1000); of a planted bug, at most (default {MOST})")
    options.add_argument("--start", type=int, default=0, help="from this seed on (default 0)")
    options.add_argument("--business", choices=("allocator", "toy"), help="what is simulated (default: the allocator, or where the bug is)")
    options.add_argument("--flaws", action="store_true", help="plant every known bug in turn: how many seeds find it")
    options.add_argument("--write", action="store_true", help="with --flaws: renew the rows of docs/planted-bugs.md")
    options.add_argument("--processes", type=int, help="of many seeds: in so many processes (default: one for every core)")
    options.add_argument("--flaw", choices=PLANTED, metavar="NAME", default="", help="with --seed or --flaws: plant this bug")
    chosen = options.parse_args()
    console = Console()
    if chosen.flaws:
        names = [chosen.flaw] if chosen.flaw else list(PLANTED)
        found = tell_hunts(names, chosen.seeds or MOST, console, processes=chosen.processes, into_document=chosen.write)
        return 0 if found else 1
    if chosen.seed is None:
        held = tell_many(chosen.start, chosen.seeds or 1_000, chosen.business or "allocator", console, processes=chosen.processes)
        return 0 if held else 1
    flaw = flaw_named(chosen.flaw)
    result = run_seed(chosen.seed, chosen.business or (flaw.business if flaw else "allocator"), flaw, trace=chosen.trace)
    tell_one(result, console)
    return 1 if result.reason else 0


if __name__ == "__main__":
    sys.exit(main())
