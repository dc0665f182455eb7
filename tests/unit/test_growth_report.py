"""What a sweep says: medians, what a size costs beside the smallest, and the picture."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.measuring import Measurement
from tests.growth.report import Point, points, too_dear, write
from tests.growth.sweeps import SWEEPS, Sweep, chosen
from tests.support.panels import Panel, in_short, picture


async def nothing(*_: Any) -> Measurement:
    raise AssertionError("not measured here")


SWEEP = Sweep("SKUs", (1, 10, 100), nothing, 1.3)


def runs(*costs: float) -> list[Measurement]:
    return [Measurement(1e6 / cost, cost, 5.0, 9.0, 100.0) for cost in costs]


def test_a_point_is_its_medians_and_costs_what_it_takes_beside_the_smallest() -> None:
    small, large = points({100: runs(300), 1: runs(90, 100, 400)})
    assert (small.size, small.runs, small.cpu_us_per_order, small.cost) == (1, 3, 100, 1.0)
    assert (large.size, large.cost, large.p99_ms, large.memory_mib) == (100, 3.0, 9.0, 100.0)


@pytest.mark.parametrize(("cost", "dear"), [(130, 0), (131, 1)])
def test_what_costs_more_than_the_limit_is_named(cost: float, dear: int) -> None:
    found = points({1: runs(100), 100: runs(cost)})
    assert len(too_dear(SWEEP, found)) == dear
    assert not too_dear(Sweep("SKUs", (1,), nothing, None), found)


def test_a_sweep_that_was_not_measured_keeps_its_figures(tmp_path: Path) -> None:
    write(tmp_path, SWEEP, points({1: runs(100)}))
    write(tmp_path, Sweep("partitions", (1,), nothing, None), points({1: runs(200), 8: runs(210)}))
    known = json.loads((tmp_path / "growth.json").read_text())
    assert {name: len(one["points"]) for name, one in known.items()} == {"SKUs": 1, "partitions": 2}
    assert Point(**known["SKUs"]["points"][0]).cpu_us_per_order == 100
    drawn = ElementTree.fromstring((tmp_path / "growth.svg").read_text())
    assert len(list(drawn)) == 1 + 4


def test_sweeps_are_chosen_by_name_and_cut_off_by_size() -> None:
    (found,) = chosen("waiters", 1_000)
    assert found.sizes == (1, 10, 100, 1_000)
    assert [one.name for one in chosen("", None)] == [one.name for one in SWEEPS]
    assert all(list(one.sizes) == sorted(set(one.sizes)) for one in SWEEPS)


def test_a_panel_shows_every_curve_and_every_size() -> None:
    curves = {"p50 <ms>": [(0, 1), (1_000, 2)], "p99": [(1_000_000, 4_000)]}
    drawn = picture([Panel("latency & more", "SKUs", curves, logarithmic=True, dotted=True), Panel("empty", "minutes", {})])
    texts = [one.text for one in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"latency & more", "p50 <ms>", "p99", "0", "1 k", "1 M", "5 k", "over SKUs", "empty: nothing was measured"} <= set(texts)
    assert drawn.count("<circle") == 3


def test_of_many_curves_and_samples_few_words_remain() -> None:
    drawn = picture([Panel("flat", "minutes", {"one": [(at / 12, 0.0) for at in range(100)]})])
    assert drawn.count("<polyline") == 1
    assert drawn.count("<circle") == 0
    assert drawn.count("<text") < 15


@pytest.mark.parametrize(("value", "said"), [(0, "0"), (0.25, "0.25"), (999, "999"), (1_500, "1.5 k"), (2e7, "20 M"), (-3e9, "-3 G")])
def test_numbers_are_said_in_short(value: float, said: str) -> None:
    assert in_short(value) == said
