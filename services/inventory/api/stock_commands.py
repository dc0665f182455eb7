"""Receipts and adjustments: sent to the allocator, answered by it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter
from sqlalchemy import RowMapping
from starlette.responses import Response

from services.inventory.api.words import CommandsView, CommandView, NewAdjustment, NewAdjustments, NewReceipt, NewReceipts, PageOf
from services.inventory.core.deciding import command as decided
from services.inventory.core.deciding import refusals
from services.inventory.core.model import Document, Receipt, Refusal
from services.inventory.store import master, stock_commands
from services.inventory.store.stock_commands import NewCommand
from shared.http import Caller, Command, Outgoing, Page, Prefer, Problem, Reply, Serving, Unit, problems, router
from shared.http.commands import Runner
from shared.http.prefer import Preference
from shared.http.problems import not_found
from shared.schemas.topics import INVENTORY
from shared.schemas.values import Sku, sku_key
from shared.settings import Settings

routes = router(tags=["stock commands"])
_WAITED: dict[int | str, dict[str, Any]] = {200: {"model": CommandView, "description": "the answer, with `Prefer: wait=N`"}}
_WAITED_MANY: dict[int | str, dict[str, Any]] = {200: {"model": CommandsView, "description": "the answers, with `Prefer: wait=N`"}}
_CONTENT: TypeAdapter[Document] = TypeAdapter(Document)


@routes.post("/receipts", status_code=202, response_model=CommandView, responses=problems(409) | _WAITED, summary="Receive stock")
async def receive(body: NewReceipt, command: Command, prefer: Prefer) -> Response:
    """Puts units on a stock record, which is made if there is none. Waiting orders are served at once."""
    return await _one(command, prefer, body.document(uuid4().hex))


@routes.post("/adjustments", status_code=202, response_model=CommandView, responses=problems(409) | _WAITED, summary="Adjust stock")
async def adjust(body: NewAdjustment, command: Command, prefer: Prefer) -> Response:
    """Changes what a stock record has on hand, for one of eight reasons. Orders that lose their stock become overallocated."""
    return await _one(command, prefer, body.document(uuid4().hex))


@routes.get("/commands", response_model=PageOf[CommandView], summary="List stock commands")
async def list_commands(
    caller: Caller,
    platform: Serving,
    page: Page,
    sku: Annotated[Sku | None, Query()] = None,
    status: Annotated[Literal["pending", "posted", "refused"] | None, Query()] = None,
) -> dict[str, Any]:
    """Newest first."""
    scope = f"commands/{caller.merchant}/{sku or ''}/{status or ''}"
    after = page.after(scope)
    place = (datetime.fromisoformat(after[0]), str(after[1])) if after else None
    async with platform.reading() as connection:
        rows = await stock_commands.page(connection, caller.merchant, place, page.limit + 1, sku, status)
    shown = rows[: page.limit]
    last = [shown[-1]["issued_at"].isoformat(), shown[-1]["command_id"]] if len(rows) > page.limit else None
    return page.reply(scope, [_view(row) for row in shown], last)


@routes.get("/commands/{command_id:path}", response_model=CommandView, responses=problems(404), summary="A stock command and its answer")
async def get_command(command_id: Annotated[str, Path(max_length=200)], caller: Caller, platform: Serving) -> dict[str, Any]:
    """`pending` until the allocator has answered."""
    async with platform.reading() as connection:
        found = await stock_commands.some(connection, caller.merchant, [command_id])
    if not found:
        raise not_found("stock command", "command_id")
    return _view(found[0])


def bulk_routes(settings: Settings) -> APIRouter:
    """Routes that take many at once, and so larger bodies."""
    bulk = router(max_body_bytes=settings.max_bulk_body_bytes, tags=["stock commands"])

    @bulk.post("/receipts/bulk", status_code=202, response_model=CommandsView, responses=problems(409) | _WAITED_MANY)
    async def receive_many(body: NewReceipts, command: Command, prefer: Prefer) -> Response:
        """Receive stock, many at once. All are sent to the allocator or none; each is answered on its own."""
        return await _many(command, prefer, "receipts", [receipt.document(uuid4().hex) for receipt in body.receipts])

    @bulk.post("/adjustments/bulk", status_code=202, response_model=CommandsView, responses=problems(409) | _WAITED_MANY)
    async def adjust_many(body: NewAdjustments, command: Command, prefer: Prefer) -> Response:
        """Adjust stock, many at once. All are sent to the allocator or none; each is answered on its own."""
        return await _many(command, prefer, "adjustments", [adjustment.document(uuid4().hex) for adjustment in body.adjustments])

    return bulk


async def _one(command: Runner, prefer: Preference, document: Document) -> Response:
    async def work(unit: Unit) -> Reply:
        return _reply((await _send(unit, [document], ""))[0])

    reply = await command.run(work)
    command_id: str = reply.body["command_id"]

    async def probe() -> Reply | None:
        async with command.platform.reading() as connection:
            row = (await stock_commands.some(connection, command.caller.merchant, [command_id]))[0]
        return _reply(row) if row["status"] != "pending" else None

    return (await command.wait(reply, prefer, subject(command.caller.merchant, command_id), probe)).response()


async def _many(command: Runner, prefer: Preference, name: str, documents: Sequence[Document]) -> Response:
    async def work(unit: Unit) -> Reply:
        return _reply_to_many(await _send(unit, documents, name))

    reply = await command.run(work)
    ids = [one["command_id"] for one in reply.body["commands"]]
    merchant = command.caller.merchant

    async def probe() -> Reply | None:
        async with command.platform.reading() as connection:
            if await stock_commands.pending(connection, merchant, ids):
                return None
            return _reply_to_many(await stock_commands.some(connection, merchant, ids))

    return (await command.wait(reply, prefer, [subject(merchant, one) for one in ids], probe)).response()


async def _send(unit: Unit, documents: Sequence[Document], name: str) -> list[RowMapping]:
    """Check, store and send the documents that are new; the commands as they are stored, in order. Raises Problem."""
    found = refusals(documents, await master.known(unit.connection, unit.merchant, documents))
    if found:
        raise _refused(found, name)
    commands = [_stored(document) for document in documents]
    fresh = await stock_commands.add(unit.connection, unit.merchant, commands, unit.now)
    repeated = await _repeated(unit, [command for command in commands if command.command_id not in fresh])
    sent = [decided(document, unit.merchant, unit.now) for document in documents if document.command_id in fresh]
    keys = [sku_key(unit.merchant, message.sku) for message in sent]
    await unit.emit(*(Outgoing(key, INVENTORY.name, key, message) for key, message in zip(keys, sent, strict=True)))
    return [(fresh | repeated)[command.command_id] for command in commands]


async def _repeated(unit: Unit, commands: Sequence[NewCommand]) -> dict[str, RowMapping]:
    """Commands whose id was used before: with the same content it is a repeat, with another it is refused."""
    asked = {command.command_id: command.content for command in commands}
    rows = await stock_commands.some(unit.connection, unit.merchant, list(asked)) if asked else []
    for row in rows:
        if row["content"] != asked[row["command_id"]]:
            detail = f"command id {row['command_id']} was used for something else"
            raise Problem(409, "other_content", detail, field="command_id", remedy="use a new command id, or none")
    return {row["command_id"]: row for row in rows}


def subject(merchant: str, command_id: str) -> str:
    """What waiters for the answer to a command listen for."""
    return f"{merchant}/{command_id}"


def _stored(document: Document) -> NewCommand:
    asked: dict[str, Any] = _CONTENT.dump_python(document, mode="json", exclude_none=True)
    content = asked.pop("place") | {name: value for name, value in asked.items() if name != "command_id"}
    return NewCommand(document.command_id, document.place.sku, "receive" if isinstance(document, Receipt) else "adjust", content)


def _view(row: RowMapping) -> dict[str, Any]:
    return {
        "command_id": row["command_id"],
        "kind": row["kind"],
        "sku": row["sku"],
        "status": row["status"],
        "content": row["content"],
        "answer": row["answer"],
        "issued_at": row["issued_at"],
        "answered_at": row["answered_at"],
        "url": f"/commands/{quote(row['command_id'])}",
    }


def _reply(row: RowMapping) -> Reply:
    view = _view(row)
    return Reply(202 if row["status"] == "pending" else 200, view, location=view["url"])


def _reply_to_many(rows: Sequence[RowMapping]) -> Reply:
    pending = sum(row["status"] == "pending" for row in rows)
    return Reply(202 if pending else 200, {"pending": pending, "commands": [_view(row) for row in rows]}, location="/commands")


def _refused(found: Sequence[Refusal], name: str) -> Problem:
    errors = [
        {"field": f"{name}.{one.index}.{one.field}" if name else one.field, "detail": one.detail, "remedy": one.remedy} for one in found
    ]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, found[0].code, errors[0]["detail"] + more, field=errors[0]["field"], remedy=found[0].remedy, errors=errors)
