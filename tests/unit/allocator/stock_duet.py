"""The stock side and its naive model, told the same in the same batches, and compared after each."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from services.allocator.core.stock.settings import StockSettings
from shared.schemas.commands import (
    Activate,
    AdjustStock,
    ChainStop,
    Consume,
    MarkPicking,
    ReceiveStock,
    Release,
    ReserveChain,
    ReserveLine,
    ReturnBaton,
    UnmarkPicking,
)
from shared.schemas.values import AdjustmentReason, Fill, Strategy
from tests.models.messages import Limits, Messages
from tests.models.records import ALL_OR_NOTHING
from tests.unit.allocator.stock_compared import Compared
from tests.unit.allocator.stock_partition import START, StockPartition
from tests.unit.allocator.stock_script import MERCHANT, demand

SKUS = ("A", "B")
ORDERS, CHAINS = ("o1", "o2", "o3", "o4", "o5"), ("x1", "x2", "x3")
ALTERNATIVES = {name: "W" if name != "x3" else "V" for name in CHAINS}


class Told(NamedTuple):
    """One message: as the product gets it, and what it does to the model of its SKU."""

    message: Any
    does: Callable[[Messages], None]


class Duet:
    """Messages wait in `batch` until it is cut. `told` has every message that was ever sent, to be repeated."""

    def __init__(self, settings: StockSettings, *, forgetful: bool) -> None:
        self.partition = StockPartition(settings, forgetful=forgetful)
        limits = Limits(settings.serve_limit, settings.window_limit, timedelta(seconds=settings.baton_seconds))
        self.models = {sku: Messages(START, limits) for sku in SKUS}
        self.attempts: dict[str, int] = {}
        self.batch: list[Told] = []
        self.told: list[Told] = []
        self.onward: list[ReserveChain] = []
        self._compared = Compared()
        self._numbers = 0

    def cut(self, seconds: float) -> list[Any]:
        """Both decide what has been said; the product's messages."""
        sends = self.partition.batch([one.message for one in self.batch], seconds)
        for model in self.models.values():
            model.begin(self.partition.now)
        for one in self.batch:
            one.does(self.models[one.message.sku])
        for model in self.models.values():
            model.end()
        self.batch = []
        self._compared.compare(self.partition, self.models, sends)
        self.onward += [send.message for send in sends if isinstance(send.message, ReserveChain)]
        return [send.message for send in sends]

    def say(self, message: Any, does: Callable[[Messages], None]) -> None:
        """Into the next batch."""
        self.batch.append(Told(message, does))
        self.told.append(self.batch[-1])

    def repeat(self, at: int) -> None:
        """Something that was said before, however long ago."""
        self.batch.append(self.told[at % len(self.told)])

    # ---------------------------------------------------------------- what can be said

    def receive(self, sku: str, warehouse: str, bin_: str, lot: str | None, ends_on: date | None, units: int) -> None:
        command, arrived_at = self._command(), self.partition.now + timedelta(seconds=1)
        place: dict[str, Any] = {"warehouse": warehouse, "bin": bin_, "lot": lot, "issued_at": arrived_at}
        message = ReceiveStock(command_id=command, merchant=MERCHANT, sku=sku, units=units, expires_on=ends_on, **place)
        self.say(message, lambda model: model.receive(command, (warehouse, bin_, lot), ends_on, units, arrived_at))

    def adjust(self, sku: str, warehouse: str, bin_: str, lot: str | None, change: int, again: str | None = None) -> None:
        command = again or self._command()
        place: dict[str, Any] = {"warehouse": warehouse, "bin": bin_, "lot": lot, "issued_at": self.partition.now}
        reason = AdjustmentReason.CORRECTION
        message = AdjustStock(command_id=command, merchant=MERCHANT, sku=sku, change=change, reason=reason, **place)
        self.say(message, lambda model: model.adjust(command, warehouse, bin_, lot, change))

    def line(self, name: str, sku: str, units: int, fill: str, warehouses: tuple[str, ...], strategy: str, priority: int) -> None:
        attempt = self._next_attempt(name)
        terms = self._terms(name, strategy, priority)
        message = ReserveLine(**self._named(name, sku, attempt), units=units, fill=Fill(fill), warehouses=warehouses, **terms)
        place = (priority, terms["demanded_at"], name)
        self.say(message, lambda model: model.reserve(name, attempt, place, units, fill, warehouses, strategy, None))

    def chain(self, name: str, needs: Sequence[tuple[str, int]], strategy: str, priority: int) -> None:
        terms = self._terms(name, strategy, priority)
        stops = tuple(ChainStop(sku=sku, units=units) for sku, units in needs)
        named = self._named(name, "", self._next_attempt(name))
        del named["sku"]
        self.stop(ReserveChain(**named, stop=0, stops=stops, **terms))

    def stop(self, message: ReserveChain) -> None:
        """A chain at its first stop, or where another has passed it on to."""
        name, stop = message.demand.rpartition("/")[2], message.stops[message.stop]
        onward = message.stops[message.stop + 1].sku if message.stop + 1 < len(message.stops) else None
        place = (message.priority, message.demanded_at, name)
        at, by = (message.alternative,), message.strategy.value
        self.say(message, lambda model: model.reserve(name, message.attempt, place, stop.units, ALL_OR_NOTHING, at, by, onward))

    def reduce(self, name: str, sku: str, units: int, strategy: str, priority: int) -> None:
        attempt = self._next_attempt(name)
        terms, at = self._terms(name, strategy, priority), (ALTERNATIVES[name],)
        named = self._named(name, sku, attempt)
        message = ReserveLine(**named, units=units, fill=Fill.ALL_OR_NOTHING, reduce=True, warehouses=at, **terms)
        place = (priority, terms["demanded_at"], name)
        self.say(message, lambda model: model.reduce(name, attempt, place, units, at, strategy))

    def release(self, name: str, sku: str, *, late: bool) -> None:
        attempt = self._attempt(name, late=late)
        self.say(Release(**self._named(name, sku, attempt)), lambda model: model.release(name, attempt))

    def activate(self, name: str, sku: str, *, late: bool) -> None:
        attempt = self._attempt(name, late=late)
        self.say(Activate(**self._named(name, sku, attempt)), lambda model: model.activate(name, attempt))

    def mark(self, name: str, sku: str, *, late: bool) -> None:
        attempt, number = self._attempt(name, late=late), self._number()
        self.say(MarkPicking(**self._named(name, sku, attempt), mark=number), lambda model: model.mark(name, attempt, number))

    def unmark(self, name: str, sku: str, *, late: bool) -> None:
        attempt, number = self._attempt(name, late=late), self.models[sku].marks.get(name, 1)
        self.say(UnmarkPicking(**self._named(name, sku, attempt), mark=number), lambda model: model.unmark(name, attempt, number))

    def consume(self, name: str, sku: str, *, late: bool) -> None:
        attempt, number = self._attempt(name, late=late), self._number()
        self.say(Consume(**self._named(name, sku, attempt), command=number), lambda model: model.consume(name, attempt, number))

    def return_baton(self, name: str, sku: str, served: bool | None, *, newer: bool) -> None:
        baton = self.models[sku].batons.get(name)
        attempt, number = self._attempt(name, late=False) + newer, baton.number if baton else 1
        self.attempts[name] = attempt
        message = ReturnBaton(**self._named(name, sku, attempt), baton=number, served=served)
        self.say(message, lambda model: model.return_baton(name, attempt, number, served))

    # ---------------------------------------------------------------- names and numbers

    def _named(self, name: str, sku: str, attempt: int) -> dict[str, Any]:
        alternative = ALTERNATIVES.get(name, "")
        return {"demand": demand(name), "merchant": MERCHANT, "sku": sku, "alternative": alternative, "attempt": attempt}

    def _terms(self, name: str, strategy: str, priority: int) -> dict[str, Any]:
        demanded_at = START + timedelta(seconds=(*ORDERS, *CHAINS).index(name))
        return {"strategy": Strategy(strategy), "priority": priority, "demanded_at": demanded_at}

    def _next_attempt(self, name: str) -> int:
        self.attempts[name] = self.attempts.get(name, 0) + 1
        return self.attempts[name]

    def _attempt(self, name: str, *, late: bool) -> int:
        """The present one, or the one before."""
        return max(1, self.attempts.get(name, 1) - late)

    def _command(self) -> str:
        return f"c{self._number()}"

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
