"""Dead letters of HTTP services: records that were read and not taken, kept whole as rows and announced on `earmark.dead-letters`.

Every service has a table `dead_letter` of its own with these columns; the allocator writes its own with a batch.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.partitions.model import DeadLetter
from shared.partitions.outbox import dead_letter
from shared.relay import Outbox
from shared.schemas.topics import DEAD_LETTERS
from shared.schemas.wire import Envelope, Record


def table(metadata: MetaData, *more: Column[Any]) -> Table:
    """The table as queries name it, with more columns that a service's own has; migrations make it."""
    return Table(
        "dead_letter",
        metadata,
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("record_offset", BigInteger, primary_key=True),
        Column("written_at", DateTime(timezone=True)),
        Column("key", LargeBinary),
        Column("value", LargeBinary),
        Column("headers", JSONB),
        Column("field", Text),
        Column("reason", Text),
        Column("status", Text),
        Column("found_at", DateTime(timezone=True)),
        Column("settled_at", DateTime(timezone=True)),
        *more,
    )


async def keep(connection: AsyncConnection, outbox: Outbox, table: Table, letter: DeadLetter, now: datetime, **more: Any) -> None:
    """Store and announce it, with the values of more columns that the table may have. One that is known already, because its batch came
    again, stays as it is."""
    stored = await connection.execute(insert(table).values(**_row(letter), **more).on_conflict_do_nothing())
    if stored.rowcount:
        entity = f"dead/{letter.record.topic}/{letter.record.partition}"
        await outbox.append_built(connection, entity, DEAD_LETTERS.name, partial(_announced, letter, now))


def _announced(letter: DeadLetter, now: datetime, envelope: Envelope) -> Record:
    return dead_letter(letter, envelope, now)


def _row(letter: DeadLetter) -> dict[str, Any]:
    record = letter.record
    return {
        "topic": record.topic,
        "partition": record.partition,
        "record_offset": record.offset,
        "written_at": datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC),
        "key": record.key,
        "value": record.value,
        "headers": [[_storable(name), (value or b"").hex()] for name, value in record.headers],
        "field": _storable(letter.field),
        "reason": _storable(letter.reason),
    }


def _storable(hostile: str) -> str:
    """Text that Postgres takes: no NUL, no half of a surrogate pair."""
    return hostile.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()[:2000]
