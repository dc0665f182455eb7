"""`StockStorage` on Postgres: new rows by COPY, changed ones by one UPDATE per table, no ORM."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
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
    Telling,
)
from services.allocator.store import stock_sql as sql
from services.allocator.store.stock_sql import StockRowsMissing
from shared.database import constraint
from shared.partitions.link import Copy, Link, Statement
from shared.partitions.ports import WasKnown

__all__ = ["PostgresStockStorage", "StockRowsMissing"]
_figures = attrgetter("merchant", "sku", "record", "on_hand", "held", "backed", "flagged", "version")
LIVE_AT_ONCE = 10_000


class PostgresStockStorage:
    """See `stock_ports.StockStorage`. Works inside the batch that its link has open."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def deadlines(self, partition: int) -> StoredDeadlines:
        """See the port. Reads indexes of the rows that have one, and goes over the stock records once for what is still to be told."""
        fetch = self._link.connection.fetch
        found = await self._link.connection.fetchrow(sql.TOLD, partition)
        telling = None if found is None else _telling(found)
        return StoredDeadlines(
            [((row[0], row[1]), (row[2], row[3]), row[4]) for row in await fetch(sql.DUE_BATONS, partition)],
            [((row[0], row[1]), row[2]) for row in await fetch(sql.DUE_CONTINUATIONS, partition)],
            [((row[0], row[1]), row[2]) for row in await fetch(sql.DUE_LOTS, partition)],
            telling,
            [((row[0], row[1]), row[2]) for row in await fetch(sql.CHANGED, partition, telling and telling.told_at)],
            None if found is None else _round(found),
        )

    async def summaries(self, skus: Sequence[SkuKey]) -> dict[SkuKey, StoredSku]:
        """See the port."""
        fetch = self._link.through.fetch
        records: dict[SkuKey, list[RecordRow]] = {}
        for row in await fetch(sql.RECORDS, skus):
            records.setdefault((row[0], row[1]), []).append(RecordRow(*row))
        queues = {(row[0], row[1]): QueueRow(*row) for row in await fetch(sql.QUEUES, skus)}
        batons: dict[SkuKey, list[BatonRow]] = {}
        woken = [key for key, queue in queues.items() if queue.baton_seq]
        for row in await fetch(sql.BATONS, woken) if woken else ():
            batons.setdefault((row[0], row[1]), []).append(BatonRow(*row))
        return {key: StoredSku(records.get(key, []), queues.get(key), batons.get(key, [])) for key in records.keys() | queues.keys()}

    async def reservations(self, names: Sequence[tuple[str, str, str]]) -> list[ReservationRow]:
        """See the port."""
        return list(map(_reservation, await self._link.through.fetch(sql.RESERVATIONS, names)))

    async def live_reservations(self, skus: Sequence[SkuKey]) -> list[ReservationRow]:
        """See the port. Read by a cursor: a million rows of one SKU in one statement would meet the time-out, again and again."""

        async def read(connection: asyncpg.Connection) -> list[ReservationRow]:
            return [_reservation(row) async for row in connection.cursor(sql.LIVE, *sql.keys(skus), prefetch=LIVE_AT_ONCE)]

        return await self._link.through.serially(read)

    async def movements(self, commands: Sequence[tuple[str, str, str]]) -> list[MovementRow]:
        """See the port."""
        return [MovementRow(*row) for row in await self._link.through.fetch(sql.MOVEMENTS, commands)]

    async def skus_after(self, partition: int, after: SkuKey | None, most: int) -> list[SkuKey]:
        """See the port. Goes along the primary key, over the SKUs of other partitions that lie between."""
        given = partition, *(after or ("", "")), most
        found = await self._link.through.serially(lambda connection: connection.fetch(sql.SKUS_AFTER, *given))
        return [(row[0], row[1]) for row in found]

    async def save(self, changes: StockChanges) -> None:
        """See the port. Raises StockRowsMissing, WasKnown."""
        through = self._link.through
        try:
            for what, rows in _writes(changes):
                if rows:
                    await (through.copy(what, rows) if isinstance(what, Copy) else through.write(what, rows))
        except asyncpg.UniqueViolationError as error:
            if constraint(error) == "reservation_pkey":
                raise WasKnown(f"a reservation that was taken for new is stored: {error}") from error
            raise


def _writes(changes: StockChanges) -> Iterator[tuple[Statement | Copy, Sequence[tuple[Any, ...]]]]:
    """In the order in which they are to be written."""
    yield sql.NEW_RECORDS, changes.new_records
    yield sql.UPDATE_RECORDS, [(*_figures(row), changes.now) for row in changes.changed_records]
    yield sql.REDATE_RECORDS, [(*row[:3], row.expires_on, row.received_at, row.expired) for row in changes.redated_records]
    yield sql.FORGET_RESERVATIONS, changes.forgotten_reservations
    yield sql.NEW_RESERVATIONS, changes.new_reservations
    yield sql.UPDATE_RESERVATIONS, changes.changed_reservations
    yield sql.NEW_MOVEMENTS, changes.movements
    yield sql.SAVE_QUEUES, changes.queues
    yield sql.SAVE_BATONS, changes.batons
    yield sql.DELETE_BATONS, [(*key, *whose) for key, whose in changes.returned_batons]
    if changes.telling is not None:
        yield sql.SAVE_TOLD, [(changes.partition, *_telling_columns(changes.telling), *_round_columns(changes.levels_round))]


def _telling(row: asyncpg.Record) -> Telling:
    """Code that knows no sweeps raises `told_at` and leaves the rest as it was: it has told everything since."""
    told_at, began_at = row["told_at"], row["sweep_began_at"]
    announced_at = max(told_at, row["announced_at"] or told_at)
    if began_at is None or began_at <= told_at:
        return Telling(told_at, announced_at)
    return Telling(told_at, announced_at, began_at, (row["sweep_merchant"], row["sweep_sku"]))


def _telling_columns(telling: Telling) -> tuple[Any, ...]:
    return (telling.told_at, telling.announced_at, telling.began_at, *(telling.after or (None, None)))


def _round(row: asyncpg.Record) -> LevelsRound | None:
    """Rows that were written before there were rounds have none: the next one begins at once."""
    if row["round_due_at"] is None:
        return LevelsRound(row["told_at"], row["told_at"], None)
    after = None if row["round_merchant"] is None else (row["round_merchant"], row["round_sku"])
    return LevelsRound(row["round_due_at"], row["round_began_at"], after)


def _round_columns(levels_round: LevelsRound | None) -> tuple[Any, ...]:
    assert levels_round is not None, "levels that are told belong to a round"
    return (levels_round.due_at, levels_round.began_at, *(levels_round.after or (None, None)))


def _reservation(row: asyncpg.Record) -> ReservationRow:
    values = ReservationRow(*row)
    return values._replace(
        warehouses=tuple(values.warehouses),
        piece_records=tuple(values.piece_records),
        piece_units=tuple(values.piece_units),
        piece_flags=None if values.piece_flags is None else tuple(values.piece_flags),
    )
