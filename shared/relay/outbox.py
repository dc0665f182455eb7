"""Rows that wait to be published, written in the transaction of the command that caused them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, LargeBinary, SmallInteger, Text, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.schemas.wire import MAX_VALUE_BYTES, Envelope, Record, encode, partition_of


class MessageTooLarge(Exception):
    """The event would not fit into one Kafka record. Send fewer lines in one document."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message of one entity. `key` decides the Kafka partition, `entity` the order in which rows are published."""

    entity: str
    topic: str
    key: str
    message: Any


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox table of the service whose Postgres schema is `schema`; the service's name is the source of its events."""

    schema: str
    shards: int

    @property
    def channel(self) -> str:
        """What a process tells the others on, when they hold a shard that it has written to."""
        return f"{self.schema}_outbox"

    async def append(self, connection: AsyncConnection, at: datetime, *outgoing: Outgoing, traceparent: str | None = None) -> None:
        """Write the messages, in order; the relay is woken when the transaction has ended. Raises MessageTooLarge."""
        if outgoing:
            records = [_encoded(one, self.schema, at, traceparent) for one in outgoing]
            await self._insert(connection, [one.entity for one in outgoing], [one.topic for one in outgoing], records)

    async def append_built(self, connection: AsyncConnection, entity: str, topic: str, build: Callable[[Envelope], Record]) -> None:
        """Write a record that is not one of our messages: a dead letter keeps the bytes of its sender."""
        await self._insert(connection, [entity], [topic], [build(Envelope(self.schema, 0))])

    async def _insert(self, connection: AsyncConnection, entities: list[str], topics: list[str], records: list[Record]) -> None:
        shards = [partition_of(entity, self.shards) for entity in entities]
        rows = {
            "shards": shards,
            "topics": topics,
            "keys": [record.key for record in records],
            "vals": [record.value for record in records],
            "headers": [_stored(record) for record in records],
        }
        await connection.execute(_insertion(self.schema), rows)
        connection.info.setdefault(WRITTEN, set()).update(shards)


WRITTEN = "earmark_outbox_shards"
"""Where a connection remembers which shards its transaction wrote to, until it comes back to its pool."""
_IDENTITY = {"ce_id", "earmark_sequence"}


@cache
def _insertion(schema: str) -> TextClause:
    """The ids are drawn in the order of the rows. No NOTIFY here: it makes all commits of a database queue for one lock, each for the
    length of its flush (measured: 948 instead of 3,950 commits a second with 16 clients)."""
    return text(f"""
        INSERT INTO {schema}.outbox (shard, topic, key, value, headers)
        SELECT shard, topic, key, value, headers::jsonb
        FROM unnest(:shards, :topics, :keys, :vals, :headers) WITH ORDINALITY AS new(shard, topic, key, value, headers, place)
        ORDER BY place
    """).bindparams(
        bindparam("shards", type_=ARRAY(SmallInteger)),
        bindparam("topics", type_=ARRAY(Text)),
        bindparam("keys", type_=ARRAY(LargeBinary)),
        bindparam("vals", type_=ARRAY(LargeBinary)),
        bindparam("headers", type_=ARRAY(Text)),
    )


def headers_from(stored: str, envelope: Envelope | None = None) -> tuple[tuple[str, bytes], ...]:
    """The headers of a stored row, as Kafka wants them. The row's id is the sequence of its envelope, known once it is stored."""
    found = tuple((name, value.encode()) for name, value in json.loads(stored))
    if envelope is None:
        return found
    identity = (("ce_id", f"{envelope.source}:{envelope.sequence}".encode()), ("earmark_sequence", str(envelope.sequence).encode()))
    return (*found, *identity)


def _stored(record: Record) -> str:
    """As JSON, without NUL, which Postgres does not take: a dead letter's reason may quote its sender."""
    return json.dumps([[name, value.decode().replace("\x00", "")] for name, value in record.headers if name not in _IDENTITY])


def _encoded(one: Outgoing, source: str, at: datetime, traceparent: str | None) -> Record:
    record = encode(one.message, key=one.key, envelope=Envelope(source, 0), time=at, traceparent=traceparent)
    if len(record.value) > MAX_VALUE_BYTES:
        raise MessageTooLarge(f"the event of {one.entity} has {len(record.value)} bytes, the limit is {MAX_VALUE_BYTES}: send fewer lines")
    return record
