"""What the sweeps gave: medians, what costs more than it may, JSON that is kept from run to run, and the picture."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.measuring import Measurement
from tests.growth.sweeps import Sweep
from tests.support.panels import Panel, in_short, picture

_FIGURES = {
    "orders_per_second": "orders/s",
    "cpu_us_per_order": "CPU us",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "memory_mib": "MiB",
}


@dataclass(frozen=True, slots=True)
class Point:
    """Medians at one size. `cost`: its CPU per order over that of the smallest size."""

    size: int
    runs: int
    orders_per_second: float | None
    cpu_us_per_order: float | None
    p50_ms: float | None
    p99_ms: float | None
    memory_mib: float | None
    cost: float = 1.0


def points(measured: Mapping[int, Sequence[Measurement]]) -> list[Point]:
    """By size, the smallest first, which the others are held against."""
    found: list[Point] = []
    for size, runs in sorted(measured.items()):
        values = {name: _median([getattr(one, name) for one in runs]) for name in _FIGURES}
        first = found[0].cpu_us_per_order if found else values["cpu_us_per_order"]
        cost = values["cpu_us_per_order"] / first if first and values["cpu_us_per_order"] else 1.0
        found.append(Point(size=size, runs=len(runs), **values, cost=cost))
    return found


def too_dear(sweep: Sweep, found: Iterable[Point]) -> list[str]:
    """The points that cost more than the sweep's limit, in words."""
    return [
        f"{in_short(one.size)} {sweep.name} cost {one.cost:.2f} times what the smallest size costs, {sweep.limit} are allowed"
        for one in found
        if sweep.limit is not None and one.cost > sweep.limit
    ]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def show(console: Console, sweep: Sweep, found: Sequence[Point]) -> None:
    """One table."""
    table = Table(title=f"{sweep.name}: {sweep.work}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("size", *_FIGURES.values(), "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        values = [getattr(one, name) for name in _FIGURES]
        table.add_row(f"{one.size:,}", *["" if value is None else f"{value:,.1f}" for value in values], f"{one.cost:.2f}")
    console.print(table)


def write(folder: Path, sweep: Sweep, found: Sequence[Point]) -> None:
    """growth.json and growth.svg, with the sweeps of earlier runs in them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "growth.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[sweep.name] = {"work": sweep.work, "limit": sweep.limit, "points": [asdict(one) for one in found]}
    path.write_text(json.dumps(known, indent=1), encoding="utf-8")
    (folder / "growth.svg").write_text(picture([panel for name, one in known.items() for panel in _panels(name, one)]), encoding="utf-8")


def _panels(name: str, sweep: Mapping[str, Any]) -> list[Panel]:
    def curve(figure: str) -> list[tuple[float, float]]:
        return [(one["size"], one[figure]) for one in sweep["points"] if one[figure] is not None]

    return [
        Panel(f"CPU us per {sweep['work'].split(',')[0]}", name, {"CPU": curve("cpu_us_per_order")}, logarithmic=True, dotted=True),
        Panel("latency in ms, one at a time", name, {"p50": curve("p50_ms"), "p99": curve("p99_ms")}, logarithmic=True, dotted=True),
    ]
