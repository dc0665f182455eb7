"""What must not matter: the order in which things arrive, that they arrive twice, how a delivery is cut, what a SKU is called, how many
partitions there are. Whatever a reader sees at rest is the same.

Some of it does matter by design, and is left out: between orders that compete for too little, who came first counts; a line that takes
all or nothing of a delivery sees whether it comes in one piece.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.events import Demand, OrderChanged
from shared.schemas.values import AdjustmentReason, Fill, Line, Wish
from tests.support.effort import effort
from tests.unit.allocator.allocator_duet import View, seen_of
from tests.unit.allocator.allocator_in_memory import AllocatorInMemory, Shape, order_of
from tests.unit.allocator.stock_partition import START
from tests.unit.allocator.stock_script import MERCHANT, demand

SKUS = ("A", "B", "C")
units = st.integers(1, 6)
turns = st.lists(st.integers(0, 99), max_size=60)
shapes = st.builds(
    Shape, stock=st.integers(1, 8), demand=st.integers(1, 8), forgetful=st.booleans(), serve_limit=st.sampled_from([1, 2, 100]),
    window_limit=st.sampled_from([1, 64]),
)  # fmt: skip
versions = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(SKUS), units, min_size=1), st.sampled_from(["stock", "stock", "nothing"]), st.integers(0, 1)),
    min_size=1,
    max_size=4,
)
orders = st.lists(st.tuples(versions, st.booleans()), min_size=1, max_size=5)
"""Of each its versions, and whether it is canceled after them."""
goods = st.dictionaries(st.sampled_from(SKUS), st.lists(units, min_size=1, max_size=4))
"""Of every SKU the parts in which it comes."""


def _versions(drawn: Sequence[Any], fill: Fill = Fill.PARTIAL) -> list[OrderChanged]:
    """Every version of every order, in order."""
    made = []
    for number, (versions, canceled) in enumerate(drawn):
        stages = [*versions, (versions[-1][0], "closed", versions[-1][2])] if canceled else versions
        for version, (wanted, wish, priority) in enumerate(stages, 1):
            lines = tuple(Line(sku=sku, units=units) for sku, units in wanted.items())
            at = START + timedelta(seconds=number)
            name = demand(f"d{number}")
            made.append(
                order_of(
                    Demand(
                        id=name, merchant=MERCHANT, version=version, wish=Wish(wish), lines=lines, fill=fill, priority=priority,
                        demanded_at=at,
                    ),
                    START,
                )
            )  # fmt: skip
    return made


def _newest(messages: Iterable[OrderChanged]) -> list[OrderChanged]:
    return list({message.demand.id: message for message in sorted(messages, key=lambda one: one.demand.version)}.values())


def _receipts(parts: dict[str, list[int]]) -> list[ReceiveStock]:
    return [_receipt(f"{sku}-{at}", sku, units) for sku, cut in parts.items() for at, units in enumerate(cut)]


def _receipt(command: str, sku: str, units: int) -> ReceiveStock:
    place: dict[str, Any] = {"merchant": MERCHANT, "sku": sku, "warehouse": "W", "bin": "B1", "issued_at": START}
    return ReceiveStock(command_id=command, units=units, **place)


def _losses(parts: dict[str, list[int]], there: dict[str, list[int]]) -> list[AdjustStock]:
    """As many units as are there, at most, go again."""
    found = []
    for sku, cut in parts.items():
        left = sum(there.get(sku, ()))
        for at, units in enumerate(cut):
            place: dict[str, Any] = {"merchant": MERCHANT, "sku": sku, "warehouse": "W", "bin": "B1", "issued_at": START}
            lost = min(units, left)
            left -= lost
            if lost:
                found.append(AdjustStock(command_id=f"lost-{sku}-{at}", change=-lost, reason=AdjustmentReason.LOST, **place))
    return found


def _again(data: st.DataObject, messages: Sequence[Any]) -> list[Any]:
    """The messages in any order, some of them once more."""
    repeated = [*messages, *data.draw(st.lists(st.sampled_from(messages), max_size=4))] if messages else []
    return data.draw(st.permutations(repeated))


def _at_rest(data: st.DataObject, phases: Sequence[Sequence[Any]]) -> View:
    """What is seen of an allocator of any shape that was told these, one phase after the other."""
    product = AllocatorInMemory(data.draw(shapes))
    for phase in phases:
        cut = data.draw(st.integers(0, len(phase)))
        for part in (phase[:cut], phase[cut:]):
            product.say(*part)
            product.settle(data.draw(turns))
    return seen_of(product)


def _plainly(phases: Sequence[Sequence[Any]]) -> View:
    """What is seen where everything is said in order, one by one."""
    product = AllocatorInMemory(Shape(1, 1))
    for message in (message for phase in phases for message in phase):
        product.say(message)
        product.settle()
    return seen_of(product)


def _but_for_commands(view: View) -> View:
    return {"orders": view["orders"], "levels": view["levels"]}


@effort(40)
@given(st.data(), orders, goods, goods, goods)
def test_versions_deliveries_and_losses_may_come_in_any_order_and_any_parts(data: Any, drawn: Any, come: Any, lost: Any, more: Any) -> None:
    """The plain telling: the newest version of each order; each delivery in one piece."""
    said, losses = _versions(drawn), _losses(lost, come)
    whole = [_receipt(f"whole-{sku}", sku, sum(cut)) for sku, cut in come.items()]
    again = [_receipt(f"more-{sku}", sku, sum(cut)) for sku, cut in more.items()]
    more_receipts = [receipt.but(command_id=f"more-{receipt.command_id}") for receipt in _receipts(more)]
    plain = _plainly([_newest(said), whole, losses, again])
    phases = [_again(data, said), _again(data, _receipts(come)), _again(data, losses), _again(data, more_receipts)]
    assert _but_for_commands(_at_rest(data, phases)) == _but_for_commands(plain)


@effort(40)
@given(st.data(), orders, st.sampled_from(Fill))
def test_where_there_is_enough_for_all_everything_may_come_in_any_order(data: Any, drawn: Any, fill: Fill) -> None:
    said = _versions(drawn, fill)
    wanted = {sku: [max(1, sum(line.units for one in said for line in one.demand.lines if line.sku == sku))] for sku in SKUS}
    plain = _plainly([_receipts(wanted), _newest(said)])
    cut = {sku: [part for part in (total // 3, total - total // 3) if part] for sku, (total,) in wanted.items()}
    found = _at_rest(data, [_again(data, [*said, *_receipts(cut)])])
    assert _but_for_commands(found) == _but_for_commands(plain)
    assert {outcome for _, outcome, *_ in found["orders"].values()} <= {"allocated", "released"}


@effort(30)
@given(st.data(), orders, goods, st.sampled_from(Fill), st.sampled_from(["Z{}", "{} of steel", "{}-9"]))
def test_what_a_sku_is_called_and_where_it_lies_changes_nothing(data: Any, drawn: Any, come: Any, fill: Fill, called: str) -> None:
    """Names that sort as the others do: all or nothing takes SKUs in the order of their names."""
    phases: list[Sequence[Any]] = [_versions(drawn[:2], fill), _receipts(come), _versions(drawn, fill)[len(_versions(drawn[:2])) :]]
    plain = _plainly(phases)
    product = AllocatorInMemory(data.draw(shapes))
    for message in (message for phase in phases for message in phase):
        product.say(_renamed(message, called))
        product.settle(data.draw(turns))
    renamed = seen_of(product)
    assert renamed["levels"] == {called.format(sku): levels for sku, levels in plain["levels"].items()}
    for name, (*said, lines) in plain["orders"].items():
        assert renamed["orders"][name] == (*said, {called.format(sku): line for sku, line in lines.items()})


def _renamed(message: Any, called: str) -> Any:
    if not isinstance(message, OrderChanged):
        return message.but(sku=called.format(message.sku))
    lines = tuple(line.but(sku=called.format(line.sku)) for line in message.demand.lines)
    return message.but(demand=message.demand.but(lines=lines))
