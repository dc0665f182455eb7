"""Curves as a picture: one panel for each thing, in plain SVG."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 480, 260, 62, 30, 24, 30
_COLUMNS = 2
_LEGEND_ROW, _LETTER, _GAP = 15, 6.4, 14
"""Of the names of curves: the height of a row, the width of a letter, the room between two names."""
_COLOURS = ("#1f6fb2", "#b3402f", "#2f7d4f", "#b58a1b", "#7a4fa3", "#4f7f86", "#a34f79", "#6d6d6d")
_STYLE = "font: 12px sans-serif; fill: #222; color: #222"
_PAPER = '<rect width="100%" height="100%" fill="#fff"/>'
"""It stands in documents that may be shown on black."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture among several: named curves over the same axis. `logarithmic`: the axis below; no point of it is drawn left of one."""

    title: str
    below: str
    curves: Mapping[str, Points]
    logarithmic: bool = False
    dotted: bool = False
    """Mark every point: they are few, and nobody knows what lies between."""


def picture(panels: Sequence[Panel]) -> str:
    """All of them, two side by side."""
    rows = math.ceil(len(panels) / _COLUMNS)
    drawn = "".join(
        f'<g transform="translate({number % _COLUMNS * _WIDTH} {number // _COLUMNS * _HEIGHT})">{_panel(one)}</g>'
        for number, one in enumerate(panels)
    )
    size = f'width="{_COLUMNS * _WIDTH}" height="{rows * _HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{_STYLE}">{_PAPER}{drawn}</svg>\n'


def _panel(panel: Panel) -> str:
    points = [point for curve in panel.curves.values() for point in curve]
    if not points:
        return f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(panel.title)}: nothing was measured</text>'
    scale = math.log10 if panel.logarithmic else float
    across = _axis([scale(max(x, 1) if panel.logarithmic else x) for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    highest = _round_up(max(y for _, y in points))
    legend, rows = _legend(list(panel.curves))
    down = _axis([0.0, highest], _HEIGHT - _BOTTOM, _TOP + rows * _LEGEND_ROW)

    def place(x: float, y: float) -> tuple[float, float]:
        return across(scale(max(x, 1) if panel.logarithmic else x)), down(y)

    curves = "".join(
        _curve([place(x, y) for x, y in curve], colour, dotted=panel.dotted)
        for curve, colour in zip(panel.curves.values(), itertools.cycle(_COLOURS), strict=False)
    )
    grid = "".join(_mark(down(share * highest), in_short(share * highest)) for share in (0, 0.5, 1))
    ticks = "".join(_tick(place(x, 0)[0], x) for x in _ticks(sorted({x for x, _ in points}), few=panel.dotted))
    title = f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(panel.title)}</text>'
    below = f'<text x="{_WIDTH - _RIGHT}" y="16" text-anchor="end" opacity=".6">over {escape(panel.below)}</text>'
    return title + below + legend + grid + ticks + curves


def _axis(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    lowest, highest = min(values), max(values)
    room = (highest - lowest) or 1.0
    return lambda value: start + (value - lowest) / room * (end - start)


def _round_up(value: float) -> float:
    """To one, two or five of some power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def _curve(points: Points, colour: str, *, dotted: bool) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points) if dotted else ""
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>{dots}'


def _mark(height: float, text: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="currentColor" opacity=".15"/>'
    return f'{line}<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{text}</text>'


def _tick(left: float, value: float) -> str:
    return f'<text x="{left:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{in_short(value)}</text>'


def _ticks(values: Sequence[float], *, few: bool) -> Sequence[float]:
    """Where the axis below is marked: at each of a few points, else at round numbers."""
    if few or len(values) < 3:
        return values
    step = _round_up((values[-1] - values[0]) / 6)
    return [step * number for number in range(math.ceil(values[0] / step), math.floor(values[-1] / step) + 1)]


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The names in the colours of their curves, and how many rows they take."""
    if len(names) < 2:
        return "", 0
    words, left, row = [], float(_LEFT), 0
    for name, colour in zip(names, itertools.cycle(_COLOURS), strict=False):
        width = _LETTER * len(name) + _GAP
        if left + width > _WIDTH and left > _LEFT:
            left, row = float(_LEFT), row + 1
        words.append(f'<text x="{left:.0f}" y="{32 + row * _LEGEND_ROW}" fill="{colour}" font-size="11">{escape(name)}</text>')
        left += width
    return "".join(words), row + 1


def in_short(value: float) -> str:
    """As people say it: 1.5 k, 20 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
