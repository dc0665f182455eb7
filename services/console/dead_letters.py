"""Dead letters of every service in one list, for the people who operate Earmark: shown whole, replayed, discarded.

Letters of orders are settled by orders itself, through its HTTP, which takes the record in or says why not. Those of the allocator and of
inventory are sent once more to the topic they came from: their inputs are commands, entities and events that are known by id and version,
so a repeat of one that was taken meanwhile changes nothing, and one that is refused again is a new dead letter.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.console.errors import ConsoleError
from shared import database
from shared.api_keys import READ, WRITE, create_api_key
from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas.wire import Record
from shared.settings import Settings

OPERATOR = "operator"
STATUSES = ("waiting", "replayed", "discarded")
_COLUMNS = "topic, partition, record_offset, status, field, reason, written_at, found_at, settled_at, key, value, headers"
_LETTERS = f"""
    SELECT 'orders' AS service, {_COLUMNS} FROM orders.dead_letter
    UNION ALL SELECT 'allocator' AS service, {_COLUMNS} FROM allocator.dead_letter
    UNION ALL SELECT 'inventory' AS service, {_COLUMNS} FROM inventory.dead_letter"""


class LetterRefused(ConsoleError):
    """The dead letter is not there, or cannot be settled like that. `earmark dead-letters list` shows those that wait."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stood: `earmark.order-intake/3/17`, its name as a dead letter."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, name: str) -> "Place":
        """Read the name. Raises LetterRefused."""
        topic, _, rest = name.partition("/")
        partition, _, offset = rest.partition("/")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            raise LetterRefused(f"{name!r} names no dead letter: give TOPIC/PARTITION/OFFSET as `earmark dead-letters list` shows it")
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was not taken, whole, and why. `service`: who refused it."""

    service: str
    place: Place
    status: str
    field: str
    reason: str
    written_at: datetime
    found_at: datetime
    settled_at: datetime | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def as_json(self) -> dict[str, Any]:
        """Bytes as text where they are text, else in hexadecimal."""
        return {
            "name": str(self.place),
            "service": self.service,
            "status": self.status,
            "field": self.field,
            "reason": self.reason,
            "written_at": self.written_at.isoformat(),
            "found_at": self.found_at.isoformat(),
            "settled_at": self.settled_at.isoformat() if self.settled_at else None,
            "key": readable(self.key),
            "value": readable(self.value),
            "headers": {name: readable(value) for name, value in self.headers},
        }


def readable(raw: bytes | None) -> str | None:
    """As text where it is text, else in hexadecimal."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"0x{raw.hex()}"


async def listed(settings: Settings, status: str = "waiting", limit: int = 200) -> list[Letter]:
    """Dead letters of every service by name, at most so many."""
    sql = text(f"SELECT * FROM ({_LETTERS}) AS letter WHERE status = :status ORDER BY topic, partition, record_offset LIMIT :limit")
    async with _pool(settings) as pool, pool.connect() as connection:
        return [_letter(row) for row in await connection.execute(sql, {"status": status, "limit": limit})]


async def found(settings: Settings, place: Place) -> Letter:
    """One letter. Raises LetterRefused."""
    async with _pool(settings) as pool, pool.connect() as connection:
        return await _found(connection, place)


async def replay(settings: Settings, place: Place) -> Letter:
    """Have the record taken once more, after its cause was put right. Raises LetterRefused with what orders said."""
    letter = await _waiting(settings, place)
    if letter.service == "orders":
        await _ask_orders(settings, place, "replay")
    else:
        await _send_again(settings, letter)
        await _settle(settings, letter, "replayed")
    return await found(settings, place)


async def discard(settings: Settings, place: Place) -> Letter:
    """Give the record up. It is kept and no longer waits. Raises LetterRefused."""
    letter = await _waiting(settings, place)
    if letter.service == "orders":
        await _ask_orders(settings, place, "discard")
    else:
        await _settle(settings, letter, "discarded")
    return await found(settings, place)


# ---------------------------------------------------------------- how


async def _waiting(settings: Settings, place: Place) -> Letter:
    letter = await found(settings, place)
    if letter.status != "waiting":
        raise LetterRefused(f"{place} was {letter.status} already: nothing needs to be done")
    return letter


async def _ask_orders(settings: Settings, place: Place, action: str) -> None:
    """With a key of its own that lives for five minutes and may see every merchant's letters."""
    expires_at = datetime.now(UTC) + timedelta(minutes=5)
    async with _pool(settings) as pool, pool.begin() as connection:
        key = await create_api_key(
            connection, OPERATOR, pepper=settings.pepper, name="earmark dead-letters", scopes=(READ, WRITE, OPERATOR), expires_at=expires_at
        )
    headers = {"Authorization": f"Bearer {key.token}", "Idempotency-Key": f"{action}-{key.id}"}
    url = f"http://{settings.host}:{settings.orders_port}/dead-letters/{place}/{action}"
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            reply = await client.post(url, headers=headers)
    except httpx.TransportError as error:
        raise LetterRefused(f"orders does not answer at {url} ({error or type(error).__name__}): start it with `earmark up`") from error
    if not reply.is_success:
        problem = reply.json()
        raise LetterRefused(f"{place}: {problem.get('detail', reply.status_code)}; {problem.get('remedy', 'see the log of orders')}")


async def _send_again(settings: Settings, letter: Letter) -> None:
    writer = KafkaLogWriter(settings.bootstrap)
    record = Record(letter.key or b"", letter.value or b"", letter.headers)
    try:
        await writer.publish([OutboxRow(0, letter.place.topic, letter.place.partition, 0, 0, (record,))])
    finally:
        await writer.close()


async def _settle(settings: Settings, letter: Letter, status: str) -> None:
    sql = text(f"""
        UPDATE {letter.service}.dead_letter SET status = :status, settled_at = now()
        WHERE topic = :topic AND partition = :partition AND record_offset = :offset AND status = 'waiting'""")
    async with _pool(settings) as pool, pool.begin() as connection:
        await connection.execute(sql, _named(letter.place) | {"status": status})


async def _found(connection: AsyncConnection, place: Place) -> Letter:
    sql = text(f"""
        SELECT * FROM ({_LETTERS}) AS letter WHERE topic = :topic AND partition = :partition AND record_offset = :offset""")
    row = (await connection.execute(sql, _named(place))).one_or_none()
    if row is None:
        raise LetterRefused(f"there is no dead letter {place}: `earmark dead-letters list` shows those that wait")
    return _letter(row)


def _named(place: Place) -> dict[str, Any]:
    return {"topic": place.topic, "partition": place.partition, "offset": place.offset}


def _letter(row: Any) -> Letter:
    return Letter(
        service=row.service,
        place=Place(row.topic, row.partition, row.record_offset),
        status=row.status,
        field=row.field,
        reason=row.reason,
        written_at=row.written_at,
        found_at=row.found_at,
        settled_at=row.settled_at,
        key=row.key,
        value=row.value,
        headers=tuple((name, bytes.fromhex(value)) for name, value in row.headers),
    )


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[AsyncEngine]:
    pool = database.engine(settings, "earmark-dead-letters")
    try:
        await database.require_schema(pool)
        yield pool
    finally:
        await database.dispose(pool)
