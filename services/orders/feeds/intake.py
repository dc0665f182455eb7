"""Channels' orders from the intake topic."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.intake import Unchanged, key_of, take_in
from services.orders.core.model import Changed, Key, Order, Refused
from services.orders.feeds.taken import LookFirst, Taken, unreadable
from services.orders.store.dead_letters import Condemned
from services.orders.store.saving import load, note_channel_versions, save
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox
from shared.schemas.intake import OrderIntake
from shared.schemas.wire import MAX_VALUE_BYTES, BadRecord, decode, traceparent_in, type_header

MAX_INTAKE_BYTES = MAX_VALUE_BYTES - 100_000
"""What a channel may send, so that the event that tells it fits into a record as well."""
_to_json = msgspec.json.Encoder().encode


async def take_intake(connection: AsyncConnection, outbox: Outbox, records: Sequence[InputRecord], now: datetime, *, look: bool) -> Taken:
    """Make, edit and cancel orders as their channels say. What is refused is condemned with the reason; its neighbours are unharmed.

    Without `look` a channel's first version is taken for an order that is not there.
    """
    messages, condemned = _messages_in(records)
    looked_up = {key for key, message, _ in messages if look or message.version > 1}
    orders: dict[Key, Order] = await load(connection, looked_up, lock=True) if looked_up else {}
    changes: list[Changed] = []
    unchanged: set[Key] = set()
    made: list[Key] = []
    for key, message, record in messages:
        present = orders.get(key)
        answer = take_in(present, message, _digest(message), now)
        if isinstance(answer, Refused):
            if present is None and key not in looked_up:
                raise LookFirst(key.demand)  # of an order that is there an old version is no news, whatever is wrong with it
            letter = DeadLetter(record, f"{answer.detail}: {answer.remedy}", answer.field)
            condemned.append(Condemned(letter, message.merchant))
            continue
        if isinstance(answer, Unchanged):
            orders[key] = answer.order
            unchanged.add(key)
            continue
        if present is None:
            made.append(key)
        trace = traceparent_in(record.headers)
        for change in answer:
            changes.append(change.in_trace(trace))
            orders[key] = change.order
    await save(connection, outbox, changes)
    await note_channel_versions(connection, [orders[key] for key in sorted(unchanged)])
    return Taken(condemned, made=[orders[key] for key in made])


def _messages_in(records: Sequence[InputRecord]) -> tuple[list[tuple[Key, OrderIntake, InputRecord]], list[Condemned]]:
    """The messages, lower versions first, and the records that can not be read."""
    messages: list[tuple[Key, OrderIntake, InputRecord]] = []
    condemned: list[Condemned] = []
    for record in records:
        try:
            message = _intake_of(record)
        except BadRecord as bad:
            condemned.append(unreadable(record, bad))
        else:
            messages.append((key_of(message), message, record))
    messages.sort(key=lambda one: one[1].version)
    return messages, condemned


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
