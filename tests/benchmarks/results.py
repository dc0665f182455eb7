"""Medians of alternating runs, ratios to the yardsticks of the same run, and whether floor and goal are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.benchmarks.measuring import Measurement
from tests.benchmarks.rows import Bar, Row


@dataclass(frozen=True, slots=True)
class Result:
    """One figure, and one comparison of it: a row with two bars gives two. `value` is a median; `spread` is half of what lies between
    its lowest and highest run, as a share of it. `met`: goal, floor or neither; None where there is nothing to meet."""

    name: str
    value: float
    unit: str
    spread: float
    cpu_us_per_order: float
    p50_ms: float | None
    p99_ms: float | None
    yardstick: str | None = None
    reference: float | None = None
    ratio: float | None = None
    floor: float | None = None
    goal: float | None = None
    met: str | None = None


def results(rows: Sequence[Row], measured: Mapping[str, Sequence[Measurement]]) -> list[Result]:
    """A result for every row that was measured, one more for each further bar."""
    medians = {name: median(one.orders_per_second for one in runs) for name, runs in measured.items()}
    found = []
    for row in rows:
        if row.name in measured:
            bars: Sequence[Bar | None] = [bar for bar in row.bars if bar.yardstick in medians] or [None]
            found += [_result(row.name, measured[row.name], bar, medians) for bar in bars]
    return found


def _result(name: str, runs: Sequence[Measurement], bar: Bar | None, medians: Mapping[str, float]) -> Result:
    rates = [one.orders_per_second for one in runs]
    value = medians[name]
    figures = Result(
        name=name,
        value=value,
        unit="orders/s",
        spread=(max(rates) - min(rates)) / 2 / value,
        cpu_us_per_order=median(one.cpu_us_per_order for one in runs),
        p50_ms=_median([one.p50_ms for one in runs]),
        p99_ms=_median([one.p99_ms for one in runs]),
    )
    return figures if bar is None else _compared(figures, bar, medians[bar.yardstick])


def _compared(figures: Result, bar: Bar, reference: float) -> Result:
    ratio = figures.value / reference
    met = "goal" if ratio >= bar.goal else "floor" if ratio >= bar.floor else "neither"
    return replace(figures, yardstick=bar.yardstick, reference=reference, ratio=ratio, floor=bar.floor, goal=bar.goal, met=met)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
