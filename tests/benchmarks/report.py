"""The table for people, the JSON for programs, the picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from xml.sax.saxutils import escape

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.measuring import Measurement
from tests.benchmarks.results import Result

COLOURS = {"goal": "green", "floor": "yellow", "neither": "red"}
_TABLE_WIDTH = 160
_WIDTH, _BAR_HEIGHT, _LABEL, _FIGURES = 1000, 22, 370, 190
_FILLS = {"goal": "#2f7d4f", "floor": "#b58a1b", "neither": "#b3402f"}


def in_short(one: Measurement) -> str:
    """A run in a few words."""
    said = [f"{one.orders_per_second:,.0f} orders/s"] if one.orders_per_second is not None else []
    said += [f"p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms"] if one.p50_ms is not None else []
    said += [f"{one.memory_mib:.0f} MiB"] if one.memory_mib is not None else []
    return ", ".join(said)


def show(console: Console, found: Sequence[Result]) -> None:
    """The table. In a pipe it is as wide as it needs to be."""
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    table = Table(title="Earmark against its yardsticks, medians of alternating runs", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for heading in ("value", "", "±", "CPU us", "p50 ms", "p99 ms", "MiB", "ratio"):
        table.add_column(heading, justify="left" if heading == "" else "right", no_wrap=True)
    for heading in ("to", "floor", "goal", "met"):
        table.add_column(heading, no_wrap=True)
    for one in found:
        met = f"[{COLOURS[one.met]}]{one.met}[/]" if one.met else ""
        table.add_row(
            one.name, _number(one.value), one.unit, f"{one.spread:.0%}", _number(one.cpu_us_per_order), _number(one.p50_ms),
            _number(one.p99_ms), _number(one.memory_mib), _number(one.ratio), one.yardstick or "", _number(one.floor), _number(one.goal),
            met,
        )  # fmt: skip
    console.print(table)
    console.print("CPU us: of the whole machine, per order. Ratio: to the yardstick of the same run. Below a floor the work is not done.")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def write(folder: Path, found: Sequence[Result]) -> None:
    """bench.json and bench.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(one) for one in found], indent=1), encoding="utf-8")
    (folder / "bench.svg").write_text(_picture(found), encoding="utf-8")


def _picture(found: Sequence[Result]) -> str:
    """How near each figure is to its goal: a bar, and a mark at the floor. What has no goal is no more than a yardstick."""
    held = [one for one in found if one.goal is not None]
    bars = "".join(_bar(number, one) for number, one in enumerate(held))
    right, height = _WIDTH - _FIGURES, len(held) * (_BAR_HEIGHT + 6) + 34
    goal = (
        f'<line x1="{right}" x2="{right}" y1="0" y2="{height - 24}" stroke="currentColor"/>'
        f'<text x="{right}" y="{height - 8}" text-anchor="middle">goal</text>'
    )
    style = "font: 13px sans-serif; fill: currentColor"
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" style="{style}">{bars}{goal}</svg>\n'


def _bar(number: int, one: Result) -> str:
    """A bar that is cut off at the goal."""
    assert one.floor is not None, "what has a goal has a floor"
    top, room = number * (_BAR_HEIGHT + 6) + 5, _WIDTH - _LABEL - _FIGURES
    reached, floor = min(1.0, _share(one, one.ratio or one.value)), _share(one, one.floor)
    at, end = _LABEL + floor * room, _WIDTH - _FIGURES + 10
    figure = f"{_number(one.ratio)} times" if one.ratio is not None else f"{_number(one.value)} {one.unit}"
    return (
        f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(one.name)}</text>'
        f'<rect x="{_LABEL}" y="{top}" width="{reached * room:.0f}" height="{_BAR_HEIGHT}" fill="{_FILLS[one.met or "goal"]}"/>'
        f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{top}" y2="{top + _BAR_HEIGHT}" stroke="currentColor" stroke-dasharray="3"/>'
        f'<text x="{end}" y="{top + 15}">{escape(figure)}, goal {_number(one.goal)}</text>'
    )


def _share(one: Result, value: float) -> float:
    """Of the goal; where less is better, the goal's of the value."""
    assert one.goal is not None, "asked of what has a goal"
    assert one.floor is not None, "what has a goal has a floor"
    return value / one.goal if one.goal >= one.floor else one.goal / value
