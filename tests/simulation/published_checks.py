"""What readers were told, at rest: every command one answer, the newest word is the truth, every bad record is put aside once."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.allocator.core.stock.rows import MovementRow
from shared.partitions.model import InputRecord
from shared.schemas import wire
from shared.schemas.events import AllocationChanged, StockCommandRefused, StockLevelChanged, StockMoved
from shared.schemas.topics import ALLOCATIONS, DEAD_LETTERS, MOVEMENTS, STOCK_LEVELS
from tests.simulation.books import Sku, SkuBooks, room
from tests.simulation.failed import Failed
from tests.simulation.reading import Reader
from tests.simulation.shop import Shop
from tests.simulation.stock_checks import CLOCKS_JUMP, StockChecks

if TYPE_CHECKING:
    from tests.simulation.world import World


class PublishedChecks:
    """Reads topics as any reader does, dropping repeats by one mark per source."""

    def __init__(self, world: "World", shop: Shop, stock: StockChecks, level_interval: timedelta) -> None:
        self._world, self._shop, self._stock, self._level_interval = world, shop, stock, level_interval
        self.every_level_since: datetime | None = None
        """Every level must have been told after this time."""
        self._readers = {
            topic.name: Reader(world.kafka.logs_of(topic.name)) for topic in (ALLOCATIONS, STOCK_LEVELS, MOVEMENTS, DEAD_LETTERS)
        }
        self._events: dict[str, list[AllocationChanged]] = defaultdict(list)
        self._levels: dict[Sku, StockLevelChanged] = {}
        self._answers: dict[str, set[StockMoved | StockCommandRefused]] = defaultdict(set)
        self._dead_letters = 0

    def _news(self, topic: str, *kinds: str) -> Iterator[tuple[InputRecord, Any]]:
        for record in self._readers[topic].news():
            for message in wire.decode(record.value, wire.type_header(record.headers), set(kinds)):
                yield record, message

    def quiet(self) -> None:
        """At rest."""
        self._hear_of_allocations()
        self._check_allocations()
        self._hear_of_levels()
        self._check_levels()
        self._check_answers()
        self._check_dead_letters()

    # ---------------------------------------------------------------- allocations

    def _hear_of_allocations(self) -> None:
        for record, event in self._news(ALLOCATIONS.name, "allocation_changed"):
            self._events[event.demand].append(event)
            said, told = self._shop.post.trace_of(event.demand, event.demand_version), wire.traceparent_in(record.headers)
            if told != said:
                raise Failed(f"told in another trace than its version was said in: {said}, {told} {event}")

    def _check_allocations(self) -> None:
        for demand, order in self._shop.orders.items():
            if demand in self._shop.forgotten:
                continue
            told = self._events.get(demand, [])
            if [event.version for event in told] != list(range(1, len(told) + 1)) or not told:
                raise Failed(f"what was told is not numbered one by one: {demand} {[event.version for event in told]}")
            times = [event.decided_at for event in told]
            if times != sorted(times):
                raise Failed(f"what was told goes back in time: {demand} {times}")
            if told[-1].demand_version != order.demand.version:
                raise Failed(f"a version was never answered: {order.demand.version} of {demand}, the last word is {told[-1]}")
            self._check_last_word(told[-1])

    def _check_last_word(self, event: AllocationChanged) -> None:
        rows = {
            row.sku: row for row in self._stock.of_demand(event.demand) if row.reserved_units or row.waiting_units or row.consumed_units
        }
        for line in event.lines:
            row = rows.pop(line.sku, None)
            truth = (row.reserved_units, row.flagged_units, row.waiting_units, row.consumed_units) if row else (0, 0, 0, 0)
            if (line.reserved_units, line.flagged_units, line.waiting_units, line.consumed_units) != truth:
                raise Failed(f"the last word is not the truth: {event} {row}")
        if any(row.reserved_units or row.waiting_units for row in rows.values()):
            raise Failed(f"the last word leaves something out: {rows} {event}")
        if event.outcome != outcome_of(event):
            raise Failed(f"the outcome is not what its lines say: {outcome_of(event)} {event}")

    # ---------------------------------------------------------------- stock levels

    def _hear_of_levels(self) -> None:
        for _, event in self._news(STOCK_LEVELS.name, "stock_level_changed"):
            name = event.merchant, event.sku
            before = self._levels.get(name)
            if before is not None and timedelta(0) < event.changed_at - before.changed_at < self._level_interval:
                raise Failed(f"levels are told too often: within {self._level_interval} {before} {event}")
            if before is None or event.ledger_version >= before.ledger_version:
                self._levels[name] = event

    def _check_levels(self) -> None:
        for name, sku in self._stock.skus.items():
            if sku.records:
                self._check_level(name, sku, self._levels.get(name))

    def _check_level(self, name: Sku, sku: SkuBooks, event: StockLevelChanged | None) -> None:
        if event is None:
            raise Failed(f"a level was never told: {name}")
        if self.every_level_since is not None and event.changed_at < self.every_level_since - CLOCKS_JUMP:
            raise Failed(f"a level was not told again: {name} {event}")
        told = {
            level.warehouse: (level.on_hand_units, level.held_units, level.allocated_units, level.available_units)
            for level in event.warehouses
        }
        truth: dict[str, list[int]] = {}
        for record in sku.records.values():
            sums = truth.setdefault(record.warehouse, [0, 0, 0, 0])
            free = max(0, room(record, self._stock.today()) - record.flagged)
            for index, units in enumerate((record.on_hand, record.held, record.backed + record.flagged, free)):
                sums[index] += units
        if told != {warehouse: tuple(sums) for warehouse, sums in truth.items()}:
            raise Failed(f"a level was told wrong: {name} {truth}, told was {event}")

    # ---------------------------------------------------------------- commands

    def _check_answers(self) -> None:
        for _, event in self._news(MOVEMENTS.name, "stock_moved", "stock_command_refused"):
            self._answers[f"{event.merchant}/{event.sku}/{event.command_id}"].add(event)
        effects: dict[str, list[MovementRow]] = defaultdict(list)
        for sku in self._stock.skus.values():
            for row in (one for one in sku.movements if one.kind != "release"):
                effects[f"{row.merchant}/{row.sku}/{row.command_id}"].append(row)
        for name, sent in self._shop.goods.commands.items():
            self._check_command(name, len(set(sent)), self._answers.get(name, set()), effects.get(name, []))

    @staticmethod
    def _check_command(name: str, contents: int, answers: set[StockMoved | StockCommandRefused], effects: list[MovementRow]) -> None:
        if len(effects) != 1:
            raise Failed(f"a command has not one effect: {name} {effects}")
        twisted = {one for one in answers if isinstance(one, StockCommandRefused) and one.reason == "other_content"}
        plain = answers - twisted
        if len(plain) != 1:
            raise Failed(f"a command has not one answer: {name} {answers}")
        if twisted and contents == 1:
            raise Failed(f"a command was called another one: {name} {answers}")
        (effect,) = effects
        if (effect.refusal is None) != any(isinstance(one, StockMoved) for one in answers):
            raise Failed(f"a command was answered otherwise than done: {name} {answers} {effect}")

    # ---------------------------------------------------------------- dead letters

    def _check_dead_letters(self) -> None:
        kept = len(self._world.database.table("dead_letter"))
        self._dead_letters += sum(1 for _ in self._readers[DEAD_LETTERS.name].news())
        if (kept, self._dead_letters) != (self._shop.post.poisoned, self._shop.post.poisoned):
            told = f"{kept} are kept and {self._dead_letters} were told"
            raise Failed(f"dead letters: {self._shop.post.poisoned} records could not be read, {told}")


def outcome_of(event: AllocationChanged) -> str:
    """What the lines of an answer add up to, said a second time."""
    if event.outcome in ("released", "consumed"):
        consumed = all(line.consumed_units == line.wanted_units for line in event.lines)
        held = any(line.reserved_units or line.waiting_units for line in event.lines)
        return "consumed" if consumed and event.outcome == "consumed" else "released" if not held else "neither"
    if any(line.flagged_units for line in event.lines):
        return "overallocated"
    had = [line.reserved_units + line.consumed_units for line in event.lines]
    if not sum(had):
        return "could_not_allocate"
    return "allocated" if all(units >= line.wanted_units for units, line in zip(had, event.lines, strict=True)) else "partially_allocated"
