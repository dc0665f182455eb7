"""Rows that wait to be published, written in the transaction of the command that caused them: one for everything that it says of one
kind in one shard. A row per event cost more than to decide it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Integer, LargeBinary, SmallInteger, Text, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.relay.packing import Parts, pack, unpack
from shared.schemas.message import Value
from shared.schemas.wire import MAX_VALUE_BYTES, Envelope, Headers, Record, headers, partition_of, value_of

ROW_RECORDS = 500
ROW_BYTES = 1024 * 1024
"""A row is closed when its values have so many bytes: what is read at once stays small."""
NUMBERS = 1000
"""Numbers of records that belong to one row: its id times this, and on."""
assert NUMBERS > ROW_RECORDS, "numbers of one row would run into the next one's"


class MessageTooLarge(Exception):
    """The event would not fit into one Kafka record. Send fewer lines in one document."""


class Outgoing(Value, frozen=True):
    """One message of one entity. `key` decides the Kafka partition, `entity` the order in which records are published. `traceparent`: the
    trace in which it was asked for, passed on in the headers."""

    entity: str
    topic: str
    key: str
    message: Any
    traceparent: str | None = None


class _Row(NamedTuple):
    """As it is stored: the headers that all its records have, JSON, and the records packed."""

    shard: int
    topic: str
    headers: str
    record_count: int
    records: bytes


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox table of the service whose Postgres schema is `schema`; the service's name is the source of its events."""

    schema: str
    shards: int

    @property
    def channel(self) -> str:
        """What a process tells the others on, when they hold a shard that it has written to."""
        return f"{self.schema}_outbox"

    async def append(self, connection: AsyncConnection, at: datetime, *outgoing: Outgoing) -> None:
        """Write the messages, in order; the relay is woken when the transaction has ended. Raises MessageTooLarge."""
        alike: dict[tuple[int, str, str], list[Parts]] = {}
        for one in outgoing:
            parts = one.key.encode(), _value_of(one), (one.traceparent or "").encode()
            alike.setdefault((partition_of(one.entity, self.shards), one.topic, one.message.type), []).append(parts)
        rows = []
        for (shard, topic, kind), records in alike.items():
            shared = _stored(headers(kind, "", Envelope(self.schema, 0), at), _OWN)
            rows += [_Row(shard, topic, shared, len(some), pack(some)) for some in _cut(records)]
        if rows:
            await self._insert(connection, rows)

    async def append_built(self, connection: AsyncConnection, entity: str, topic: str, build: Callable[[Envelope], Record]) -> None:
        """Write a record that is not one of our messages: a dead letter keeps the bytes of its sender."""
        record = build(Envelope(self.schema, 0))
        shared = _stored(record.headers, _NUMBERED)
        await self._insert(connection, [_Row(partition_of(entity, self.shards), topic, shared, 1, pack([(record.key, record.value, b"")]))])

    async def _insert(self, connection: AsyncConnection, rows: Sequence[_Row]) -> None:
        columns = dict(zip(_Row._fields, map(list, zip(*rows, strict=True)), strict=True))
        await connection.execute(_insertion(self.schema), columns)
        connection.info.setdefault(WRITTEN, set()).update(columns["shard"])


WRITTEN = "earmark_outbox_shards"
"""Where a connection remembers which shards its transaction wrote to, until it comes back to its pool."""
_NUMBERED = {"ce_id", "earmark_sequence"}
"""Headers that hang on the row's id, which is known once it is stored."""
_OWN = _NUMBERED | {"ce_subject"}
"""Headers that each message has of its own; the subject is its key."""


@cache
def _insertion(schema: str) -> TextClause:
    """The ids are drawn in the order of the rows. No NOTIFY here: it makes all commits of a database queue for one lock, each for the
    length of its flush (measured: 948 instead of 3,950 commits a second with 16 clients)."""
    return text(f"""
        INSERT INTO {schema}.outbox (shard, topic, headers, record_count, records)
        SELECT shard, topic, headers::jsonb, record_count, records
        FROM unnest(:shard, :topic, :headers, :record_count, :records) WITH ORDINALITY
          AS new(shard, topic, headers, record_count, records, place)
        ORDER BY place
    """).bindparams(
        bindparam("shard", type_=ARRAY(SmallInteger)),
        bindparam("topic", type_=ARRAY(Text)),
        bindparam("headers", type_=ARRAY(Text)),
        bindparam("record_count", type_=ARRAY(Integer)),
        bindparam("records", type_=ARRAY(LargeBinary)),
    )


def records_of(source: str, row_id: int, shared: str, count: int, packed: bytes) -> list[Record]:
    """The records of a stored row, whole: headers, numbers and all. The same row gives the same records whenever it is published."""
    common = tuple((name, value.encode()) for name, value in json.loads(shared))
    has_subject = any(name == "ce_subject" for name, _ in common)
    found = []
    for number, (key, value, trace) in enumerate(unpack(packed, count), row_id * NUMBERS):
        whole: Headers = (*common, ("ce_id", b"%s:%d" % (source.encode(), number)), ("earmark_sequence", b"%d" % number))
        if not has_subject:
            whole += (("ce_subject", key),)
        found.append(Record(key, value, (*whole, ("traceparent", trace)) if trace else whole))
    return found


def _stored(whole: Headers, without: set[str]) -> str:
    """As JSON, without NUL, which Postgres does not take: a dead letter's reason may quote its sender."""
    return json.dumps([[name, value.decode().replace("\x00", "")] for name, value in whole if name not in without])


def _value_of(one: Outgoing) -> bytes:
    value = value_of(one.message)
    if len(value) > MAX_VALUE_BYTES:
        raise MessageTooLarge(f"the event of {one.entity} has {len(value)} bytes, the limit is {MAX_VALUE_BYTES}: send fewer lines")
    return value


def _cut(records: Sequence[Parts]) -> list[list[Parts]]:
    """Into rows, in order."""
    rows: list[list[Parts]] = []
    size = ROW_BYTES
    for parts in records:
        if size >= ROW_BYTES or len(rows[-1]) == ROW_RECORDS:
            rows.append([])
            size = 0
        rows[-1].append(parts)
        size += len(parts[1])
    return rows
