"""Both sides together: nobody jumps the queue while messages are on their way between them."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from shared.schemas.commands import ReceiveStock
from shared.schemas.events import Demand, OrderChanged
from shared.schemas.values import Fill, Line, Wish
from tests.unit.allocator.allocator_in_memory import AllocatorInMemory, Shape, order_of
from tests.unit.allocator.stock_partition import START
from tests.unit.allocator.stock_script import MERCHANT, demand


def wants(number: int, fill: Fill, **units: int) -> OrderChanged:
    """The order d1, d2, … in the order in which they demanded."""
    lines = tuple(Line(sku=sku, units=count) for sku, count in units.items())
    at: dict[str, Any] = {"merchant": MERCHANT, "demanded_at": START + timedelta(seconds=number), "warehouses": ("W",)}
    return order_of(Demand(id=demand(f"d{number}"), version=1, wish=Wish.STOCK, lines=lines, fill=fill, **at), START)


def goods(sku: str, units: int) -> ReceiveStock:
    """Units that arrive."""
    place: dict[str, Any] = {"merchant": MERCHANT, "sku": sku, "warehouse": "W", "bin": "B1", "issued_at": START}
    return ReceiveStock(command_id=f"{sku}-{units}", units=units, **place)


def outcomes(allocator: AllocatorInMemory) -> dict[str, str]:
    """Order to what was told of it last."""
    return {name: told.outcome for name, told in allocator.allocations().items()}


@pytest.mark.parametrize("turns", list(product(range(3), repeat=2)), ids=str)
@pytest.mark.parametrize("behind", [Fill.PARTIAL, Fill.WHOLE_LINES, Fill.ALL_OR_NOTHING])
def test_who_waits_behind_takes_nothing_while_a_woken_order_is_on_its_way(behind: Fill, turns: tuple[int, ...]) -> None:
    """Found by the naive model: the order withdrew its place where it had waited when it set out, and its chain came there last of all."""
    allocator = AllocatorInMemory(Shape())
    for message in (goods("A", 1), wants(1, Fill.ALL_OR_NOTHING, A=1, C=2), wants(2, behind, C=1)):
        allocator.say(message)
        allocator.settle()
    allocator.say(goods("C", 2))
    allocator.settle(turns)
    assert outcomes(allocator) == {"d1": "allocated", "d2": "could_not_allocate"}


def test_a_woken_order_that_can_not_be_served_whole_lets_those_behind_it_have_the_goods() -> None:
    allocator = AllocatorInMemory(Shape())
    for message in (goods("A", 1), wants(1, Fill.ALL_OR_NOTHING, A=1, C=2), wants(2, Fill.PARTIAL, C=1), wants(3, Fill.PARTIAL, A=1)):
        allocator.say(message)
        allocator.settle()
    assert outcomes(allocator)["d3"] == "allocated"
    allocator.say(goods("C", 2))
    allocator.settle()
    assert outcomes(allocator) == {"d1": "could_not_allocate", "d2": "allocated", "d3": "allocated"}
