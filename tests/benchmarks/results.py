"""Medians of alternating runs, ratios to the yardsticks of the same run, and whether floor and goal are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.benchmarks.measuring import Measurement
from tests.benchmarks.rows import AtLeast, AtMost, Bar, Row

UNITS = {"orders_per_second": "orders/s", "p50_ms": "ms", "p99_ms": "ms", "memory_mib": "MiB"}
_CALLED = {"orders_per_second": "", "p50_ms": ": median", "p99_ms": ": p99", "memory_mib": ": memory"}


@dataclass(frozen=True, slots=True)
class Result:
    """One figure, and one comparison of it: a row with two bars gives two. `value` is a median; `spread` is half of what lies between
    its lowest and highest run, as a share of it. `reference`, `ratio`: of a yardstick, where it is held against one; `floor` and `goal`
    are ratios then, else values. `met`: goal, floor or neither; None where there is nothing to meet."""

    name: str
    value: float
    unit: str
    runs: int
    spread: float
    cpu_us_per_order: float | None
    p50_ms: float | None
    p99_ms: float | None
    memory_mib: float | None
    yardstick: str | None = None
    reference: float | None = None
    ratio: float | None = None
    floor: float | None = None
    goal: float | None = None
    met: str | None = None


def results(rows: Sequence[Row], measured: Mapping[str, Sequence[Measurement]]) -> list[Result]:
    """A result for every row that was measured, one more for each further bar."""
    found = []
    for row in rows:
        if runs := measured.get(row.name):
            bars = [bar for bar in row.bars if not isinstance(bar, Bar) or measured.get(bar.yardstick)]
            found += [_compared(row.name, runs, bar, measured) for bar in bars] or [_figure(row.name, runs, "orders_per_second")]
    return found


def _figure(name: str, runs: Sequence[Measurement], of: str) -> Result:
    values = [getattr(one, of) for one in runs]
    value = median(values)
    return Result(
        name=name + _CALLED[of],
        value=value,
        unit=UNITS[of],
        runs=len(runs),
        spread=(max(values) - min(values)) / 2 / value,
        cpu_us_per_order=_median([one.cpu_us_per_order for one in runs]),
        p50_ms=_median([one.p50_ms for one in runs]),
        p99_ms=_median([one.p99_ms for one in runs]),
        memory_mib=_median([one.memory_mib for one in runs]),
    )


def _compared(name: str, runs: Sequence[Measurement], bar: Bar | AtLeast | AtMost, measured: Mapping[str, Sequence[Measurement]]) -> Result:
    figure = replace(_figure(name, runs, bar.of), floor=bar.floor, goal=bar.goal)
    if isinstance(bar, AtMost):
        return replace(figure, met=_met(-figure.value, -bar.floor, -bar.goal))
    if isinstance(bar, AtLeast):
        return replace(figure, met=_met(figure.value, bar.floor, bar.goal))
    reference = _figure(bar.yardstick, measured[bar.yardstick], bar.of).value
    ratio = figure.value / reference
    return replace(figure, yardstick=bar.yardstick, reference=reference, ratio=ratio, met=_met(ratio, bar.floor, bar.goal))


def _met(value: float, floor: float, goal: float) -> str:
    return "goal" if value >= goal else "floor" if value >= floor else "neither"


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
