"""What orders take from Kafka: channels' orders from the intake topic, and the allocator's answers. Each batch is one transaction with
everything that it causes: orders, events, dead letters, and the word to those who wait."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.intake import Unchanged, key_of, take_in
from services.orders.core.model import Changed, Key, Order, Refused
from services.orders.store import dead_letters
from services.orders.store.allocations import Overtaken
from services.orders.store.dead_letters import Condemned
from services.orders.store.driver import begin_batch
from services.orders.store.projecting import project_batch
from services.orders.store.saving import load, note_channel_versions, number_is_taken, save
from services.orders.subscriber import Subscriber
from shared import metrics
from shared.http import Platform, notify
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox
from shared.schemas.events import AllocationChanged
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import ALLOCATIONS, ORDER_INTAKE
from shared.schemas.values import DemandKind, Merchant
from shared.schemas.wire import MAX_VALUE_BYTES, BadRecord, decode, traceparent_in, type_header

log = logging.getLogger("earmark.orders.feeds")

MAX_INTAKE_BYTES = MAX_VALUE_BYTES - 100_000
"""What a channel may send, so that the event that tells it fits into a record as well."""
_MERCHANT: TypeAdapter[str] = TypeAdapter(Merchant)
_KIND = DemandKind.SALES_ORDER.value + "/"
_ANSWERS = frozenset({"allocation_changed"})
_ATTEMPTS = 5
RESTS = 3
"""After few answers orders rest three times as long as those took: who reads events does not wait for this, and the CPU is left to those
who make the answers. At 180 orders a second over HTTP p50 until the answer was told was 206 instead of 246 ms. An answer that comes
alone is taken at once. Orders of channels are never kept waiting: they are what the answers come from."""
_to_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch: records that were not taken, demands whose order was answered, and bulk runs that went on."""

    condemned: Sequence[Condemned]
    decided: Sequence[str] = ()
    runs: Sequence[str] = ()


Take = Callable[[AsyncConnection, Outbox, Sequence[InputRecord], datetime], Awaitable[Taken]]


# ---------------------------------------------------------------- orders of channels


async def take_intake(connection: AsyncConnection, outbox: Outbox, records: Sequence[InputRecord], now: datetime) -> Taken:
    """Make, edit and cancel orders as their channels say. What is refused is condemned with the reason; its neighbours are unharmed."""
    condemned: list[Condemned] = []
    messages: list[tuple[Key, OrderIntake, InputRecord]] = []
    for record in records:
        try:
            message = _intake_of(record)
        except BadRecord as bad:
            condemned.append(Condemned(DeadLetter(record, bad.reason, bad.field), _merchant_in(record.value)))
        else:
            messages.append((key_of(message), message, record))
    messages.sort(key=lambda one: one[1].version)
    orders: dict[Key, Order] = await load(connection, [key for key, _, _ in messages], lock=True) if messages else {}
    changes: list[Changed] = []
    unchanged: set[Key] = set()
    for key, message, record in messages:
        answer = take_in(orders.get(key), message, _digest(message), now)
        if isinstance(answer, Refused):
            letter = DeadLetter(record, f"{answer.detail}: {answer.remedy}", answer.field)
            condemned.append(Condemned(letter, message.merchant))
            continue
        if isinstance(answer, Unchanged):
            orders[key] = answer.order
            unchanged.add(key)
            continue
        trace = traceparent_in(record.headers)
        for change in answer:
            changes.append(change.in_trace(trace))
            orders[key] = change.order
    await save(connection, outbox, changes)
    await note_channel_versions(connection, [orders[key] for key in sorted(unchanged)])
    return Taken(condemned)


def _intake_of(record: InputRecord) -> OrderIntake:
    if record.value is not None and len(record.value) > MAX_INTAKE_BYTES:
        remedy = f"send at most {MAX_INTAKE_BYTES}: name warehouses once for the order and not in every line"
        raise BadRecord(f"{len(record.value)} bytes; {remedy}", "value")
    message: OrderIntake
    (message,) = decode(record.value, type_header(record.headers), {"order_intake"})
    return message


def _digest(message: OrderIntake) -> str:
    """Of what it says, however it was written: the same content under the same version is a repeat."""
    return hashlib.sha256(_to_json(message)).hexdigest()


def _merchant_in(value: bytes | None) -> str | None:
    """The merchant that an unreadable record names, if that much can be read: it decides who may see the dead letter."""
    try:
        found = json.loads(value or b"")
        return _MERCHANT.validate_python(found["merchant"]) if isinstance(found, dict) and "merchant" in found else None
    except (ValueError, RecursionError, ValidationError):
        return None


# ---------------------------------------------------------------- answers of the allocator


async def take_answers(connection: AsyncConnection, outbox: Outbox, records: Sequence[InputRecord], now: datetime) -> Taken:
    """Fold what the allocator says into the orders, and let bulk runs that waited for it go on."""
    condemned: list[Condemned] = []
    answers: list[AllocationChanged] = []
    source: dict[str, InputRecord] = {}
    for record in records:
        try:
            (answer,) = decode(record.value, type_header(record.headers), _ANSWERS)
        except BadRecord as bad:
            condemned.append(Condemned(DeadLetter(record, bad.reason, bad.field), _merchant_in(record.value)))
            continue
        if answer.demand.startswith(_KIND):
            answers.append(answer)
            source[answer.demand] = record
    if not answers:
        return Taken(condemned)
    projection = await project_batch(connection, outbox, answers, now)
    for key in projection.unknown:
        letter = DeadLetter(source[key.demand], "there is no such order here; restore the newest backup, then replay it", "demand")
        condemned.append(Condemned(letter, key.merchant))
    return Taken(condemned, projection.decided, projection.runs)


# ---------------------------------------------------------------- wiring


class Feed:
    """One topic taken by one consumer group. `on_runs`: told when a committed batch has let bulk runs go on.
    `rests`: see `Subscriber`."""

    def __init__(
        self, platform: Platform, topic: str, name: str, take: Take, on_runs: Callable[[], None] = lambda: None, rests: int = 0
    ) -> None:
        self._platform, self._topic, self._take, self._on_runs = platform, topic, take, on_runs
        group = f"earmark-orders-{name}"
        settings = platform.settings
        self.subscriber = Subscriber(
            settings.bootstrap, group, [topic], self.handle, self.condemn, session_ms=settings.group_session_ms, rests=rests
        )

    async def handle(self, records: Sequence[InputRecord]) -> None:
        """Take a batch in one transaction. What somebody else did at the same moment is met by taking it again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                taken = await self._once(records)
                break
            except Exception as error:
                if not (number_is_taken(error) or isinstance(error, Overtaken)) or attempt == _ATTEMPTS:
                    raise
        metrics.PROJECTED.labels(service=self._platform.service, topic=self._topic).inc(len(records))
        if taken.runs:
            self._on_runs()

    async def _once(self, records: Sequence[InputRecord]) -> Taken:
        platform = self._platform
        async with platform.engine.begin() as connection:
            now = await begin_batch(connection)
            taken = await self._take(connection, platform.outbox, records, now)
            await dead_letters.keep(connection, platform.outbox, taken.condemned, now)
            await notify(connection, platform.decisions, *taken.decided, *taken.runs)
        return taken

    async def condemn(self, record: InputRecord, reason: str) -> None:
        """Keep a record that the database never takes as a dead letter."""
        platform = self._platform
        async with platform.engine.begin() as connection:
            now = await begin_batch(connection)
            condemned = Condemned(DeadLetter(record, reason, "value"), _merchant_in(record.value))
            await dead_letters.keep(connection, platform.outbox, [condemned], now)

    async def replay(self, connection: AsyncConnection, record: InputRecord, now: datetime) -> Condemned | None:
        """Take a dead letter once more, in the transaction that settles it. Returns it with the new reason where it is refused again."""
        taken = await self._take(connection, self._platform.outbox, [record], now)
        await notify(connection, self._platform.decisions, *taken.decided, *taken.runs)
        return taken.condemned[0] if taken.condemned else None


@dataclass(frozen=True, slots=True)
class Feeds:
    """Both topics."""

    intake: Feed
    answers: Feed

    @classmethod
    def open(cls, platform: Platform, on_runs: Callable[[], None]) -> "Feeds":
        """Make them, subscribe to nothing."""
        return cls(
            Feed(platform, ORDER_INTAKE.name, "intake", take_intake),
            Feed(platform, ALLOCATIONS.name, "projection", take_answers, on_runs, RESTS),
        )

    async def run(self) -> None:
        """Subscribe until cancelled."""
        await asyncio.gather(self.intake.subscriber.run(), self.answers.subscriber.run())

    def of(self, topic: str) -> Feed | None:
        """The feed that takes a topic."""
        return {ORDER_INTAKE.name: self.intake, ALLOCATIONS.name: self.answers}.get(topic)
