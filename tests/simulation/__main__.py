"""`python -m tests.simulation --seed S [--trace]` replays one seed; `--seeds N [--start K]` runs many on all cores."""

import argparse
import sys

from rich.console import Console

from tests.simulation.report import flaw_named, run_seed, tell_flaws, tell_many, tell_one


def main() -> int:
    """Exit status 0 only when every promise held."""
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--seed", type=int, help="replay this one seed")
    options.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    options.add_argument("--seeds", type=int, default=1_000, help="run so many seeds (default 1000)")
    options.add_argument("--start", type=int, default=0, help="from this seed on (default 0)")
    options.add_argument("--business", choices=("allocator", "toy"), default="allocator", help="what is simulated")
    options.add_argument("--flaws", action="store_true", help="plant every known bug in turn: how many seeds find it")
    options.add_argument("--flaw", default="", help="with --seed: plant this bug")
    chosen = options.parse_args()
    console = Console()
    if chosen.flaws:
        return 0 if tell_flaws(chosen.seeds, console) else 1
    if chosen.seed is None:
        return 0 if tell_many(chosen.start, chosen.seeds, chosen.business, console) else 1
    result = run_seed(chosen.seed, chosen.business, flaw_named(chosen.flaw), trace=chosen.trace)
    tell_one(result, console)
    return 1 if result.reason else 0


if __name__ == "__main__":
    sys.exit(main())
