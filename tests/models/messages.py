"""One SKU behind messages: the highest attempt counts, repeats change nothing, all-or-nothing lines are woken by batons.

A batch is `begin`, messages in turn, `end`: those who wait are served at its end. What is said is collected in `said`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.models.records import ALL_OR_NOTHING, Line, Place
from tests.models.stock import Stock


@dataclass
class Limits:
    """`serve`: how many are served a batch. `window`: how many batons may be out at most. `baton`: for how long one has a claim."""

    serve: int
    window: int
    baton: timedelta


@dataclass
class Baton:
    """Who has it was woken and has not come back."""

    number: int
    until: datetime
    expired: bool = False


class Messages:
    """`said`: in turn, what the SKU says of commands and to those whom it wakes; that figures changed is not said here."""

    def __init__(self, now: datetime, limits: Limits) -> None:
        self.stock = Stock(now.astimezone(UTC).date())
        self.now, self.limits = now, limits
        self.attempts: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.answers: dict[str, tuple[Any, Any]] = {}
        self.batons: dict[str, Baton] = {}
        self.window, self.batons_made = 1, 0
        self.said: list[tuple[Any, ...]] = []

    def begin(self, now: datetime) -> None:
        """Time has passed: batons expire, lots end."""
        self.said, self.now, self.stock.today = [], now, now.astimezone(UTC).date()
        for baton in self.batons.values():
            baton.expired = baton.expired or baton.until <= now
        self.stock.settle()

    def end(self) -> None:
        """Serve those who wait, at most so many; all-or-nothing ones are told to come, and what they need is kept for them."""
        done = 0
        for line, got in list(self.stock.fitting(self.expired())):
            wakes = line.fill == ALL_OR_NOTHING
            if wakes and not self._may_wake(line):
                continue
            if done == self.limits.serve:
                return
            done += 1
            if wakes:
                self._wake(line)
            else:
                self.stock.give(line, got)

    def expired(self) -> list[str]:
        """Who has no claim until the baton comes back."""
        return [demand for demand, baton in self.batons.items() if baton.expired]

    def _may_wake(self, line: Line) -> bool:
        out = [baton for baton in self.batons.values() if not baton.expired]
        return line.demand not in self.batons and len(out) < self.window

    def _wake(self, line: Line) -> None:
        self.batons_made += 1
        self.batons[line.demand] = Baton(self.batons_made, self.now + self.limits.baton)
        self.said.append(("wake", line.demand, self.batons_made))

    # ---------------------------------------------------------------- from inventory

    def receive(self, command: str, place: tuple[str, str, str | None], ends_on: date | None, units: int, arrived_at: datetime) -> None:
        """Goods arrived, which the warehouse may say later; `place` is warehouse, bin and lot."""
        warehouse, bin_, lot = place
        content = ("receive", warehouse, bin_, lot, ends_on, units)
        if not self._answered(command, content):
            before = sum(one.on_hand for one in self.stock.records if (one.warehouse, one.bin, one.lot) == (warehouse, bin_, lot))
            record = self.stock.receive(warehouse, bin_, lot, ends_on, units, arrived_at)
            self._answer(command, content, ("moved", command, self.stock.records.index(record) + 1, units, before, before + units))

    def adjust(self, command: str, warehouse: str, bin_: str, lot: str | None, change: int) -> None:
        """Somebody found more or fewer."""
        content = ("adjust", warehouse, bin_, lot, change)
        record = self.stock.record(warehouse, bin_, lot)
        if self._answered(command, content):
            return
        if not change:
            self._answer(command, content, ("refused", command, "zero_change"))
        elif record is None:
            self._answer(command, content, ("refused", command, "no_such_record"))
        elif record.on_hand + change < 0:
            self._answer(command, content, ("refused", command, "below_zero"))
        else:
            before = record.on_hand
            self.stock.adjust(record, change)
            self._answer(command, content, ("moved", command, self.stock.records.index(record) + 1, change, before, before + change))

    def _answer(self, command: str, content: Any, answer: Any) -> None:
        self.answers[command] = content, answer
        self.said.append(answer)

    def _answered(self, command: str, content: Any) -> bool:
        """The same id with the same content is answered as before, with other content it is refused."""
        if command not in self.answers:
            return False
        known, answer = self.answers[command]
        self.said.append(answer if known == content else ("refused", command, "other_content"))
        return True

    # ---------------------------------------------------------------- from demands

    def reserve(
        self, demand: str, attempt: int, place: Place, units: int, fill: str, warehouses: tuple[str, ...], strategy: str, onward: str | None
    ) -> None:
        """A line, or a stop of a chain, which says whether it has all and goes on."""
        if attempt <= self.attempts.get(demand, 0):
            return
        line = self._newer(demand, attempt)
        line.place, line.warehouses, line.strategy, line.fill = place, warehouses, strategy, fill
        whole = self.stock.ask(line, units, self.expired())
        if fill == ALL_OR_NOTHING:
            self.said.append(("goes on", demand, onward) if whole and onward else ("complete" if whole else "short", demand, None))

    def reduce(self, demand: str, attempt: int, place: Place, units: int, warehouses: tuple[str, ...], strategy: str) -> None:
        """Fewer units of what an all-or-nothing demand has."""
        if attempt > self.attempts.get(demand, 0):
            line = self._newer(demand, attempt)
            line.place, line.warehouses, line.strategy, line.fill = place, warehouses, strategy, ALL_OR_NOTHING
            self.stock.lower(line, units)

    def release(self, demand: str, attempt: int) -> None:
        """Everything goes back; what comes late under this attempt or an older one finds that it is over."""
        if attempt >= self.attempts.get(demand, 0):
            self.stock.release(self._newer(demand, attempt))

    def activate(self, demand: str, attempt: int) -> None:
        """The whole chain has what it needs."""
        if self.attempts.get(demand) == attempt:
            self.stock.lines[demand].pending = False

    def mark(self, demand: str, attempt: int, number: int) -> None:
        """Picking starts; refused where something is missing."""
        if self.attempts.get(demand) != attempt:
            return
        line = self.stock.lines[demand]
        if not line.reserved or line.flagged or line.waiting:
            self.said.append(("picking_refused", demand, number))
        else:
            line.picking, self.marks[demand] = True, number

    def unmark(self, demand: str, attempt: int, number: int) -> None:
        """The picker has stopped; who is better placed and flagged may get the stock."""
        line = self.stock.lines.get(demand)
        if line and line.picking and self.attempts[demand] == attempt and self.marks[demand] == number:
            line.picking = False
            self.stock.settle()

    def consume(self, demand: str, attempt: int, number: int) -> None:
        """What was picked leaves; refused where it is not being picked or not there."""
        if self.attempts.get(demand) != attempt:
            return
        line = self.stock.lines[demand]
        if line.consumed and not line.reserved:
            return
        if not line.picking or line.flagged:
            self.said.append(("consumption_refused", demand, number))
            return
        for record, units in self.stock.consume(line):
            after = record.on_hand
            self.said.append(("consumed", demand, self.stock.records.index(record) + 1, -units, after + units, after))

    def return_baton(self, demand: str, attempt: int, number: int, served: bool | None) -> None:
        """Success widens the window, failure narrows it to one. A wait that a newer attempt has left behind is over."""
        baton = self.batons.get(demand)
        if baton is None or baton.number != number:
            return
        del self.batons[demand]
        if served is not None:
            self.window = min(self.limits.window, 2 * self.window) if served else 1
        line = self.stock.lines.get(demand)
        if line is not None and self.attempts[demand] < attempt:
            line.waiting = 0

    def _newer(self, demand: str, attempt: int) -> Line:
        self.attempts[demand] = attempt
        return self.stock.lines.setdefault(demand, Line(demand, (0, self.now, demand)))
