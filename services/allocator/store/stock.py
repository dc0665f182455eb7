"""`StockStorage` on Postgres: new rows by COPY, changed ones by one UPDATE per table, no ORM."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import asyncpg

from services.allocator.core.stock.rows import (
    BatonRow,
    LevelsRound,
    MovementRow,
    QueueRow,
    RecordRow,
    ReservationRow,
    SkuKey,
    StockChanges,
    StoredDeadlines,
    StoredSku,
)
from services.allocator.store import stock_sql as sql
from services.allocator.store.array_text import any_texts, array, texts
from services.allocator.store.stock_text import reservations_text

_FIGURES = [RecordRow._fields.index(name) for name in ("record", "on_hand", "held", "backed", "flagged", "version")]


LIVE_AT_ONCE = 10_000


class StockRowsMissing(Exception):
    """Rows to be changed are gone: they were removed behind the allocator's back. Restore them; nothing was written."""


class PostgresStockStorage:
    """See `stock_ports.StockStorage`. Works inside the transaction that its connection has open."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def deadlines(self, partition: int) -> StoredDeadlines:
        """See the port. Reads indexes of the rows that have one, and goes over the stock records once for what is still to be told."""
        fetch = self._connection.fetch
        found = await self._connection.fetchrow(sql.TOLD, partition)
        told = None if found is None else found["told_at"]
        return StoredDeadlines(
            [((row[0], row[1]), (row[2], row[3]), row[4]) for row in await fetch(sql.DUE_BATONS, partition)],
            [((row[0], row[1]), row[2]) for row in await fetch(sql.DUE_CONTINUATIONS, partition)],
            [((row[0], row[1]), row[2]) for row in await fetch(sql.DUE_LOTS, partition)],
            told,
            [(row[0], row[1]) for row in await fetch(sql.UNTOLD, partition, told)],
            None if found is None else _round(found),
        )

    async def summaries(self, skus: Sequence[SkuKey]) -> dict[SkuKey, StoredSku]:
        """See the port."""
        keys = _as_text(skus)
        records: dict[SkuKey, list[RecordRow]] = {}
        for row in await self._connection.fetch(sql.RECORDS, *keys):
            records.setdefault((row[0], row[1]), []).append(RecordRow(*row))
        queues = {(row[0], row[1]): QueueRow(*row) for row in await self._connection.fetch(sql.QUEUES, *keys)}
        batons: dict[SkuKey, list[BatonRow]] = {}
        woken = [key for key, queue in queues.items() if queue.baton_seq]
        for row in await self._connection.fetch(sql.BATONS, *_as_text(woken)) if woken else ():
            batons.setdefault((row[0], row[1]), []).append(BatonRow(*row))
        return {key: StoredSku(records.get(key, []), queues.get(key), batons.get(key, [])) for key in records.keys() | queues.keys()}

    async def reservations(self, names: Sequence[tuple[str, str, str]]) -> list[ReservationRow]:
        """See the port."""
        return [_reservation(row) for row in await self._connection.fetch(sql.RESERVATIONS, *_as_text(names))]

    async def live_reservations(self, skus: Sequence[SkuKey]) -> list[ReservationRow]:
        """See the port. Read by a cursor: a million rows of one SKU in one statement would meet the time-out, again and again."""
        cursor = self._connection.cursor(sql.LIVE, *_as_text(skus), prefetch=LIVE_AT_ONCE)
        return [_reservation(row) async for row in cursor]

    async def movements(self, commands: Sequence[tuple[str, str, str]]) -> list[MovementRow]:
        """See the port."""
        return [MovementRow(*row) for row in await self._connection.fetch(sql.MOVEMENTS, *_as_text(commands))]

    async def skus_after(self, partition: int, after: SkuKey | None, most: int) -> list[SkuKey]:
        """See the port. Goes along the primary key, over the SKUs of other partitions that lie between."""
        return [(row[0], row[1]) for row in await self._connection.fetch(sql.SKUS_AFTER, partition, *(after or ("", "")), most)]

    async def save(self, changes: StockChanges) -> None:
        """See the port. Raises StockRowsMissing."""
        await self._copy("stock_record", RecordRow._fields, changes.new_records)
        await self._update_records(changes)
        await self._update(
            sql.REDATE_RECORDS, [(*row[:3], row.expires_on, row.received_at, row.expired) for row in changes.redated_records]
        )
        await self._forget(changes.forgotten_reservations)
        await self._copy_reservations(changes.new_reservations)
        await self._update_reservations(changes.changed_reservations)
        await self._copy("movement", MovementRow._fields, changes.movements)
        await self._execute(sql.SAVE_QUEUES, changes.queues)
        await self._execute(sql.SAVE_BATONS, changes.batons)
        await self._execute(sql.DELETE_BATONS, [(*key, *whose) for key, whose in changes.returned_batons])
        if changes.announced_at is not None:
            await self._connection.execute(sql.SAVE_TOLD, changes.partition, changes.announced_at, *_round_columns(changes.levels_round))

    async def _forget(self, names: Sequence[tuple[str, str, str]]) -> None:
        done = await self._execute(sql.FORGET_RESERVATIONS, names)
        if names and done != f"DELETE {len(names)}":
            raise StockRowsMissing(f"{done} of {len(names)}. {StockRowsMissing.__doc__}")

    async def _copy(self, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            await self._connection.copy_records_to_table(table, schema_name="allocator", columns=columns, records=rows)

    async def _copy_reservations(self, rows: Sequence[ReservationRow]) -> None:
        """As text: for its three arrays the driver takes twice as long as for all other values of a row together."""
        if rows:
            text: Any = memoryview(reservations_text(rows).encode())  # a file would be read by a thread, bytes are taken for a path
            await self._connection.copy_to_table(
                "reservation", schema_name="allocator", columns=ReservationRow._fields, source=text, format="text"
            )

    async def _update_records(self, changes: StockChanges) -> None:
        rows = changes.changed_records
        if rows:
            columns = list(zip(*rows, strict=True))
            numbers = [array(columns[at]) for at in _FIGURES]
            _check(await self._connection.execute(sql.UPDATE_RECORDS, changes.now, texts(columns[0]), texts(columns[1]), *numbers), rows)

    async def _update_reservations(self, rows: Sequence[ReservationRow]) -> None:
        if rows:
            columns = zip(*map(_reservation_change, rows), strict=True)
            written = [write(column) for write, column in zip(_CHANGE, columns, strict=True)]
            _check(await self._connection.execute(sql.UPDATE_RESERVATIONS, *written), rows)

    async def _update(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            _check(await self._execute(statement, rows), rows)

    async def _execute(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> str:
        return await self._connection.execute(statement, *_transposed(rows)) if rows else ""


def _round(row: asyncpg.Record) -> LevelsRound | None:
    """Rows that were written before there were rounds have none: the next one begins at once."""
    if row["round_due_at"] is None:
        return LevelsRound(row["told_at"], row["told_at"], None)
    after = None if row["round_merchant"] is None else (row["round_merchant"], row["round_sku"])
    return LevelsRound(row["round_due_at"], row["round_began_at"], after)


def _round_columns(levels_round: LevelsRound | None) -> tuple[Any, ...]:
    assert levels_round is not None, "levels that are told belong to a round"
    return (levels_round.due_at, levels_round.began_at, *(levels_round.after or (None, None)))


def _check(done: str, rows: Sequence[object]) -> None:
    if done != f"UPDATE {len(rows)}":
        raise StockRowsMissing(f"{done} of {len(rows)}. {StockRowsMissing.__doc__}")


def _transposed(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _as_text(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """One array for each part of the keys."""
    found = list(map(texts, zip(*keys, strict=True)))
    assert sum([text.count('"') for text in found]) == 2 * len(keys) * len(found), "an identifier ends no other"
    assert not any("\\" in text for text in found), "an identifier escapes nothing"
    return found


def _reservation(row: asyncpg.Record) -> ReservationRow:
    values = ReservationRow(*row)
    return values._replace(
        warehouses=tuple(values.warehouses),
        piece_records=tuple(values.piece_records),
        piece_units=tuple(values.piece_units),
        piece_flags=None if values.piece_flags is None else tuple(values.piece_flags),
    )


def _reservation_change(row: ReservationRow) -> tuple[Any, ...]:
    """The key and what may change. Arrays are text within the array: an array of arrays would be unnested to its leaves."""
    flags = None if row.piece_flags is None else array(row.piece_flags)
    return (*row[:3], *row[4:16], texts(row.warehouses), array(row.piece_records), array(row.piece_units), flags, row.empty_since)


_CHANGE: tuple[Callable[[Any], str], ...] = (*3 * (texts,), *8 * (array,), *2 * (texts,), *2 * (array,), *4 * (any_texts,), array)
"""How each column of a change is written."""
