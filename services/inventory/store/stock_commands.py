"""Stock commands and what came of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, DateTime, RowMapping, Text, bindparam, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.core.folding import Answer
from services.inventory.store.tables import STOCK_COMMAND

Row = RowMapping
_TEXTS = ARRAY(Text)


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command as it is stored. `content` is what was asked, without the time: a repeat is compared with it."""

    command_id: str
    sku: str
    kind: str
    content: dict[str, Any]


_ADD = text("""
    INSERT INTO inventory.stock_command (merchant, command_id, sku, kind, content, issued_at)
    SELECT :merchant, command_id, sku, kind, content::jsonb, :now
    FROM unnest(:ids, :skus, :kinds, :contents) AS new(command_id, sku, kind, content)
    ON CONFLICT (merchant, command_id) DO NOTHING RETURNING *
""").bindparams(*(bindparam(name, type_=_TEXTS) for name in ("ids", "skus", "kinds", "contents")))


async def add(connection: AsyncConnection, merchant: str, commands: Sequence[NewCommand], now: datetime) -> dict[str, Row]:
    """Store the commands; returns the rows of those that are new, by id. The others exist already."""
    columns = {
        "ids": [command.command_id for command in commands],
        "skus": [command.sku for command in commands],
        "kinds": [command.kind for command in commands],
        "contents": [json.dumps(command.content) for command in commands],
    }
    stored = (await connection.execute(_ADD, columns | {"merchant": merchant, "now": now})).mappings()
    return {row["command_id"]: row for row in stored}


_SOME = text("""
    SELECT stock_command.* FROM unnest(:ids) WITH ORDINALITY AS wanted(command_id, place)
    JOIN inventory.stock_command USING (command_id) WHERE merchant = :merchant ORDER BY place
""").bindparams(bindparam("ids", type_=_TEXTS))


async def some(connection: AsyncConnection, merchant: str, command_ids: Sequence[str]) -> list[Row]:
    """The commands with these ids that exist, in the order of the ids."""
    return list((await connection.execute(_SOME, {"ids": list(command_ids), "merchant": merchant})).mappings())


async def pending(connection: AsyncConnection, merchant: str, command_ids: Sequence[str]) -> int:
    """How many of them have no answer yet."""
    query = text("""
        SELECT count(*) FROM inventory.stock_command WHERE merchant = :merchant AND command_id = ANY(:ids) AND status = 'pending'
    """).bindparams(bindparam("ids", type_=_TEXTS))
    return int(await connection.scalar(query, {"ids": list(command_ids), "merchant": merchant}) or 0)


async def page(
    connection: AsyncConnection, merchant: str, after: tuple[datetime, str] | None, limit: int, sku: str | None, status: str | None
) -> list[Row]:
    """The merchant's commands, newest first."""
    command = STOCK_COMMAND.c
    query = (
        select(STOCK_COMMAND).where(command.merchant == merchant).order_by(command.issued_at.desc(), command.command_id.desc()).limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(command.issued_at, command.command_id) < after)
    if sku is not None:
        query = query.where(command.sku == sku)
    if status is not None:
        query = query.where(command.status == status)
    return list((await connection.execute(query)).mappings())


async def answer(connection: AsyncConnection, answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """Write the answers to commands that have none; returns (merchant, command id) of those. A repeat changes nothing."""
    sql = text("""
        UPDATE inventory.stock_command AS command SET status = new.status, answer = new.answer::jsonb, answered_at = new.answered_at
        FROM unnest(:merchants, :ids, :statuses, :contents, :times) AS new(merchant, command_id, status, answer, answered_at)
        WHERE command.merchant = new.merchant AND command.command_id = new.command_id AND command.status = 'pending'
        RETURNING command.merchant, command.command_id
    """).bindparams(
        *(bindparam(name, type_=_TEXTS) for name in ("merchants", "ids", "statuses", "contents")),
        bindparam("times", type_=ARRAY(DateTime(timezone=True))),
    )
    ordered = sorted(answers, key=lambda one: (one.merchant, one.command_id))
    columns = {
        "merchants": [one.merchant for one in ordered],
        "ids": [one.command_id for one in ordered],
        "statuses": [one.status for one in ordered],
        "contents": [json.dumps(one.content) for one in ordered],
        "times": [one.answered_at for one in ordered],
    }
    return [(row.merchant, row.command_id) for row in await connection.execute(sql, columns)]
