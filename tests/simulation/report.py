"""Telling what came of seeds: of one, or of many with progress and a summary."""

import time
from collections import Counter
from contextlib import suppress

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.allocator import MONTH_MS, MONTH_PASSED
from tests.simulation.business import Tally
from tests.simulation.failed import kind_of
from tests.simulation.running import Result, run_many

REASONS_SHOWN = 8
HOUR_MS = 3_600_000
GROUPS = {"fault": "faults", "doing": "what people did", "said": "what was said", "event": "what came of it"}
"""Of a tally, with their headings."""


def tell_one(result: Result, console: Console) -> None:
    """One seed."""
    verdict = f"[bold red]failed[/]: {escape(result.reason)}" if result.reason else "[bold green]every promise held[/]"
    console.print(f"seed {result.seed}, history {result.history}: {verdict}", highlight=False)


def tell_many(start: int, count: int, business: str, console: Console, *, processes: int | None) -> bool:
    """Run seeds with progress, then the summary, also when interrupted. Whether all were run and every promise held."""
    began, results = time.monotonic(), list[Result]()
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress, suppress(KeyboardInterrupt):
        bar = progress.add_task("", total=count, failed=0)
        for result in run_many(start, count, business, processes):
            results.append(result)
            progress.update(bar, advance=1, failed=sum(1 for one in results if one.reason))
    tell_summary(results, start, time.monotonic() - began, console)
    return len(results) == count and not any(result.reason for result in results)


def tell_summary(results: list[Result], start: int, seconds: float, console: Console) -> None:
    """How much was simulated and how fast, what was met, and which promises did not hold."""
    tally: Tally = Counter()
    for result in results:
        tally.update(result.tally)
    console.print(
        f"[bold]{len(results):,} seeds[/] from {start} in {seconds:.1f} s, {len(results) / seconds:.1f} seeds a second", highlight=False
    )
    console.print(f"{_hours(results, tally)}, {tally['work', 'batches']:,} batches, {tally['work', 'steps']:,} steps", highlight=False)
    console.print()
    console.print(Columns([_table(title, group, tally) for group, title in GROUPS.items()], padding=(1, 4)))
    console.print()
    _failures(sorted((result for result in results if result.reason), key=lambda result: result.seed), console)


def _hours(results: list[Result], tally: Tally) -> str:
    """The months that pass in the end are told apart: little happens in them, and nearly all the time is theirs."""
    months = tally["event", MONTH_PASSED] * MONTH_MS
    busy = sum(result.simulated_ms for result in results) - months
    return f"{busy / HOUR_MS:,.1f} simulated hours of work, {months / HOUR_MS:,.0f} more of months that pass at rest"


def _table(title: str, group: str, tally: Tally) -> Table:
    met = {what: times for (of, what), times in tally.items() if of == group and times}
    table = Table(title, "times", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = "right"
    for what, times in sorted(met.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(escape(what), f"{times:,}")
    if not met:
        table.add_row("none", "")
    return table


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
