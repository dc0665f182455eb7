"""The summary of a run for people."""

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.proof import REPLAYED
from tests.chaos.run import Outcome

SHOWN = 5


def show(console: Console, outcome: Outcome) -> None:
    """What was done, what it met, how long recoveries took, and what held."""
    console.print()
    _counts(console, "faults done", {name.replace("_", " "): count for name, count in outcome.faults.items()})
    _counts(console, "what clients did", {"orders accepted": outcome.orders, **outcome.counts})
    _recoveries(console, outcome)
    for one in outcome.held:
        mark = "[red]broken[/]" if one.problems else "[green]held[/]  "
        console.print(f"{mark}  {one.name} ({one.counted:,})")
        for problem in one.problems[:SHOWN]:
            console.print(f"        {problem[:1_000]}", markup=False)
        if len(one.problems) > SHOWN:
            console.print(f"        and {len(one.problems) - SHOWN} more")
    console.print(
        f"\n{'[bold green]every promise was kept[/]' if outcome.ok else '[bold red]a promise was broken[/]'}, seed {outcome.seed}"
    )


def show_points(console: Console, found: Mapping[str, Outcome]) -> None:
    """One line for each crash point."""
    table = Table("crash point", "died", "orders", "events replayed", "recovery p50 s", "p99 s", "held", box=box.SIMPLE_HEAD)
    for point, outcome in found.items():
        replayed = next(one.counted for one in outcome.held if one.name == REPLAYED)
        times = [f"{outcome.recovery_seconds(share, undisturbed=False):.1f}" if outcome.recoveries else "-" for share in (0.5, 0.99)]
        held = "[green]all[/]" if outcome.ok else "[red]not all[/]"
        table.add_row(point, f"{outcome.faults[point]:,}", f"{outcome.orders:,}", f"{replayed:,}", *times, held)
    console.print(table)


def _counts(console: Console, title: str, counts: dict[str, int]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    for name, count in counts.items():
        if count:
            table.add_row(name, f"{count:,}")
    console.print(table)


def _recoveries(console: Console, outcome: Outcome) -> None:
    table = Table("recoveries of state partitions", "number", "p50 s", "p99 s", "longest s", box=box.SIMPLE_HEAD)
    for name, undisturbed in (("while nothing else suffered", True), ("all", False)):
        number = sum(1 for one in outcome.recoveries if one.undisturbed or not undisturbed)
        times = [f"{outcome.recovery_seconds(share, undisturbed=undisturbed):.1f}" for share in (0.5, 0.99, 1)]
        table.add_row(name, str(number), *(times if number else ["-"] * 3))
    console.print(table)
