"""Records that could not be read or were refused, kept whole: listed, shown, replayed, discarded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.store.tables import dead_letter
from shared import dead_letters
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox

_COLUMNS = dead_letter.c


@dataclass(frozen=True, slots=True)
class Condemned:
    """A record that was not taken. `merchant` where it could be read that far: then that merchant may see it."""

    letter: DeadLetter
    merchant: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stood: its name as a dead letter."""

    topic: str
    partition: int
    offset: int


async def keep(connection: AsyncConnection, outbox: Outbox, condemned: Sequence[Condemned], now: datetime) -> None:
    """Store them and announce them on `earmark.dead-letters`. One that is known already, because its batch came again, stays as it is."""
    for one in condemned:
        await dead_letters.keep(connection, outbox, dead_letter, one.letter, now, merchant=one.merchant)


async def list_letters(
    connection: AsyncConnection, merchant: str | None, status: str, after: Sequence[Any] | None, limit: int
) -> list[Row[Any]]:
    """Oldest first. `merchant` null: of everyone, also those that name none."""
    place = tuple_(_COLUMNS.topic, _COLUMNS.partition, _COLUMNS.record_offset)
    query = select(dead_letter).where(_COLUMNS.status == status, *_of(merchant)).order_by(*place)
    if after is not None:
        query = query.where(place > tuple_(*after))
    return list(await connection.execute(query.limit(limit)))


async def find_letter(connection: AsyncConnection, merchant: str | None, place: Place, *, lock: bool = False) -> Row[Any] | None:
    """The letter, whole; null where there is none that this merchant may see."""
    query = select(dead_letter).where(*_at(place), *_of(merchant))
    return (await connection.execute(query.with_for_update() if lock else query)).one_or_none()


async def settle(connection: AsyncConnection, place: Place, status: str, by: str) -> None:
    """It was replayed or discarded: it is kept, and no longer waits."""
    await connection.execute(update(dead_letter).where(*_at(place)).values(status=status, settled_at=func.now(), settled_by=by))


def record_of(row: Row[Any]) -> InputRecord:
    """The record as it was read."""
    headers = tuple((name, bytes.fromhex(value)) for name, value in row.headers)
    written_ms = int(row.written_at.timestamp() * 1000)
    return InputRecord(row.topic, row.partition, row.record_offset, written_ms, row.key, row.value, headers)


def _at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (_COLUMNS.topic == place.topic, _COLUMNS.partition == place.partition, _COLUMNS.record_offset == place.offset)


def _of(merchant: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if merchant is None else (_COLUMNS.merchant == merchant,)
