"""`python -m tests.chaos --minutes 10 [--seed S]`: real processes under random faults, then a proof that every promise was kept.
`--crash-points 100`: every named crash point so many times, one after the other, each with its own proof."""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.crash_points import ALL, Deaths
from tests.chaos.driver import Driver
from tests.chaos.report import show, show_points
from tests.chaos.run import Outcome, run

FOLDER = Path("build")
TABLE_WIDTH = 140


def main() -> int:
    """Exit status 0 only when every promise was kept."""
    options = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    options.add_argument("--minutes", type=float, default=5.0, help="how long faults are done (default 5); the proof comes after")
    options.add_argument("--seed", type=int, default=None, help="draw the same faults in the same order again; timing is real and differs")
    options.add_argument("--crash-points", type=int, default=0, metavar="TIMES", help="instead: die so many times at every crash point")
    options.add_argument("--points", nargs="*", choices=ALL, default=ALL, help="with --crash-points: only these")
    chosen = options.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1_000_000)
    logging.disable(logging.CRITICAL)  # of the clients in this process, which meet every fault
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    if chosen.crash_points:
        return _crash_points(console, chosen.points, chosen.crash_points, seed)
    return _chaos(console, chosen.minutes, seed)


def _chaos(console: Console, minutes: float, seed: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="earmark-chaos-"))
    console.print(f"chaos for {minutes:g} minutes, seed {seed}; logs of the processes: {folder}/logs")
    outcome = asyncio.run(run(folder, seed, console.print, lambda stage, draw: Driver(stage, draw, minutes * 60)))
    _write("chaos", outcome.facts())
    show(console, outcome)
    return 0 if outcome.ok else 1


def _crash_points(console: Console, points: list[str], times: int, seed: int) -> int:
    found: dict[str, Outcome] = {}
    for point in points:
        folder = Path(tempfile.mkdtemp(prefix=f"earmark-{point.replace(' ', '-')}-"))
        console.print(f"{point}, {times} times, seed {seed}; logs of the processes: {folder}/logs")
        driven = lambda stage, draw: Deaths(stage, draw, point, times)  # noqa: B023, E731 - it is run before the next point comes
        found[point] = asyncio.run(run(folder, seed, lambda _: None, driven))
        _write("crash-points", {name: outcome.facts() for name, outcome in found.items()})
        if not found[point].ok:
            show(console, found[point])
    show_points(console, found)
    return 0 if all(outcome.ok for outcome in found.values()) else 1


def _write(name: str, facts: object) -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
