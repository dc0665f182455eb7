"""Running seeds and telling what came of them: one after another, or many on all cores with progress and a summary."""

import multiprocessing
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.flaw import Flaw
from tests.simulation.world import World

REASONS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed. `reason` is empty when every promise held."""

    seed: int
    reason: str
    history: str
    simulated_ms: int
    tally: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int, business: str = "allocator", flaw: type[Flaw] | None = None, trace: bool = False) -> Result:
    """Run one seed to its end. With `trace`, every step that matters and the traceback of a failure are printed."""
    world = World(seed, business_named(business), flaw() if flaw else None, trace)
    reason = ""
    try:
        world.run()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if trace:
            traceback.print_exc()
    world.tally["steps"] = world.scheduler.steps
    return Result(seed, reason, world.checks.history, world.scheduler.now_ms, world.tally)


def business_named(name: str):  # type: ignore[no-untyped-def]  # two classes that are called alike
    """`allocator` or `toy`."""
    if name == "toy":
        from tests.simulation.toy import ToyBusiness

        return ToyBusiness
    from tests.simulation.allocator import AllocatorBusiness

    return AllocatorBusiness


def run_many(start: int, count: int, business: str, flaw: str = "") -> Iterator[Result]:
    """Seeds from `start` on, on all cores, in the order in which they end."""
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(20, count // 32))
    with context.Pool(None, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(_Run(business, flaw), range(start, start + count), chunk)


@dataclass(frozen=True, slots=True)
class _Run:
    business: str
    flaw: str = ""

    def __call__(self, seed: int) -> Result:
        return run_seed(seed, self.business, flaw_named(self.flaw))


def flaws() -> dict[str, tuple[str, type[Flaw]]]:
    """Every planted bug by its name, with the business that it is looked for in."""
    from tests.simulation.core_flaws import CORE_FLAWS
    from tests.simulation.engine_flaws import ENGINE_FLAWS

    return {one.__name__: ("toy", one) for one in ENGINE_FLAWS} | {one.__name__: ("allocator", one) for one in CORE_FLAWS}


def flaw_named(name: str) -> type[Flaw] | None:
    """The planted bug; None for none."""
    return flaws()[name][1] if name else None


def tell_flaws(seeds: int, console: Console) -> bool:
    """Plant every bug in turn: how many of the seeds find it, and after how many the median one does. Whether all were found."""
    table = Table("planted bug", "found by", "median seeds to find", "as", box=None, pad_edge=False)
    missed = 0
    for name, (business, _) in flaws().items():
        results = sorted(run_many(0, seeds, business, flaw=name), key=lambda result: result.seed)
        found = [result for result in results if result.reason]
        gaps = [after.seed - before for before, after in zip([-1, *(one.seed for one in found)], found, strict=False)]
        missed += not found
        kinds = Counter(kind_of(one.reason) for one in found).most_common(1)
        table.add_row(name, f"{len(found)} of {seeds}", str(median(gaps)) if gaps else "-", kinds[0][0] if kinds else "-")
    console.print(table)
    return not missed


def tell_one(result: Result, console: Console) -> None:
    """One seed."""
    verdict = f"[bold red]failed[/]: {_plain(result.reason)}" if result.reason else "[bold green]every promise held[/]"
    console.print(f"seed {result.seed}, history {result.history}: {verdict}", highlight=False)


def tell_many(start: int, count: int, business: str, console: Console) -> bool:
    """Run seeds with progress, then the summary, also when interrupted. Whether all were run and every promise held."""
    began, results = time.monotonic(), []
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress, suppress(KeyboardInterrupt):
        bar = progress.add_task("", total=count, failed=0)
        for result in run_many(start, count, business):
            results.append(result)
            progress.update(bar, advance=1, failed=sum(1 for one in results if one.reason))
    _summary(results, start, time.monotonic() - began, console)
    return len(results) == count and not any(result.reason for result in results)


def _summary(results: list[Result], start: int, seconds: float, console: Console) -> None:
    tally: Counter[str] = Counter()
    for result in results:
        tally.update(result.tally)
    hours = sum(result.simulated_ms for result in results) / 3_600_000
    failed = sorted((result for result in results if result.reason), key=lambda result: result.seed)
    console.print(
        f"{len(results)} seeds from {start} in {seconds:.1f} s ({len(results) / seconds:.0f} a second), {hours:,.0f} simulated hours, "
        f"{tally['batches']:,} batches, {tally['steps']:,} steps",
        highlight=False,
    )
    table = Table("what was met", "times", box=None, pad_edge=False)
    for what, times in sorted(tally.items(), key=lambda item: -item[1]):
        if what not in ("batches", "steps"):
            table.add_row(what, f"{times:,}")
    console.print(table)
    _failures(failed, console)


def _failures(failed: list[Result], console: Console) -> None:
    if not failed:
        console.print("[bold green]every promise held in every seed[/]")
        return
    console.print(f"[bold red]{len(failed)} seeds failed[/]")
    reasons: dict[str, list[Result]] = {}
    for result in failed:
        reasons.setdefault(kind_of(result.reason), []).append(result)
    for kind, these in sorted(reasons.items(), key=lambda item: -len(item[1]))[:REASONS_SHOWN]:
        console.print(f"  {len(these)} x {kind}: seeds {', '.join(str(one.seed) for one in these[:5])}", highlight=False, markup=False)
        console.print(f"      {these[0].reason[:600]}", highlight=False, markup=False)
    console.print(f"replay one with: make simulate SEED={failed[0].seed} ARGS=--trace", highlight=False)


def kind_of(reason: str) -> str:
    """What failures have in common: their text up to the first detail."""
    return ":".join(reason.split(":")[:2])[:70]


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
