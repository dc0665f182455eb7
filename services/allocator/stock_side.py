"""The stock side as a state partition's business: what is in memory, what has to be loaded, which deadlines are due, what to save.

Decides nothing itself: that is `core.stock`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from sys import intern
from typing import Any

from services.allocator.core.rules_hash import rules_hash
from services.allocator.core.stock.cache import StockCache
from services.allocator.core.stock.changes import changes_of
from services.allocator.core.stock.deadlines import LEVELS, Deadline, Deadlines
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.fold import StockFold
from services.allocator.core.stock.levels import NOTHING_TOLD, first_round, is_told, next_slice, round_after
from services.allocator.core.stock.rows import LevelsRound, MovementRow, ReservationKey, SkuKey, StoredDeadlines, Telling
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import SkuStock, reservation_of, sku_of
from services.allocator.store.stock_ports import StockStorage
from shared.partitions.model import InputRecord, PartitionId, Send
from shared.schemas.commands import AdjustStock, ReceiveStock, ReserveLine, StockCommand
from shared.schemas.topics import INVENTORY, RESERVATIONS
from shared.schemas.wire import decode, type_header

_ACCEPTED = {
    INVENTORY.name: frozenset({"receive_stock", "adjust_stock"}),
    RESERVATIONS.name: frozenset(
        {
            "reservations.pack",
            "reserve_line",
            "reserve_chain",
            "release",
            "return_baton",
            "activate",
            "mark_picking",
            "unmark_picking",
            "consume",
            "forget",
        }
    ),
}
__all__ = ["StockSettings", "StockSide"]
_LEVELS_DUE = Deadline("levels", LEVELS)


class StockSide:
    """`shared.partitions.ports.Side` of the stock partitions. After an error, `resume`: memory is ahead of what was committed."""

    name = "stock"
    inputs = (INVENTORY.name, RESERVATIONS.name)

    def __init__(self, storage: StockStorage, settings: StockSettings) -> None:
        self._storage, self._settings = storage, settings
        self.rules_hash = rules_hash(replace(settings, cache_rows=0, doubted_commands=0))  # what is looked up decides nothing
        self._partition = -1
        self._telling = NOTHING_TOLD
        self._told: Telling | None = None
        self._untold: dict[SkuKey, datetime] = {}
        self._round: LevelsRound | None = None
        self._draft: Draft | None = None
        self._used: dict[SkuKey, None] = {}
        self._named: list[tuple[SkuStock, ReservationKey]] = []
        self._doubted = settings.doubted_commands
        self._cache = StockCache(settings.cache_rows)
        self._deadlines = Deadlines()

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        """See the port."""
        return decode(record.value, type_header(record.headers), _ACCEPTED[record.topic])

    async def resume(self, partition: PartitionId) -> None:
        """See the port."""
        self._partition, self._draft, self._doubted = partition.number, None, self._settings.doubted_commands
        self._cache = StockCache(self._settings.cache_rows)
        self._deadlines = Deadlines()
        stored = await self._storage.deadlines(partition.number)
        self._telling = stored.telling or NOTHING_TOLD
        self._untold = {sku: changed_at for sku, changed_at in stored.changed if not is_told(self._telling, sku, changed_at)}
        self._remember(stored)

    def next_deadline(self) -> datetime | None:
        """See the port."""
        return self._deadlines.next()

    async def decide(self, messages: Sequence[StockCommand], now: datetime) -> list[Send]:
        """See the port."""
        assert self._draft is None, "the last batch was decided and not saved; resume first"
        due = self._deadlines.due(now)
        memory = await self._load(messages, due)
        fold = StockFold(self._cache.skus, messages, due, memory, now, self._settings)
        while needs := fold.run():
            await self._complete(sorted(needs))
        self._draft = fold.draft
        self._note_deadlines(fold.draft)
        self._told = await self._announce(fold, now)
        return [Send(topic=topic, key=key, message=message) for _, topic, key, message in fold.sends()]

    async def save(self) -> None:
        """See the port."""
        draft, self._draft = self._draft, None
        assert draft is not None, "decide comes before save"
        await self._storage.save(changes_of(draft, self._partition, self._told, self._round))
        self._named.extend((sku, reservation.key) for sku, reservation in draft.reservations)
        self._cache.settle(self._used, self._named)

    # ---------------------------------------------------------------- loading

    async def _load(self, messages: Sequence[StockCommand], due: Collection[Deadline]) -> dict[tuple[str, str, str], MovementRow]:
        """Everything that the batch names: summaries, reservations, command memory. Returns the last.

        What is of something new is not looked up. Were it there all the same, the primary key would refuse the row that every attempt
        leaves, and the batch is made again after a takeover, with everything looked up.
        """
        skus = self._cache.skus
        names: dict[tuple[str, str, str], None] = {}
        commands: dict[tuple[str, str, str], None] = {}
        used = dict.fromkeys(deadline.sku for deadline in due if deadline.kind != "levels")
        for message in messages:
            key = (message.merchant, message.sku)
            used[key] = None
            if isinstance(message, (ReceiveStock, AdjustStock)):
                commands[(*key, message.command_id)] = None
            elif not self._doubted and _is_of_something_new(message):
                continue
            elif key not in skus or (message.demand, message.alternative) not in skus[key].reservations:
                names[message.demand, message.sku, message.alternative] = None
        names.update(dict.fromkeys((deadline.whose[0], deadline.sku[1], deadline.whose[1]) for deadline in due if deadline.kind == "baton"))
        self._used, self._named = used, []
        if self._doubted:
            self._doubted = max(0, self._doubted - sum(map(_is_of_something_new, messages)))
        await self._load_summaries(used)
        await self._load_reservations(list(names))
        found = await self._storage.movements(list(commands)) if commands else []
        return {(row.merchant, row.sku, row.command_id): row for row in found}

    async def _load_summaries(self, keys: Iterable[SkuKey]) -> None:
        skus = self._cache.skus
        missing = sorted([key for key in keys if key not in skus])
        if missing:
            stored = await self._storage.summaries(missing)
            for merchant, name in missing:
                key = (intern(merchant), name)  # every message has a text of its own, and a hundred thousand SKUs are kept
                skus[key] = sku_of(key, stored.get(key))

    async def _load_reservations(self, names: list[tuple[str, str, str]]) -> None:
        for row in await self._storage.reservations(names) if names else ():
            sku = self._cache.skus[row.merchant, row.sku]
            whose = (row.demand, row.alternative)
            if whose not in sku.reservations:
                sku.reservations[whose] = reservation_of(row)
                self._named.append((sku, whose))

    async def _complete(self, needs: list[SkuKey]) -> None:
        live: dict[SkuKey, list[Any]] = {key: [] for key in needs}
        for row in await self._storage.live_reservations(needs):
            live[row.merchant, row.sku].append(row)
        for key, rows in live.items():
            self._cache.skus[key].complete_with(rows)

    # ---------------------------------------------------------------- deadlines and levels

    def _remember(self, stored: StoredDeadlines) -> None:
        for key, whose, expires_at in stored.batons:
            self._deadlines.set(Deadline("baton", key, whose), expires_at)
        for key, continue_at in stored.continuations:
            self._deadlines.set(Deadline("continuation", key), continue_at)
        for key, last_day in stored.lots:
            self._deadlines.set(Deadline("lots", key), _end_of(last_day))
        self._round = stored.levels_round
        self._deadlines.set(_LEVELS_DUE, self._levels_due_at())

    def _note_deadlines(self, draft: Draft) -> None:
        for (key, whose), sku in draft.batons.items():
            baton = sku.batons.get(whose)
            self._deadlines.set(Deadline("baton", key, whose), baton.expires_at if baton and not baton.expired else None)
        for key, continue_at in draft.continuations.items():
            self._deadlines.set(Deadline("continuation", key), continue_at)
        for key, last_day in draft.lots.items():
            self._deadlines.set(Deadline("lots", key), _end_of(last_day) if last_day else None)

    def _levels_due_at(self) -> datetime | None:
        """The more there is to tell, the later: under load every change would else be told, one by one (a third of all work)."""
        at_once = min(len(self._untold), self._settings.levels_slice)
        pause_ms = max(self._settings.level_interval_ms, 1_000 * at_once / self._settings.levels_per_second)
        at = self._telling.announced_at + timedelta(milliseconds=pause_ms)
        if self._untold:
            return at
        return max(at, self._round.due_at) if self._round is not None else None

    async def _announce(self, fold: StockFold, now: datetime) -> Telling | None:
        """Tell the levels of SKUs that have changed, a slice of them at most once per interval for the whole partition; so a lone change is
        told at once, and a busy SKU once per interval. What is changed at the very time up to which all counts as told is told with it,
        because stored times could not say that it is untold. A slice of the round of all SKUs goes along when it is due. Returns how far
        levels are told, if any were."""
        changed = dict.fromkeys([sku.key for sku, _ in fold.draft.records])
        self._untold.update(dict.fromkeys(changed, now))
        due_at, told = self._levels_due_at(), dict[SkuKey, None]()
        if due_at is not None and due_at <= now:
            told.update(dict.fromkeys(await self._go_round(now)))
            some, self._telling = next_slice(self._telling, self._untold, now, self._settings.levels_slice)
            told.update(dict.fromkeys(some))
        if self._telling.announced_at >= now:  # no change of a later time counts as told
            told.update(dict.fromkeys([sku for sku in changed if is_told(self._telling, sku, now)]))
        if told:
            await self._load_summaries(told)
            self._used |= told
            fold.announce(told)
            self._telling = self._telling._replace(announced_at=now)
            for sku in told:
                if sku in self._untold and is_told(self._telling, sku, self._untold[sku]):
                    del self._untold[sku]
        self._deadlines.set(_LEVELS_DUE, self._levels_due_at())
        return self._telling if told else None

    async def _go_round(self, now: datetime) -> list[SkuKey]:
        """The next slice of the round, if it is due."""
        if self._round is None:
            self._round = first_round(now, self._settings)
        elif self._round.due_at <= now:
            told = await self._storage.skus_after(self._partition, self._round.after, self._settings.round_slice)
            self._round = round_after(self._round, told, now, self._settings)
            return told
        return []


def _is_of_something_new(command: StockCommand) -> bool:
    """A line's first attempt: nobody has spoken of its row before. A chain goes from partition to partition, so that a later attempt, or
    its release, may overtake it."""
    return type(command) is ReserveLine and command.attempt == 1


def _end_of(last_day: date) -> datetime | None:
    """When a lot ends: its last day is over in UTC. 9999-12-31, as many write it who mean never, has no day after it."""
    return None if last_day == date.max else datetime.combine(last_day + timedelta(days=1), time(), UTC)
