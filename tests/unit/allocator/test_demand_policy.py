"""The default policy: what a demand leaves open, settings answer."""

import pytest

from services.allocator.core.policy import PolicySettings, TermLine, resolve, wish_of
from shared.schemas.events import Demand
from shared.schemas.values import Fill, Line, Strategy, Wish
from tests.unit.allocator.demand_script import NOON


def demand(*lines: Line, kind: str = "sales-order", warehouses: tuple[str, ...] = (), fill: Fill | None = None) -> Demand:
    return Demand(
        id=f"{kind}/acme/1",
        merchant="acme",
        version=1,
        wish=Wish.STOCK,
        lines=lines or (Line(sku="A", units=1),),
        demanded_at=NOON,
        warehouses=warehouses,
        fill=fill,
    )


@pytest.mark.parametrize(
    ("kind", "fill"),
    [
        ("sales-order", Fill.PARTIAL),
        ("work-order", Fill.ALL_OR_NOTHING),
        ("outbound-order", Fill.ALL_OR_NOTHING),
        ("transfer-order", Fill.ALL_OR_NOTHING),
    ],
)
def test_sales_orders_are_filled_partially_and_everything_else_whole(kind: str, fill: Fill) -> None:
    assert resolve(demand(kind=kind), PolicySettings()).fill is fill


def test_what_the_demand_says_wins() -> None:
    assert resolve(demand(fill=Fill.WHOLE_LINES), PolicySettings()).fill is Fill.WHOLE_LINES


def test_expiring_first_is_the_default_strategy() -> None:
    assert resolve(demand(), PolicySettings()).strategy is Strategy.FEFO
    assert resolve(demand(), PolicySettings(strategy=Strategy.LIFO)).strategy is Strategy.LIFO


def test_warehouses_come_from_the_line_else_the_demand_else_the_merchant_else_the_default() -> None:
    settings = PolicySettings(default_warehouses=("d",), merchant_warehouses={"acme": ("m1", "m2")})
    line, plain = Line(sku="A", units=1, warehouses=("l",)), Line(sku="A", units=1)
    assert resolve(demand(line, warehouses=("w",)), settings).lines[0].warehouses == ("l",)
    assert resolve(demand(plain, warehouses=("w",)), settings).lines[0].warehouses == ("w",)
    assert resolve(demand(plain), settings).lines[0].warehouses == ("m1", "m2")
    assert resolve(demand(plain), PolicySettings(default_warehouses=("d",))).lines[0].warehouses == ("d",)


def test_a_warehouse_that_is_named_twice_counts_once() -> None:
    """Counted twice its stock was promised twice, and the stock partition stopped at its own assertion (found by the simulation)."""
    line = Line(sku="A", units=1, warehouses=("x", "y", "x"))
    assert resolve(demand(line), PolicySettings()).lines[0].warehouses == ("x", "y")
    plain = Line(sku="A", units=1)
    assert resolve(demand(plain, warehouses=("w", "w")), PolicySettings()).lines[0].warehouses == ("w",)
    assert resolve(demand(plain), PolicySettings(default_warehouses=("d", "e", "d"))).lines[0].warehouses == ("d", "e")


def test_lines_are_sorted_and_one_per_sku() -> None:
    lines = (Line(sku="B", units=1), Line(sku="A", units=2, warehouses=("x",)), Line(sku="B", units=4, warehouses=("y",)))
    assert resolve(demand(*lines), PolicySettings()).lines == (TermLine("A", 2, ("x",)), TermLine("B", 5, ("main",)))


def test_a_chain_draws_on_the_first_warehouse_that_every_line_accepts() -> None:
    lines = (Line(sku="A", units=1, warehouses=("x", "y")), Line(sku="B", units=1, warehouses=("y", "z")), Line(sku="C", units=1))
    terms = resolve(demand(*lines, fill=Fill.ALL_OR_NOTHING, warehouses=("w",)), PolicySettings())
    assert terms.alternative == "y"
    assert {line.warehouses for line in terms.lines} == {("y",)}


def test_a_chain_whose_lines_agree_on_no_warehouse_takes_the_demands_own() -> None:
    lines = (Line(sku="A", units=1, warehouses=("x",)), Line(sku="B", units=1, warehouses=("z",)))
    assert resolve(demand(*lines, fill=Fill.ALL_OR_NOTHING, warehouses=("w",)), PolicySettings()).alternative == "w"


def test_without_automatic_allocation_only_the_wish_for_stock_is_held_back() -> None:
    assert wish_of(demand(), PolicySettings(allocate_now=False)) is Wish.NOTHING
    assert wish_of(demand(), PolicySettings()) is Wish.STOCK


def test_settings_without_a_warehouse_are_refused() -> None:
    with pytest.raises(AssertionError):
        PolicySettings(default_warehouses=())
    with pytest.raises(AssertionError):
        PolicySettings(merchant_warehouses={"acme": ()})
