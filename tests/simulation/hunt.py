"""Looking for planted bugs: after how many seeds is each found, and what notices it?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.pool import Pool
from statistics import median

from rich.console import Console

from tests.simulation.failed import kind_of
from tests.simulation.planted import PLANTED
from tests.simulation.planted_table import Found, write
from tests.simulation.running import Result, Run, some_processes

ENOUGH, MOST = 9, 300
"""A bug that so many seeds have found is known well enough; seeds after which one gives up, unless told otherwise."""
AT_ONCE = 8
"""Seeds between two looks at how many have found it."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What the first `seeds` seeds made of one planted bug; those that found it."""

    name: str
    seeds: int
    found: tuple[Result, ...]

    @property
    def first(self) -> int | None:
        """The first seed that found it."""
        return self.found[0].seed if self.found else None

    @property
    def median(self) -> float | None:
        """The median number of seeds until found, when one begins anew after each that finds it."""
        before = [-1, *(one.seed for one in self.found)]
        gaps = [after.seed - last for last, after in zip(before, self.found, strict=False)]
        return median(gaps) if gaps else None

    @property
    def noticed(self) -> str:
        """What noticed it most often."""
        kinds = Counter(kind_of(one.reason) for one in self.found).most_common(1)
        return kinds[0][0] if kinds else "nothing"

    def told(self) -> Found:
        """For the table."""
        return Found(self.name, len(self.found), self.seeds, self.median, self.first, self.noticed)


def hunt(pool: Pool, name: str, most: int) -> Hunt:
    """Seeds from 0 on until enough have found it, or all were tried."""
    results: list[Result] = []
    found = 0
    for result in _results(pool, Run(PLANTED[name].business, name), most):
        results.append(result)
        found += bool(result.reason)
        if found == ENOUGH:
            break
    return Hunt(name, len(results), tuple(result for result in results if result.reason))


def _results(pool: Pool, run: Run, most: int) -> Iterator[Result]:
    for start in range(0, most, AT_ONCE):
        yield from pool.map(run, range(start, min(most, start + AT_ONCE)), 1)


def tell_hunts(names: list[str], most: int, console: Console, *, processes: int | None, into_document: bool) -> bool:
    """Plant these bugs in turn and tell what came of each as it comes, with `into_document` into its row there too. Whether all were
    found."""
    missed = 0
    with some_processes(processes) as pool:
        for name in names:
            told = hunt(pool, name, most).told()
            missed += not told.times
            style = "" if told.times else "[bold red]"
            console.print(
                f"{style}{name:<30} {told.share:>10}  median {told.median_shown:>5}  {told.noticed}", highlight=False, soft_wrap=True
            )
            if into_document:
                write(told)
    return not missed
