"""The judgement of a soak: which series grows, and which only looks like it."""

from random import Random

import pytest

from shared.settings import Settings
from tests.soak.rules import DEAD_ROWS, KEPT, TITLES, dead_share, rule_of
from tests.soak.service import forgetful
from tests.soak.verdicts import HOUR_SECONDS, MOST_POINTS, Rule, judge, slope, thinned

FLAT = Rule("flat", 5, "rows")
KEEPS = Rule("kept", 5, "B")
HALF_AN_HOUR = range(0, 1800, 5)


def line(rate: float, level: float = 0.0) -> list[tuple[float, float]]:
    return [(at, level + rate * at) for at in HALF_AN_HOUR]


def test_the_slope_is_that_of_a_line() -> None:
    assert slope(line(0.25, 7)) == pytest.approx(0.25)


def test_a_quarter_of_wild_samples_does_not_move_the_slope() -> None:
    draw = Random(1)
    wild = [(at, draw.uniform(-1e6, 1e6) if draw.random() < 0.25 else 2 * at) for at in HALF_AN_HOUR]
    assert slope(wild) == pytest.approx(2, rel=0.05)


def test_nothing_and_one_moment_have_no_slope() -> None:
    assert slope([]) == slope([(1, 2)]) == slope([(1, 2), (1, 3)]) == 0


def test_many_points_become_few_and_keep_their_place() -> None:
    few = thinned(line(1), 10)
    assert len(few) == 10
    assert all(at == value for at, value in few)
    assert thinned(few) == few
    assert len(thinned([(at, 0) for at in range(10 * MOST_POINTS + 1)])) <= MOST_POINTS


@pytest.mark.parametrize(
    ("level", "rate", "word"),
    [
        (100, 0, "flat"),
        (100, 0.002, "flat"),  # less than the floor in all
        (1_000, 0.05, "flat"),  # less than a tenth of the level
        (1_000, 0.2, "grows"),
        (0, 0.01, "grows"),
        (1_000, -0.2, "falls"),
    ],
)
def test_what_grows_stands_out_from_floor_and_level(level: float, rate: float, word: str) -> None:
    verdict = judge("x", line(rate, level), FLAT)
    assert (verdict.word, verdict.is_fault) == (word, word == "grows")
    assert verdict.rate == pytest.approx(rate * HOUR_SECONDS)
    assert verdict.first <= verdict.last or rate < 0


def test_a_leak_is_seen_through_a_sawtooth_and_noise_alone_is_none() -> None:
    draw = Random(2)
    saw = [(at, at % 300 + draw.uniform(-20, 20)) for at in HALF_AN_HOUR]
    assert judge("x", saw, FLAT).word == "flat"
    assert judge("x", [(at, value + at) for at, value in saw], FLAT).word == "grows"


def test_a_saw_that_rises_nearly_all_the_time_and_ends_lower_is_flat() -> None:
    assert judge("x", [(at, at + 50.0 if at < 1_200 else (at - 1_200) / 2) for at in HALF_AN_HOUR], FLAT).word != "grows"


@pytest.mark.parametrize("tooth", [500, 600, 700])
def test_a_saw_of_few_teeth_is_flat(tooth: int) -> None:
    assert judge("x", [(at, at % tooth) for at in HALF_AN_HOUR], FLAT).word == "flat"


def test_what_rises_at_first_and_then_stays_is_flat_once_the_warm_up_is_left_out() -> None:
    rising = [(at, min(at, 300.0)) for at in HALF_AN_HOUR]
    assert judge("x", [point for point in rising if point[0] >= 400], FLAT).word == "flat"


def test_what_is_kept_grows_with_the_orders_and_not_faster() -> None:
    orders = line(400)
    even = judge("x", [(at, 800.0 * made) for at, made in orders], KEEPS, orders)
    assert (even.word, even.unit) == ("kept", "B an order")
    assert even.rate == pytest.approx(800)
    assert judge("x", [(at, made**2) for at, made in orders], KEEPS, orders).is_fault
    assert judge("x", [(at, 5.0) for at, _ in orders], KEEPS, orders).word == "kept"


def test_what_is_kept_is_judged_by_orders_even_while_these_pause() -> None:
    orders = [(at, float(max(0, at - 900))) for at in HALF_AN_HOUR]
    assert judge("x", [(at, 10 * made) for at, made in orders], KEEPS, orders).word == "kept"


def test_too_few_samples_are_shown_and_not_judged() -> None:
    assert judge("x", [(0, 0), (1, 1e9)], FLAT).word == "shown"


def test_there_is_a_rule_for_every_thing_that_is_drawn() -> None:
    assert {rule_of(f"{prefix}/x").kind for prefix in TITLES} == {"flat", "kept", "shown"}
    assert {rule_of(f"{size}/{name}").kind for name in KEPT for size in ("table", "index")} == {"kept"}
    assert rule_of("table/allocator.reservation").kind == "flat"


def judged(name: str, values: list[float]) -> str:
    return judge(name, list(zip(map(float, HALF_AN_HOUR), values, strict=True)), rule_of(name)).word


def test_dead_rows_of_a_small_table_that_is_updated_in_place_mean_nothing() -> None:
    draw = Random(3)
    between_two_visits_of_autovacuum = [dead_share(draw.uniform(0.1, 0.5 + at / 1_800) * 670, 670) for at in HALF_AN_HOUR]
    assert judged("dead share/inventory.stock_ledger", between_two_visits_of_autovacuum) == "flat"


@pytest.mark.parametrize(("live", "most"), [(670, 1.5 * DEAD_ROWS), (1_000_000, 350_000)])
def test_dead_rows_that_nobody_removes_are_seen_in_a_small_table_and_in_a_large_one(live: float, most: float) -> None:
    assert judged("dead share/orders.sales_order", [dead_share(at / 1_800 * most, live) for at in HALF_AN_HOUR]) == "grows"


@pytest.mark.parametrize("share", [0.01, 0.21])
def test_a_fifth_of_a_table_that_grows_may_be_dead(share: float) -> None:
    live = [250 * at for at in HALF_AN_HOUR]
    assert judged("dead share/orders.sales_order", [dead_share(share * one, one) for one in live]) == "flat"


def test_more_orders_than_the_warehouse_ships_are_seen_within_half_an_hour() -> None:
    draw = Random(4)
    held = [draw.uniform(10, 40) for _ in HALF_AN_HOUR]
    assert judged("to be shipped/orders", held) == "flat"
    assert judged("to be shipped/orders", [value + at / 10 for at, value in zip(HALF_AN_HOUR, held, strict=True)]) == "grows"


def test_a_forgetful_service_differs_in_nothing_else() -> None:
    usual = Settings()
    assert forgetful(usual, 864).keep_days == 0.01
    assert forgetful(usual, 864).model_copy(update={"keep_days": usual.keep_days}) == usual
