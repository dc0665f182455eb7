"""The summary for people, the series for programs, the picture."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.soak.rules import TITLES
from tests.soak.run import Outcome
from tests.soak.verdicts import Verdict
from tests.support.panels import Panel, in_short, picture

_COLOURS = {"grows": "red", "falls": "yellow", "kept": "cyan", "flat": "green", "shown": "white"}
_WIDTH = 150
_MOST_CURVES = 8


def show(console: Console, outcome: Outcome) -> None:
    """Every series that is worth a line, then what came of all."""
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title="After the warm-up", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("series", "first third", "last third", "change", "verdict"):
        table.add_column(heading, justify="left" if heading in {"series", "verdict"} else "right", no_wrap=True)
    for one in outcome.verdicts:
        if one.is_fault or one.first or one.last:
            word = f"[{_COLOURS[one.word]}]{one.word}[/]"
            table.add_row(one.name, in_short(one.first), in_short(one.last), f"{in_short(one.rate)} {one.unit}", word)
    console.print(table)
    console.print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in outcome.counts.items()))
    for problem in outcome.problems:
        console.print(f"[red]{problem}[/]", highlight=False)
    for fault in (one for one in outcome.verdicts if one.is_fault):
        console.print(f"[red]{_in_words(fault)}[/]", highlight=False)
    if outcome.ok:
        console.print("[green]Nothing grows, what ended was forgotten, and the books balance.[/]")


def _in_words(one: Verdict) -> str:
    return f"{one.name} grows by {in_short(one.rate)} {one.unit}: from {in_short(one.first)} to {in_short(one.last)}"


def write(folder: Path, outcome: Outcome) -> None:
    """soak.json and soak.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(outcome.facts(), indent=1), encoding="utf-8")
    (folder / "soak.svg").write_text(picture(list(_panels(outcome))), encoding="utf-8")


def _panels(outcome: Outcome) -> Iterable[Panel]:
    """One for each prefix; of many curves the highest."""
    for prefix, title in TITLES.items():
        curves = {
            name.partition("/")[2]: [(at / 60, value) for at, value in points]
            for name, points in outcome.series.items()
            if name.partition("/")[0] == prefix
        }
        highest = sorted(curves, key=lambda name: -max(value for _, value in curves[name]))[:_MOST_CURVES]
        if curves:
            yield Panel(title, "minutes", {name: curves[name] for name in sorted(highest)})
