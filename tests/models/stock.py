"""One SKU: stock records, lines that hold units, lines that wait. Whoever calls says when those who wait are served."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from tests.models.records import ALL_OR_NOTHING, NEVER, PARTIAL, Line, Place, Record, next_of, share


class Stock:
    """`released`: every unit that was given back, with the record on which it lay, as the history of movements tells it (000-39)."""

    def __init__(self, today: date) -> None:
        self.today = today
        self.records: list[Record] = []
        self.lines: dict[str, Line] = {}
        self.released: list[tuple[str, Record]] = []

    # ---------------------------------------------------------------- looking

    def ended(self, record: Record) -> bool:
        """Whether the last day of its lot is over."""
        return record.ends_on is not None and record.ends_on < self.today

    def free(self, record: Record) -> int:
        """Units of the record that are not reserved and may be; below nothing where more is reserved than is there."""
        there = 0 if self.ended(record) else record.on_hand
        return there - sum(1 for line in self.lines.values() for unit in line.units if unit is record)

    def free_by_warehouse(self) -> dict[str, int]:
        """Free units of every warehouse."""
        free = {record.warehouse: 0 for record in self.records}
        for record in self.records:
            free[record.warehouse] += max(0, self.free(record))
        return free

    def queue(self) -> list[Line]:
        """Who waits, the best placed first."""
        return sorted((line for line in self.lines.values() if line.waiting), key=lambda line: line.place)

    def by_right(self) -> list[Line]:
        """Who has units, in the order in which they keep them: who is being picked, then the order of the queue."""
        return sorted((line for line in self.lines.values() if line.reserved), key=lambda line: (not line.picking, line.place))

    def fitting(self, without_claim: Sequence[str] = (), before: Place | None = None) -> Iterator[tuple[Line, dict[str, int]]]:
        """Those who wait (`before`: better placed ones only) and would get something if all of them took what they need one after the
        other, and what each gets of every warehouse."""
        free = self.free_by_warehouse()
        for line in self.queue():
            if (before is None or line.place < before) and not (line.demand in without_claim and line.fill == ALL_OR_NOTHING):
                got = share(free, line)
                if got:
                    yield line, got

    def left_for(self, place: Place, without_claim: Sequence[str] = ()) -> dict[str, int]:
        """Nobody jumps the queue: free units of every warehouse beyond what better placed ones that fit are about to get."""
        free = self.free_by_warehouse()
        for _, got in self.fitting(without_claim, before=place):
            for warehouse, units in got.items():
                free[warehouse] -= units
        return free

    def _in_order(self, warehouse: str, strategy: str) -> list[Record]:
        """The records of a warehouse as the strategy likes them. Of equals the older one, then the one that was there first."""
        there = [record for record in self.records if record.warehouse == warehouse]
        if strategy == "lifo":
            return sorted(there, key=lambda record: -record.arrived_at.timestamp())
        if strategy == "fefo":
            return sorted(there, key=lambda record: (record.ends_on or NEVER, record.arrived_at))
        return sorted(there, key=lambda record: record.arrived_at)

    def liked(self, line: Line) -> list[Record]:
        """All records that may serve the line, the one that it likes best first."""
        return [record for warehouse in line.warehouses for record in self._in_order(warehouse, line.strategy)]

    # ---------------------------------------------------------------- stock comes and goes

    def record(self, warehouse: str, bin_: str, lot: str | None) -> Record | None:
        """The stock record of this place and lot."""
        there = (record for record in self.records if (record.warehouse, record.bin, record.lot) == (warehouse, bin_, lot))
        return next(there, None)

    def receive(self, warehouse: str, bin_: str, lot: str | None, ends_on: date | None, units: int, now: datetime) -> Record:
        """Put units on a record, which is made if there is none. An empty one takes the dates of the new goods; where some are left, the
        earlier end counts, so that nothing is promised after its end."""
        record = self.record(warehouse, bin_, lot)
        if record is None:
            record = Record(warehouse, bin_, lot, now, ends_on)
            self.records.append(record)
        elif not record.on_hand:
            record.arrived_at, record.ends_on = now, ends_on
        elif ends_on is not None:
            record.ends_on = min(ends_on, record.ends_on or NEVER)
        record.on_hand += units
        self.settle()
        return record

    def adjust(self, record: Record, change: int) -> None:
        """More or fewer units are there than was thought; never fewer than none."""
        record.on_hand += change
        assert record.on_hand >= 0, record
        self.settle()

    def consume(self, line: Line) -> list[tuple[Record, int]]:
        """All that the line has leaves: what left, by record."""
        assert line.picking, line
        assert not line.flagged, line
        left = [(record, line.units.count(record)) for record in self.records if record in line.units]
        for record, units in left:
            record.on_hand -= units
            assert record.on_hand >= 0, record
        line.consumed += line.reserved
        line.units, line.picking, line.pending = [], False, False
        return left

    # ---------------------------------------------------------------- lines come and go

    def ask(self, line: Line, units: int, without_claim: Sequence[str] = ()) -> bool:
        """The line, whose terms are new, wants so many units in all: it keeps what it has as far as it is still wanted, and takes of the
        rest what is left for its place. Whether it has all then; otherwise it waits for what is missing."""
        line.waiting, line.picking = 0, False
        self._keep(line, units)
        self.settle()
        missing = units - line.reserved
        left = {warehouse: free for warehouse, free in self.left_for(line.place, without_claim).items() if warehouse in line.warehouses}
        if line.fill == PARTIAL or sum(left.values()) >= missing:
            self._take_of(line, left, missing)
        elif line.fill == ALL_OR_NOTHING:
            self._keep(line, 0)
            self.settle()
        line.waiting = units - line.reserved
        line.pending = line.fill == ALL_OR_NOTHING and not line.waiting
        return not line.waiting

    def lower(self, line: Line, units: int) -> None:
        """The line wants fewer units than it has, which can not fail."""
        line.waiting, line.picking, line.pending = 0, False, False
        self._keep(line, units)
        self.settle()

    def give(self, line: Line, got: dict[str, int]) -> None:
        """Serve one who waits."""
        self._take_of(line, got, sum(got.values()))
        line.waiting -= sum(got.values())

    def release(self, line: Line) -> None:
        """The line gives everything back and waits no more."""
        line.waiting, line.picking, line.pending = 0, False, False
        self._keep(line, 0)
        self.settle()

    def _keep(self, line: Line, units: int) -> None:
        """Give back what lies where the line may not draw on any more, then what is too much: flagged units first, then those on the
        record that it likes least."""
        for unit in [unit for unit in line.units + line.flagged if unit.warehouse not in line.warehouses]:
            (line.flagged if unit in line.flagged else line.units).remove(unit)
            self.released.append((line.demand, unit))
        for mine in (line.flagged, line.units):
            for record in reversed(self.liked(line)):
                while line.reserved > units and record in mine:
                    mine.remove(record)
                    self.released.append((line.demand, record))

    def _take_of(self, line: Line, left: dict[str, int], units: int) -> None:
        """Reserve up to so many units of what is left, the warehouses in the line's order."""
        for warehouse in line.warehouses:
            part = min(units, left.get(warehouse, 0))
            for record, count in self._picks(line, warehouse, part):
                line.units += [record] * count
            units -= part

    def _picks(self, line: Line, warehouse: str, units: int) -> list[tuple[Record, int]]:
        """Which records serve so many units, all of them free in the warehouse."""
        records = self.records if line.strategy == "fewest_records" else self._in_order(warehouse, line.strategy)
        free = {record: self.free(record) for record in records if record.warehouse == warehouse}
        picks = []
        while units:
            record = next_of({record: room for record, room in free.items() if room > 0}, units, line.strategy)
            part = min(units, free.pop(record))
            picks.append((record, part))
            units -= part
        return picks

    # ---------------------------------------------------------------- who keeps what

    def settle(self) -> None:
        """After every change: who is being picked first, then in queue order, lines get stock behind their units; the rest is flagged.
        Where a record has less than lies on it, the worst placed lose theirs."""
        fallen = [record for record in self.records if self.free(record) < 0]
        for record in fallen:
            for line in reversed(self.by_right()):
                self._flag(line, record, max(0, -self.free(record)))
        for line in self.by_right():
            self._heal_from_free(line)
            for record in fallen:
                self._heal_by_moving(line, record)
            self._heal_from_worse(line)

    def _heal_from_free(self, line: Line) -> None:
        for warehouse in line.warehouses:
            free = self.free_by_warehouse().get(warehouse, 0)
            for record, units in self._picks(line, warehouse, min(free, len(line.flagged))):
                self._back(line, record, units)

    def _heal_by_moving(self, flagged: Line, fallen: Record) -> None:
        """A fall first moves reservations to other records, the worst placed ones first; not those in a picker's hands. Nobody moves for
        the sake of what has ended."""
        for other in reversed([] if self.ended(fallen) else self.by_right()):
            if fallen.warehouse in flagged.warehouses and other is not flagged and not other.picking:
                self._back(flagged, fallen, self._move(other, fallen, len(flagged.flagged)))

    def _move(self, line: Line, record: Record, units: int) -> int:
        """Move up to so many units of the line from this record to free ones elsewhere. How many did."""
        moved = 0
        for warehouse in line.warehouses:
            free = self.free_by_warehouse().get(warehouse, 0)
            for other, part in self._picks(line, warehouse, min(free, units - moved, line.units.count(record))):
                for _ in range(part):
                    line.units.remove(record)
                line.units += [other] * part
                moved += part
        return moved

    def _heal_from_worse(self, line: Line) -> None:
        """What worse placed ones have, the worst first."""
        ranked = self.by_right()
        for other in reversed(ranked[ranked.index(line) + 1 :] if line.flagged else []):
            for record in self.liked(line):
                units = min(len(line.flagged), other.units.count(record))
                self._flag(other, record, units)
                self._back(line, record, units)

    def _flag(self, line: Line, record: Record, units: int) -> None:
        """Up to so many units of the line on this record have no stock behind them any more."""
        for _ in range(min(units, line.units.count(record))):
            line.units.remove(record)
            line.flagged.append(record)

    def _back(self, line: Line, record: Record, units: int) -> None:
        """So many flagged units of the line lie on this record from now on, those that fell from it first, then from older records."""
        for _ in range(units):
            fell = next(one for one in [record, *self.records] if one in line.flagged)
            line.flagged.remove(fell)
            line.units.append(record)
