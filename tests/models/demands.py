"""Several SKUs, one answer: what demands want, and what comes of it. All or nothing is decided by trying all lines at once."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from tests.models.records import ALL_OR_NOTHING, PARTIAL, Line, Place
from tests.models.stock import Stock


class Terms(NamedTuple):
    """What a demand asks for: units by SKU, and on which terms. `warehouses` in order of preference; of all or nothing the first counts."""

    units: tuple[tuple[str, int], ...]
    fill: str = PARTIAL
    warehouses: tuple[str, ...] = ("main",)
    priority: int = 0
    demanded_at: datetime = datetime.min
    strategy: str = "fefo"


@dataclass
class Demand:
    """`asks`: stock was asked for. `over`: why it wants nothing any more, for good. `picking`: none, confirmed or refused. `refused`:
    the last thing that it wanted was refused."""

    name: str
    terms: Terms
    version: int = 0
    asks: bool = False
    over: str = ""
    picking: str = "none"
    refused: bool = False
    refused_skus: set[str] = field(default_factory=set)

    @property
    def place(self) -> Place:
        """Its place in every queue."""
        return self.terms.priority, self.terms.demanded_at, self.name


class Demands:
    """All stock and all demands of one merchant. `answers`: what came of every stock command."""

    def __init__(self, today: date) -> None:
        self.today = today
        self.skus: dict[str, Stock] = {}
        self.demands: dict[str, Demand] = {}
        self.answers: dict[str, str] = {}

    def stock(self, sku: str) -> Stock:
        """Of a SKU that may have been unknown until now."""
        return self.skus.setdefault(sku, Stock(self.today))

    # ---------------------------------------------------------------- what owners want

    def want(self, name: str, version: int, wish: str, terms: Terms) -> None:
        """A version of the demand, whole; only a higher one than all before counts."""
        demand = self.demands.setdefault(name, Demand(name, terms))
        if version <= demand.version:
            return
        demand.version = version
        if demand.over:
            return
        if self._is_leaving(demand) and wish != "closed":
            self._while_leaving(demand, wish)
            return
        demand.refused = False
        if wish in ("closed", "nothing"):
            demand.over = "released" if wish == "closed" else ""
            self._let_go(demand)
            demand.terms = terms
        else:
            self._ask(demand, terms)
            self._wish(demand, wish)

    def _let_go(self, demand: Demand) -> None:
        demand.asks, demand.picking = False, "none"
        for line in self._lines(demand):
            line.waiting = 0
        for sku, stock in self.skus.items():
            if demand.name in stock.lines:
                stock.release(self.line(demand, sku))

    def _ask(self, demand: Demand, terms: Terms) -> None:
        """Go for stock, unless it was asked for on these very terms: then what is missing waits already."""
        if demand.asks and demand.terms == terms:
            return
        demand.asks, demand.terms, demand.picking = True, terms, "none"
        wanted = dict(terms.units)
        for sku, stock in self.skus.items():
            if demand.name in stock.lines and sku not in wanted:
                stock.release(stock.lines[demand.name])
        if terms.fill == ALL_OR_NOTHING:
            self.try_all(demand)
        else:
            for sku, units in terms.units:
                self.stock(sku).ask(self.line(demand, sku), units)

    def try_all(self, demand: Demand) -> None:
        """Every line or none. Where there is too little of a SKU, it waits at the first such one, in the order of their names."""
        for line in self._lines(demand):
            line.waiting = 0
        needs = sorted(demand.terms.units)
        short = next((sku for sku, units in needs if not self._has_enough(demand, sku, units)), None)
        if short is None:
            for sku, units in needs:
                assert self.stock(sku).ask(self.line(demand, sku), units), (demand, sku)
            return
        for sku, _ in needs:
            self.stock(sku).release(self.line(demand, sku))
        self.line(demand, short).waiting = dict(needs)[short]

    def _has_enough(self, demand: Demand, sku: str, units: int) -> bool:
        stock, line = self.stock(sku), self.line(demand, sku)
        warehouse = demand.terms.warehouses[0]
        has = sum(1 for unit in line.units + line.flagged if unit.warehouse == warehouse)
        return units <= has + stock.left_for(demand.place).get(warehouse, 0)

    # ---------------------------------------------------------------- goods leave

    def _wish(self, demand: Demand, wish: str) -> None:
        if wish == "stock":
            for line in self._lines(demand):
                line.picking = False
            demand.picking = "none"
            self._settle(demand)
        elif demand.picking != "confirmed":
            self._start_picking(demand)
        if wish == "consumption" and demand.picking == "confirmed":
            self._consume(demand)

    def _start_picking(self, demand: Demand) -> None:
        """Only where all of it is there."""
        lines = [self.line(demand, sku) for sku, _ in demand.terms.units]
        whole = all(line.reserved and not line.flagged and not line.waiting for line in lines)
        demand.picking, demand.refused = ("confirmed", False) if whole else ("refused", True)
        for line in lines:
            line.picking = whole

    def _consume(self, demand: Demand) -> None:
        """SKU by SKU what is there leaves; never more than is on hand."""
        demand.refused = False
        for sku, _ in demand.terms.units:
            line = self.line(demand, sku)
            if line.flagged:
                demand.refused = True
            elif line.reserved:
                self.stock(sku).consume(line)
        if all(self.line(demand, sku).consumed for sku, _ in demand.terms.units):
            demand.over, demand.refused = "consumed", False

    def _is_leaving(self, demand: Demand) -> bool:
        """Some SKUs have left, others not."""
        return any(line.consumed for line in self._lines(demand))

    def _while_leaving(self, demand: Demand, wish: str) -> None:
        """What has begun to leave is not given back."""
        if wish == "consumption":
            self._consume(demand)
        elif wish != "picking":
            demand.refused = True

    # ---------------------------------------------------------------- stock

    def receive(self, command: str, sku: str, warehouse: str, bin_: str, units: int, now: datetime) -> None:
        """Goods arrived."""
        if command not in self.answers:
            self.stock(sku).receive(warehouse, bin_, None, None, units, now)
            self.answers[command] = "posted"

    def adjust(self, command: str, sku: str, warehouse: str, bin_: str, change: int) -> None:
        """Somebody found more or fewer."""
        record = self.stock(sku).record(warehouse, bin_, None)
        if command in self.answers:
            return
        if record is None or not change:
            self.answers[command] = "no_such_record" if change else "zero_change"
        elif record.on_hand + change < 0:
            self.answers[command] = "below_zero"
        else:
            self.stock(sku).adjust(record, change)
            self.answers[command] = "posted"

    def serve(self, skus: tuple[str, ...], *, woken: bool = True) -> None:
        """Whoever waits and fits is served, SKU by SKU in this order, until nobody is left who does. Not `woken`: who takes all or nothing
        has been told that there is something, and is on the way; nobody takes it meanwhile."""
        for _ in range(1_000):
            if not any(self._serve_one(sku, woken=woken) for sku in skus):
                return
        raise AssertionError("who waits is served again and again")

    def _serve_one(self, sku: str, *, woken: bool) -> bool:
        for line, got in self.stock(sku).fitting():
            if line.fill != ALL_OR_NOTHING:
                self.stock(sku).give(line, got)
                return True
            if woken:
                self.try_all(self.demands[line.demand])
                return True
        return False

    # ---------------------------------------------------------------- lines

    def _settle(self, demand: Demand) -> None:
        for sku, _ in demand.terms.units:
            self.stock(sku).settle()

    def _lines(self, demand: Demand) -> list[Line]:
        return [stock.lines[demand.name] for stock in self.skus.values() if demand.name in stock.lines]

    def line(self, demand: Demand, sku: str) -> Line:
        """Its line at the SKU, on the present terms."""
        line = self.stock(sku).lines.setdefault(demand.name, Line(demand.name, demand.place))
        terms = demand.terms
        line.place, line.fill, line.strategy = demand.place, terms.fill, terms.strategy
        line.warehouses = terms.warehouses[:1] if terms.fill == ALL_OR_NOTHING else terms.warehouses
        return line

    def answer(self, demand: Demand) -> str:
        """What became of it, in one word."""
        lines = [self.line(demand, sku) for sku, _ in demand.terms.units]
        if demand.over == "consumed" or (demand.over and all(line.consumed for line in lines)):
            return "consumed"
        if demand.over or not demand.asks:
            return "released"
        if any(line.flagged for line in lines):
            return "overallocated"
        has = sum(line.reserved + line.consumed for line in lines)
        if not has:
            return "could_not_allocate"
        return "allocated" if has >= sum(units for _, units in demand.terms.units) else "partially_allocated"
