"""The arithmetic of the benchmark: medians, spread, ratios, and what is met."""

import json
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from tests.benchmarks import __main__ as bench
from tests.benchmarks import report
from tests.benchmarks.measuring import Measurement, percentile_ms
from tests.benchmarks.results import UNITS, Result, results
from tests.benchmarks.rows import ROWS, AtLeast, AtMost, Bar, Row, Run, Servers
from tests.benchmarks.workloads import SKUS, picker

YARDSTICK = Row("yardstick")
PRODUCT = Row("product", (Bar("yardstick", 4, 9), Bar("absent", 1, 2)))


def runs(*rates: float) -> list[Measurement]:
    return [Measurement(rate, 100 / rate) for rate in rates]


def test_a_row_is_its_median_and_its_ratio_that_of_medians() -> None:
    yardstick, product = results([YARDSTICK, PRODUCT], {"yardstick": runs(90, 100, 400), "product": runs(700, 500, 650)})
    assert (yardstick.value, yardstick.spread, yardstick.met) == (100, 1.55, None)
    assert (product.value, product.reference, product.ratio, product.met) == (650, 100, 6.5, "floor")


@pytest.mark.parametrize(("rate", "met"), [(399, "neither"), (400, "floor"), (899, "floor"), (900, "goal")])
def test_floor_and_goal_are_met_where_the_ratio_reaches_them(rate: float, met: str) -> None:
    found = results([YARDSTICK, PRODUCT], {"yardstick": runs(100), "product": runs(rate)})
    assert [one.met for one in found] == [None, met]


@pytest.mark.parametrize(("milliseconds", "met"), [(61, "neither"), (60, "floor"), (15.1, "floor"), (15, "goal")])
def test_of_a_time_less_is_better(milliseconds: float, met: str) -> None:
    row = Row("latency", (AtMost("p50_ms", 60, 15),))
    (found,) = results([row], {"latency": [Measurement(p50_ms=milliseconds), Measurement(p50_ms=1), Measurement(p50_ms=1_000)]})
    assert (found.name, found.value, found.unit, found.met, found.ratio) == ("latency: median", milliseconds, "ms", met, None)


def test_a_rate_may_be_held_against_a_figure_instead_of_a_yardstick() -> None:
    (found,) = results([Row("served", (AtLeast(500, 2_000),))], {"served": runs(700)})
    assert (found.value, found.floor, found.goal, found.reference, found.met) == (700, 500, 2_000, None, "floor")


def test_a_row_whose_yardstick_was_not_measured_stands_alone() -> None:
    (product,) = results([YARDSTICK, PRODUCT], {"product": runs(500)})
    assert (product.ratio, product.met) == (None, None)


def test_every_bar_names_a_row_and_its_goal_lies_above_its_floor() -> None:
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS)
    for bar in (bar for row in ROWS for bar in row.bars):
        assert not isinstance(bar, Bar) or bar.yardstick in names
        assert bar.of in UNITS
        assert 0 < bar.goal < bar.floor if isinstance(bar, AtMost) else 0 < bar.floor < bar.goal


def test_who_asks_for_a_row_gets_its_yardsticks_and_what_shares_its_stand() -> None:
    def asked(part: str) -> list[str]:
        return [row.name for run in bench.chosen(part) for row in run.rows]

    assert asked("hot") == ["reference, hot", "allocator, hot"]
    assert asked("half of the most") == ["HTTP to allocated, one at a time", "HTTP to allocated, half of the most"]
    assert asked("") == [row.name for row in ROWS]


async def test_a_run_measures_all_its_rows_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([1.0, 2.0, 3.0, 4.0])

    async def both(_: Servers) -> list[Measurement]:
        return [Measurement(next(rates)), Measurement(next(rates))]

    monkeypatch.setattr(bench, "REST_SECONDS", 0)
    measured = await bench.measure([Run((YARDSTICK, PRODUCT), both)], Servers("", ""), 2, Console(quiet=True))
    assert measured == {"yardstick": [Measurement(1), Measurement(3)], "product": [Measurement(2), Measurement(4)]}


def test_the_report_is_written_for_programs_and_as_a_picture(tmp_path: Path) -> None:
    found = results([YARDSTICK, PRODUCT], {"yardstick": runs(100), "product": runs(650)})
    report.write(tmp_path, found)
    assert [Result(**one) for one in json.loads((tmp_path / "bench.json").read_text())] == found
    assert "product" in (tmp_path / "bench.svg").read_text()


@pytest.mark.parametrize("workload", ["uniform", "hot", "zipf"])
def test_an_order_wants_distinct_skus_in_order(workload: str) -> None:
    pick = picker(workload, 3, Random(1))
    for chosen in (pick() for _ in range(200)):
        assert chosen == sorted(set(chosen))
        assert len(chosen) == 3


def test_zipf_wants_few_skus_often_and_uniform_wants_all_alike() -> None:
    def most_wanted(workload: str) -> int:
        pick = picker(workload, 1, Random(1))
        wanted = [pick()[0] for _ in range(5_000)]
        return max(map(wanted.count, set(wanted)))

    assert most_wanted("hot") == 5_000
    assert most_wanted("uniform") < 5_000 / SKUS * 20
    assert 300 < most_wanted("zipf") < 2_500


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([0.001 * number for number in range(1, 101)], 0.99) == pytest.approx(100)
