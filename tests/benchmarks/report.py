"""The table for people, the JSON for programs, the plot for the README."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from xml.sax.saxutils import escape

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.results import Result

COLOURS = {"goal": "green", "floor": "yellow", "neither": "red"}
_TABLE_WIDTH = 150
_WIDTH, _BAR_HEIGHT, _LABEL = 900, 22, 260


def show(console: Console, found: Sequence[Result]) -> None:
    """The table. In a pipe it is as wide as it needs to be."""
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    table = Table(title="Earmark against its yardsticks, medians of alternating runs", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for heading in ("orders/s", "±", "CPU us", "p50 ms", "p99 ms", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("to", "floor", "goal", "met"):
        table.add_column(heading, no_wrap=True)
    for one in found:
        met = f"[{COLOURS[one.met]}]{one.met}[/]" if one.met else ""
        table.add_row(
            one.name, f"{one.value:,.0f}", f"{one.spread:.0%}", f"{one.cpu_us_per_order:.0f}", _number(one.p50_ms), _number(one.p99_ms),
            _number(one.ratio), one.yardstick or "", _number(one.floor), _number(one.goal), met,
        )  # fmt: skip
    console.print(table)
    console.print("CPU us: of the whole machine, per order. Ratio: to the yardstick of the same run. Below a floor the work is not done.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def write(folder: Path, found: Sequence[Result]) -> None:
    """bench.json and bench.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(one) for one in found], indent=1), encoding="utf-8")
    (folder / "bench.svg").write_text(_plot(found), encoding="utf-8")


def _plot(found: Sequence[Result]) -> str:
    """Bars of orders per second; a row with two comparisons is drawn once."""
    rows = list({one.name: one for one in found}.values())
    scale = (_WIDTH - _LABEL - 90) / max(one.value for one in rows)
    bars = "".join(_bar(number, one, scale) for number, one in enumerate(rows))
    height = len(rows) * (_BAR_HEIGHT + 6) + 10
    style = "font: 13px sans-serif; fill: currentColor"
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" style="{style}">{bars}</svg>\n'


def _bar(number: int, one: Result, scale: float) -> str:
    top, length = number * (_BAR_HEIGHT + 6) + 5, one.value * scale
    colour = "#8892a0" if one.met is None and one.name.startswith(("reference", "limit")) else "#2f7d4f"
    return (
        f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(one.name)}</text>'
        f'<rect x="{_LABEL}" y="{top}" width="{length:.0f}" height="{_BAR_HEIGHT}" fill="{colour}"/>'
        f'<text x="{_LABEL + length + 6:.0f}" y="{top + 15}">{one.value:,.0f}/s</text>'
    )
