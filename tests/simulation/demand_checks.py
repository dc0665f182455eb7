"""The demand side's promises at rest: what it believes is what the stock side has, and no demand is half served."""

from datetime import datetime
from typing import TYPE_CHECKING

from services.allocator.core.demand.state import DemandState, Picking, Status
from services.allocator.core.stock.rows import ReservationRow
from services.allocator.store.demand_encoding import from_row
from services.allocator.store.demand_memory import PAGES, TABLE
from shared.schemas.values import Wish
from tests.simulation.books import room_for
from tests.simulation.failed import Failed
from tests.simulation.shop import Order, Shop
from tests.simulation.stock_checks import CLOCKS_JUMP, StockChecks

if TYPE_CHECKING:
    from tests.simulation.world import World

Units = dict[tuple[str, str], int]
AT_REST = {Status.RELEASED, Status.LINES, Status.WAITING, Status.ALLOCATED, Status.CLOSED, Status.CONSUMED}


class DemandChecks:
    """Compares the demands with the stock side's rows, row by row."""

    def __init__(self, world: "World", shop: Shop, stock: StockChecks) -> None:
        self._world, self._shop, self._stock = world, shop, stock
        self.ended_before: datetime | None = None
        """What ended earlier must have been forgotten by now."""

    def state_of(self, demand: str) -> DemandState:
        """The committed state of a demand: at rest it has a row, and no page says anything newer."""
        found = self._world.database.table(TABLE).get(demand)
        if found is None:
            raise Failed(f"a demand is unknown: {demand}")
        home, row, outdated_to = found
        for (partition, number), page in self._world.database.table(PAGES).items():
            if partition == home and number > outdated_to and any(one.demand == demand for one in page.rows):
                raise Failed(f"not at rest: {demand} stands on page {number}")
        return from_row(row)

    def quiet(self) -> None:
        """At rest."""
        for name, order in self._shop.orders.items():
            if name in self._shop.forgotten:
                self._check_forgotten(name)
                continue
            state = self.state_of(name)
            self._check_age(state)
            truth = {(row.sku, row.alternative): row for row in self._stock.of_demand(name)}
            _check_settled(state, order)
            _check_folded(state, truth)
            self._check_shape(state, truth)
            _check_marks(state, truth)

    def _check_forgotten(self, name: str) -> None:
        """Nothing is left of it; unless its owner spoke up after the window, which makes another demand of it."""
        left = list(self._stock.of_demand(name))
        if left and name not in self._world.database.table("demand"):
            raise Failed(f"forgotten, and yet something is left: {left}")

    def _check_age(self, state: DemandState) -> None:
        if self.ended_before is not None and state.closed_at is not None and state.closed_at < self.ended_before - CLOCKS_JUMP:
            raise Failed(f"ended a month ago and still known: {state}")

    def _check_shape(self, state: DemandState, truth: dict[tuple[str, str], ReservationRow]) -> None:
        held: Units = {key: row.reserved_units for key, row in truth.items() if row.reserved_units}
        waits: Units = {key: row.waiting_units for key, row in truth.items() if row.waiting_units}
        gone: Units = {key: row.consumed_units for key, row in truth.items() if row.consumed_units}
        wanted: Units = {(line.sku, state.terms.alternative): line.units for line in state.terms.lines}
        match state.status:
            case Status.RELEASED | Status.CLOSED:
                fine = not held and not waits
            case Status.CONSUMED:
                fine = not held and not waits and gone == wanted
            case Status.ALLOCATED:
                fine = not waits and _sum(held, gone) == wanted
            case Status.WAITING:
                fine = not held and set(waits) == state.waiting_at and len(waits) == 1 and waits.items() <= wanted.items()
                self._check_not_asleep(state)
            case _:
                fine = _sum(held, waits, gone) == wanted
        if not fine:
            what = f"wants {wanted}, holds {held}, waits for {waits}, {gone} has left"
            raise Failed(f"half reserved: {state.id} {state.status.value} {what}")

    def _check_not_asleep(self, state: DemandState) -> None:
        """All or nothing: there must be a SKU that really has too little."""
        today = self._stock.today()
        if all(
            room_for(self._stock.skus[state.merchant, line.sku], (state.terms.alternative,), today) >= line.units
            for line in state.terms.lines
        ):
            raise Failed(f"asleep: {state.id} could be served whole")


def _sum(*parts: Units) -> Units:
    total: Units = {}
    for part in parts:
        for key, units in part.items():
            total[key] = total.get(key, 0) + units
    return total


def _check_settled(state: DemandState, order: Order) -> None:
    if state.version != order.demand.version:
        raise Failed(f"a version was not taken: {order.demand.version} of {state}")
    if (broken := _unsettled(state, order.demand.wish)) is not None:
        raise Failed(f"{broken}: {state.id} (wish {order.demand.wish.value}): {state}")


def _unsettled(state: DemandState, wish: Wish) -> str | None:
    """What is not done that should be, at rest."""
    if state.batons or state.releasing or state.status not in AT_REST:
        return "not at rest"
    if state.status is Status.CONSUMED:
        return None
    if wish is Wish.CLOSED and state.status is not Status.CLOSED:
        return "not closed"
    if wish is Wish.NOTHING and state.status is not Status.RELEASED and state.picking is not Picking.CONSUMING:
        return "not released"
    if wish in (Wish.STOCK, Wish.PICKING, Wish.CONSUMPTION) and state.status is Status.RELEASED:
        return "never asked for stock"
    return "picking was never answered" if state.picking in (Picking.ASKED, Picking.MARKING) else None


def _check_folded(state: DemandState, truth: dict[tuple[str, str], ReservationRow]) -> None:
    for key in sorted(truth.keys() | state.seen.keys()):
        row, seen = truth.get(key), state.seen.get(key)
        true = (0, 0, 0, 0, None) if row is None else _figures(row)
        folded = (0, 0, 0, 0, None) if seen is None else _figures(seen)
        if true != folded:
            raise Failed(f"folded otherwise than it is: {state.id} at {key}: folded {seen}, stock has {row}")
        if row is not None and seen is not None:
            pieces = {piece.record: piece.units for piece in seen.pieces}
            if pieces != {number: units for number, units in zip(row.piece_records, row.piece_units, strict=True) if units}:
                raise Failed(f"other pieces are told than reserved: {state.id} at {key}: {seen}, stock has {row}")


def _figures(one: object) -> tuple[int | None, ...]:
    names = ("reserved_units", "flagged_units", "waiting_units", "consumed_units", "mark")
    return tuple(getattr(one, name) for name in names)


def _check_marks(state: DemandState, truth: dict[tuple[str, str], ReservationRow]) -> None:
    held = {key for key, row in truth.items() if row.reserved_units}
    marked = {key for key in held if truth[key].mark is not None}
    expected = held if state.picking in (Picking.CONFIRMED, Picking.CONSUMING) else set()
    if marked != expected:
        raise Failed(
            f"picking marks are not what is believed: {state.id} is {state.picking.value}, marked at {sorted(marked)} of {sorted(held)}"
        )
