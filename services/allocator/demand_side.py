"""The demand side as a state partition's business: which demands are in memory, which deadlines are due, what is to be saved and where.

Decides nothing itself: that is `core.demand`.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.allocator.core.demand.fold import DemandFold, ForgottenDemand, Trace
from services.allocator.core.demand.state import DemandState, Status
from services.allocator.core.policy import DemandSettings
from services.allocator.core.rules_hash import rules_hash
from services.allocator.demand_under_way import UnderWay
from services.allocator.store.demand_encoding import from_row, to_row
from services.allocator.store.demand_ports import DemandStorage, Ended, Page, newest, not_outdated
from shared.metrics import PARTITION_FORGOTTEN
from shared.partitions.model import InputRecord, PartitionId, Send
from shared.partitions.partition import Halted
from shared.schemas.events import AllocationChanged, AllocationRunChanged, Demand, DemandEvent, OrderChanged
from shared.schemas.topics import ALLOCATIONS, ORDERS, OUTCOMES, RESERVATIONS
from shared.schemas.values import MAX_UNITS, DemandKind, merchant_of
from shared.schemas.wire import BadRecord, decode, traceparent_in, type_header

_ACCEPTED = {
    ORDERS.name: frozenset({"order_changed", "allocation_run_changed"}),
    OUTCOMES.name: frozenset({"outcomes.pack", "outcome", "wake", "forgotten"}),
}
_OURS = f"{DemandKind.SALES_ORDER.value}/"
_ALLOCATIONS, _RESERVATIONS = ALLOCATIONS.name, RESERVATIONS.name
DUE_AT_ONCE = 500
"""Deadlines taken in one batch; after an outage all are due, and the next batch goes on with those that are left."""


class DemandSide:
    """`shared.partitions.ports.Side` of the demand partitions. After an error, `resume`: memory is ahead of what was committed."""

    name = "demand"
    inputs = (ORDERS.name, OUTCOMES.name)

    def __init__(self, storage: DemandStorage, settings: DemandSettings) -> None:
        self._storage, self._settings = storage, settings
        self.rules_hash = rules_hash(settings.policy, settings.timing)
        self._partition = -1
        self._recent = _Recent(settings.cached_lines)
        self._under_way = UnderWay(settings.cached_lines, (), ())
        self._deadlines = _Deadlines(())
        self._fold: DemandFold | None = None
        self._unknown: set[str] = set()
        self._oldest: datetime | None = None
        self._held_up = False

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        """See the port."""
        messages = decode(record.value, type_header(record.headers), _ACCEPTED[record.topic])
        if record.topic == OUTCOMES.name:
            return messages
        for message in messages:
            if isinstance(message, OrderChanged):
                _check(message.demand)
        kept = tuple([message for message in messages if not isinstance(message, AllocationRunChanged)])  # of bulk runs: not for us
        trace = traceparent_in(record.headers)
        return kept if trace is None else (*kept, *_traces(kept, trace))

    async def resume(self, partition: PartitionId) -> None:
        """See the port."""
        self._partition = partition.number
        self._recent = _Recent(self._settings.cached_lines)
        self._fold, self._unknown = None, set()
        self._under_way = await self._stored_pages()
        self._deadlines = _Deadlines(await self._storage.deadlines(partition.number))
        self._deadlines.note(self._under_way.states())  # one that waits has none, whatever its row says
        self._oldest, self._held_up = _first_of(await self._storage.ended(partition.number, 1)), False

    def next_deadline(self) -> datetime | None:
        """See the port."""
        forget_at = None if self._oldest is None or self._held_up else self._oldest + self._settings.keep
        return min(filter(None, (self._deadlines.next(), forget_at)), default=None)

    async def decide(self, messages: Sequence[DemandEvent | Trace], now: datetime) -> list[Send]:
        """See the port. Raises Halted where the stock side answers a demand that this database does not know."""
        states = await self._load(_demands_of(messages), {})
        known = set(states)
        fold = DemandFold(states, now, self._settings.policy, self._settings.timing)
        try:
            fold.fold(messages)
        except ForgottenDemand as forgotten:
            raise Halted(f"demand/{self._partition}: {forgotten}") from forgotten
        self._deadlines.note(fold.changed.values())
        due = self._deadlines.due(now, DUE_AT_ONCE)
        if due:
            await self._load(due, states)
            known.update(due)
            fold.expire(due)
            self._deadlines.note(fold.states[demand] for demand in due)
        known.update(await self._forget(fold, len(messages)))
        fold.tell()
        self._fold, self._unknown = fold, fold.changed.keys() - known
        self._note_ended(fold)
        self._recent.keep(fold.states)
        self._recent.drop(fold.gone)
        return [_send(message, fold.traces) for message in fold.sends]

    async def save(self) -> None:
        """See the port."""
        fold, self._fold = self._fold, None
        assert fold is not None, "decide comes before save"
        writes = self._under_way.settle(fold.changed.values(), self._unknown, fold.waiting)
        if writes.turned or writes.over:
            page = Page(writes.page, list(map(to_row, writes.waiting))) if writes.turned else None
            await self._storage.turn(self._partition, page, writes.over)
        if writes.new:
            await self._storage.insert(self._partition, writes.page, list(map(to_row, writes.new)))
        if writes.old:
            await self._storage.update(self._partition, writes.page, list(map(to_row, writes.old)))
        if fold.gone:
            await self._storage.forget(self._partition, list(fold.gone))
            PARTITION_FORGOTTEN.labels(self.name, str(self._partition), "demand").inc(len(fold.gone))

    async def _forget(self, fold: DemandFold, beside: int) -> list[str]:
        """Demands that ended so long ago that nobody may speak of them any more, a few at a time `beside` so many messages. Which are
        taken depends on what is stored, so a takeover does not change it. One that a page may still tell of, though its row is newer,
        stays: without the row the page would count."""
        self._held_up = False
        if self._oldest is None or self._oldest + self._settings.keep > fold.now:
            return []
        most = self._settings.most_forgotten(beside)
        found = await self._storage.ended(self._partition, most + 1)
        before, page = fold.now - self._settings.keep, self._under_way.oldest_page()
        taken = [one for one in found[:most] if one.closed_at <= before and (page is None or one.page < page)]
        forgotten = [one.demand for one in taken]
        await self._load(forgotten, fold.states)
        fold.forget(forgotten)
        self._oldest, self._held_up = _first_of([one for one in found if one not in taken]), not taken
        return forgotten

    def _note_ended(self, fold: DemandFold) -> None:
        """The one that ended longest ago may be a new one."""
        for state in fold.changed.values():
            if state.closed_at is not None and state.status is not Status.FORGETTING:
                self._oldest = min(self._oldest or state.closed_at, state.closed_at)

    async def _stored_pages(self) -> UnderWay:
        pages = await self._storage.pages(self._partition)
        found = newest(pages)
        waiting = not_outdated(found, await self._storage.outdated_to(self._partition, list(found)))
        return UnderWay(self._settings.cached_lines, pages, waiting)

    async def _load(self, demands: Iterable[str], states: dict[str, DemandState]) -> dict[str, DemandState]:
        """Add those that exist to `states`, from memory or else from storage."""
        missing = []
        for demand in demands:
            if demand not in states:
                state = self._recent.get(demand) or self._under_way.get(demand)
                if state is None:
                    missing.append(demand)
                else:
                    states[demand] = state
        if missing:
            for row in await self._storage.load(self._partition, missing):
                states[row.demand] = from_row(row)
        return states


class _Recent:
    """The demands used last, in two generations: when the young one has half of the budget, the old one is forgotten. A list in order of
    use would cost more per message than the fold itself."""

    def __init__(self, budget_lines: int) -> None:
        self._half, self._lines = budget_lines // 2, 0
        self._young: dict[str, DemandState] = {}
        self._old: dict[str, DemandState] = {}

    def get(self, demand: str) -> DemandState | None:
        return self._young.get(demand) or self._old.get(demand)

    def drop(self, demands: Iterable[str]) -> None:
        """They are not stored any more."""
        for demand in demands:
            self._young.pop(demand, None)
            self._old.pop(demand, None)

    def keep(self, states: dict[str, DemandState]) -> None:
        """Only what is saved with this very batch may be kept."""
        young = self._young
        for demand, state in states.items():
            if demand not in young:
                young[demand] = state
                self._lines += len(state.terms.lines)
        if self._lines > self._half:
            self._old, self._young, self._lines = self._young, {}, 0


class _Deadlines:
    """Every deadline of the partition, also of demands that are not in memory. The heap may hold outdated entries; `_of` never does."""

    def __init__(self, deadlines: Iterable[tuple[datetime, str]]) -> None:
        self._heap = list(deadlines)
        heapq.heapify(self._heap)
        self._of = {demand: at for at, demand in self._heap}

    def note(self, states: Iterable[DemandState]) -> None:
        for state in states:
            at = state.deadline_at
            if at != self._of.get(state.id):
                if at is None:
                    del self._of[state.id]
                else:
                    self._of[state.id] = at
                    heapq.heappush(self._heap, (at, state.id))

    def next(self) -> datetime | None:
        while self._heap and self._of.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, most: int) -> list[str]:
        """Demands whose deadline has passed, the longest passed first. They must be noted again with another deadline."""
        taken: list[str] = []
        while len(taken) < most and (at := self.next()) is not None and at <= now:
            demand = heapq.heappop(self._heap)[1]
            del self._of[demand]
            taken.append(demand)
        return taken


def _first_of(ended: Sequence[Ended]) -> datetime | None:
    return ended[0].closed_at if ended else None


def _demands_of(messages: Iterable[DemandEvent | Trace]) -> dict[str, None]:
    return dict.fromkeys(message.demand.id if isinstance(message, OrderChanged) else message.demand for message in messages)


def _send(message: Any, traces: Mapping[str, str]) -> Send:
    if isinstance(message, AllocationChanged):
        return Send(topic=_ALLOCATIONS, key=message.demand, message=message, traceparent=traces.get(message.demand))
    return Send(topic=_RESERVATIONS, key=f"{message.merchant}/{message.sku}", message=message)


def _traces(messages: Iterable[Any], traceparent: str) -> list[Trace]:
    return [Trace(one.demand.id, one.demand.version, traceparent) for one in messages if isinstance(one, OrderChanged)]


def _check(demand: Demand) -> None:
    """What the schema alone can not say."""
    if not demand.id.startswith(_OURS):
        raise BadRecord(f"not a {DemandKind.SALES_ORDER.value}; send it on the topic of its kind", "demand.id")
    if merchant_of(demand.id) != demand.merchant:
        raise BadRecord("names another merchant than demand.merchant", "demand.id")
    if len(demand.lines) > 1 and sum([line.units for line in demand.lines]) > MAX_UNITS:
        units: dict[str, int] = {}
        for line in demand.lines:
            units[line.sku] = units.get(line.sku, 0) + line.units
        if max(units.values()) > MAX_UNITS:
            raise BadRecord(f"more than {MAX_UNITS} units of one SKU; split the demand", "demand.lines")
