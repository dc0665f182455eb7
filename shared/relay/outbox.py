"""Rows that wait to be published, written in the transaction of the command that caused them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, LargeBinary, SmallInteger, Text, bindparam, text
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
        """What NOTIFY wakes the relays with."""
        return f"{self.schema}_outbox"

    async def append(self, connection: AsyncConnection, at: datetime, *outgoing: Outgoing, traceparent: str | None = None) -> None:
        """Write the messages, in order, and wake the relays when the transaction commits. Raises MessageTooLarge."""
        if not outgoing:
            return
        ids = await self._draw(connection, len(outgoing))
        records = [_encoded(one, Envelope(self.schema, number), at, traceparent) for one, number in zip(outgoing, ids, strict=True)]
        shards = [partition_of(one.entity, self.shards) for one in outgoing]
        await self._insert(connection, ids, shards, [one.topic for one in outgoing], records)

    async def append_built(self, connection: AsyncConnection, entity: str, topic: str, build: Callable[[Envelope], Record]) -> None:
        """Write a record that is not one of our messages: a dead letter keeps the bytes of its sender."""
        ids = await self._draw(connection, 1)
        await self._insert(connection, ids, [partition_of(entity, self.shards)], [topic], [build(Envelope(self.schema, ids[0]))])

    async def _draw(self, connection: AsyncConnection, count: int) -> list[int]:
        sql = text(f"SELECT nextval('{self.schema}.outbox_id_seq') AS id FROM generate_series(1, :count) ORDER BY id")
        return [row.id for row in await connection.execute(sql, {"count": count})]

    async def _insert(
        self, connection: AsyncConnection, ids: list[int], shards: list[int], topics: list[str], records: list[Record]
    ) -> None:
        rows = {
            "ids": ids,
            "shards": shards,
            "topics": topics,
            "keys": [record.key for record in records],
            "vals": [record.value for record in records],
            "headers": [_stored(record) for record in records],
        }
        sql = text(f"""
            WITH stored AS (
                INSERT INTO {self.schema}.outbox (id, shard, topic, key, value, headers)
                SELECT id, shard, topic, key, value, headers::jsonb
                FROM unnest(:ids, :shards, :topics, :keys, :vals, :headers) AS new(id, shard, topic, key, value, headers)
                RETURNING shard)
            SELECT pg_notify('{self.channel}', shard::text) FROM (SELECT DISTINCT shard FROM stored) AS woken
        """).bindparams(*_PARAMETERS)
        await connection.execute(sql, rows)


_PARAMETERS = (
    bindparam("ids", type_=ARRAY(BigInteger)),
    bindparam("shards", type_=ARRAY(SmallInteger)),
    bindparam("topics", type_=ARRAY(Text)),
    bindparam("keys", type_=ARRAY(LargeBinary)),
    bindparam("vals", type_=ARRAY(LargeBinary)),
    bindparam("headers", type_=ARRAY(Text)),
)


def headers_from(stored: str) -> tuple[tuple[str, bytes], ...]:
    """The headers of a stored row, as Kafka wants them."""
    return tuple((name, value.encode()) for name, value in json.loads(stored))


def _stored(record: Record) -> str:
    """As JSON, without NUL, which Postgres does not take: a dead letter's reason may quote its sender."""
    return json.dumps([[name, value.decode().replace("\x00", "")] for name, value in record.headers])


def _encoded(one: Outgoing, envelope: Envelope, at: datetime, traceparent: str | None) -> Record:
    record = encode(one.message, key=one.key, envelope=envelope, time=at, traceparent=traceparent)
    if len(record.value) > MAX_VALUE_BYTES:
        raise MessageTooLarge(f"the event of {one.entity} has {len(record.value)} bytes, the limit is {MAX_VALUE_BYTES}: send fewer lines")
    return record
