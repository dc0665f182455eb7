"""What readers were told, at rest: every command one answer, the newest word is the truth, every bad record is put aside once."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.allocator.core.stock.rows import MovementRow
from shared.schemas import wire
from shared.schemas.events import AllocationChanged, StockCommandRefused, StockLevelChanged, StockMoved
from shared.schemas.topics import ALLOCATIONS, DEAD_LETTERS, MOVEMENTS, STOCK_LEVELS
from tests.simulation.books import Sku, SkuBooks, room
from tests.simulation.failed import Failed
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

    def _told(self, topic: str, *kinds: str) -> list[Any]:
        view = self._world.checks.readers_view(topic)
        return [message for record in view for message in wire.decode(record.value, wire.header_map(record.headers), set(kinds))]

    def quiet(self) -> None:
        """At rest."""
        self._check_allocations()
        self._check_traces()
        self._check_levels()
        self._check_answers()
        self._check_dead_letters()

    # ---------------------------------------------------------------- allocations

    def _check_allocations(self) -> None:
        events: dict[str, list[AllocationChanged]] = defaultdict(list)
        for event in self._told(ALLOCATIONS.name, "allocation_changed"):
            events[event.demand].append(event)
        for demand, order in self._shop.orders.items():
            if demand in self._shop.forgotten:
                continue
            told = events.get(demand, [])
            if [event.version for event in told] != list(range(1, len(told) + 1)) or not told:
                raise Failed(f"versions of what was told of {demand}: {[event.version for event in told]}")
            times = [event.decided_at for event in told]
            if times != sorted(times):
                raise Failed(f"what was told of {demand} goes back in time: {times}")
            if told[-1].demand_version != order.demand.version:
                raise Failed(f"{demand}: version {order.demand.version} was never answered, the last word is {told[-1]}")
            self._check_last_word(told[-1])

    def _check_traces(self) -> None:
        for record in self._world.checks.readers_view(ALLOCATIONS.name):
            found = wire.header_map(record.headers)
            (event,) = wire.decode(record.value, found, {"allocation_changed"})
            said = self._shop.post.traces[event.demand, event.demand_version]
            if found.get("traceparent") != said:
                raise Failed(f"told in another trace than its version was said in, {said}: {found} {event}")

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
            raise Failed(f"the last word leaves out {rows}: {event}")
        if event.outcome != outcome_of(event):
            raise Failed(f"the outcome is not what its lines say, {outcome_of(event)}: {event}")

    # ---------------------------------------------------------------- stock levels

    def _check_levels(self) -> None:
        newest: dict[Sku, StockLevelChanged] = {}
        for event in self._told(STOCK_LEVELS.name, "stock_level_changed"):
            before = newest.get((event.merchant, event.sku))
            if before is not None and timedelta(0) < event.changed_at - before.changed_at < self._level_interval:
                raise Failed(f"levels told again within {self._level_interval}: {before} {event}")
            if before is None or event.ledger_version >= before.ledger_version:
                newest[event.merchant, event.sku] = event
        for name, sku in self._stock.skus.items():
            if sku.records:
                self._check_level(name, sku, newest.get(name))

    def _check_level(self, name: Sku, sku: SkuBooks, event: StockLevelChanged | None) -> None:
        if event is None:
            raise Failed(f"no level was ever told of {name}")
        if self.every_level_since is not None and event.changed_at < self.every_level_since - CLOCKS_JUMP:
            raise Failed(f"the level of {name} was not told again: {event}")
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
            raise Failed(f"levels of {name} are {truth}, told was {event}")

    # ---------------------------------------------------------------- commands

    def _check_answers(self) -> None:
        answers: dict[str, list[StockMoved | StockCommandRefused]] = defaultdict(list)
        for event in self._told(MOVEMENTS.name, "stock_moved", "stock_command_refused"):
            answers[f"{event.merchant}/{event.sku}/{event.command_id}"].append(event)
        effects: dict[str, list[MovementRow]] = defaultdict(list)
        for sku in self._stock.skus.values():
            for row in (one for one in sku.movements if one.kind != "release"):
                effects[f"{row.merchant}/{row.sku}/{row.command_id}"].append(row)
        for name, sent in self._shop.goods.commands.items():
            self._check_command(name, len(set(map(repr, sent))), answers.get(name, []), effects.get(name, []))

    @staticmethod
    def _check_command(name: str, contents: int, answers: list[StockMoved | StockCommandRefused], effects: list[MovementRow]) -> None:
        if len(effects) != 1:
            raise Failed(f"command {name} has {len(effects)} effects: {effects}")
        twisted = [one for one in answers if isinstance(one, StockCommandRefused) and one.reason == "other_content"]
        plain = {repr(one) for one in answers if one not in twisted}
        if len(plain) != 1:
            raise Failed(f"command {name} got {len(plain)} different answers: {answers}")
        if twisted and contents == 1:
            raise Failed(f"command {name} was called another one: {answers}")
        (effect,) = effects
        if (effect.refusal is None) != any(isinstance(one, StockMoved) for one in answers):
            raise Failed(f"command {name} was answered otherwise than done: {answers} {effect}")

    # ---------------------------------------------------------------- dead letters

    def _check_dead_letters(self) -> None:
        kept = len(self._world.database.table("dead_letter"))
        told = len(list(self._world.checks.readers_view(DEAD_LETTERS.name)))
        if (kept, told) != (self._shop.post.poisoned, self._shop.post.poisoned):
            raise Failed(f"{self._shop.post.poisoned} records could not be read, {kept} are kept and {told} were told")


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
