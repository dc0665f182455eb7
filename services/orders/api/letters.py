"""Dead letters: what channels sent and was not taken. A key with the scope `operator` sees those of every merchant, and unreadable ones."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse, Response

from services.orders.api.parts import Beside
from services.orders.api.views import LetterPage, LetterView, letter_view
from services.orders.store.dead_letters import Place, find_letter, list_letters, record_of, settle
from shared.http import Caller, Command, Page, Problem, Reply, Serving, Unit, problems, router

OPERATOR = "operator"
routes = router(tags=["dead letters"])
Topic = Annotated[str, Path(max_length=200, examples=["earmark.order-intake"])]
Partition = Annotated[int, Path(ge=0, le=1_000_000)]
Offset = Annotated[int, Path(ge=0, le=2**62)]


@routes.get("/dead-letters", summary="Dead letters", response_model=LetterPage)
async def get_letters(
    caller: Caller,
    platform: Serving,
    page: Page,
    status: Annotated[Literal["waiting", "replayed", "discarded"], Query(description="which")] = "waiting",
) -> Any:
    """By topic, partition and offset."""
    merchant = _merchant(caller)
    scope = f"{merchant}/dead-letters/{status}"
    async with platform.reading() as connection:
        rows = await list_letters(connection, merchant, status, page.after(scope), page.limit + 1)
    last = rows[page.limit - 1] if len(rows) > page.limit else None
    values = [last.topic, last.partition, last.record_offset] if last is not None else None
    return JSONResponse(page.reply(scope, [letter_view(row).plain() for row in rows[: page.limit]], values))


@routes.get("/dead-letters/{topic}/{partition}/{offset}", summary="One dead letter", response_model=LetterView, responses=problems(404))
async def get_letter(topic: Topic, partition: Partition, offset: Offset, caller: Caller, platform: Serving) -> Any:
    """The record, whole, and why it was not taken."""
    async with platform.reading() as connection:
        return JSONResponse(letter_view(await _found(connection, caller, Place(topic, partition, offset), lock=False)).plain())


@routes.post(
    "/dead-letters/{topic}/{partition}/{offset}/replay",
    summary="Take it once more",
    response_model=LetterView,
    responses=problems(404, 409),
)
async def replay(topic: Topic, partition: Partition, offset: Offset, command: Command, beside: Beside) -> Response:
    """After its cause has been put right. Where it is refused again nothing has happened, and the answer says why."""
    place = Place(topic, partition, offset)

    async def take(unit: Unit) -> Reply:
        row = await _waiting(unit, place)
        feed = beside.feeds.of(topic)
        if feed is None:
            raise Problem(409, "not_replayable", f"nothing here reads {topic}", field="topic", remedy="discard it")
        condemned = await feed.replay(unit.connection, record_of(row), unit.now)
        if condemned is not None:
            remedy = "put the cause right, or discard the record and send a corrected one"
            raise Problem(409, "refused_again", condemned.letter.reason, field=condemned.letter.field or None, remedy=remedy)
        return await _settled(unit, place, "replayed")

    return (await command.run(take)).response()


@routes.post(
    "/dead-letters/{topic}/{partition}/{offset}/discard", summary="Give it up", response_model=LetterView, responses=problems(404, 409)
)
async def discard(topic: Topic, partition: Partition, offset: Offset, command: Command) -> Response:
    """It is kept, and no longer waits."""
    place = Place(topic, partition, offset)

    async def give_up(unit: Unit) -> Reply:
        await _waiting(unit, place)
        return await _settled(unit, place, "discarded")

    return (await command.run(give_up)).response()


async def _waiting(unit: Unit, place: Place) -> Any:
    row = await _found(unit.connection, unit.caller, place, lock=True)
    if row.status != "waiting":
        raise Problem(409, "settled", f"it was {row.status} already", field="status", remedy="nothing needs to be done")
    return row


async def _settled(unit: Unit, place: Place, status: str) -> Reply:
    await settle(unit.connection, place, status, f"key {unit.caller.key_id}")
    return Reply(200, letter_view(await _found(unit.connection, unit.caller, place, lock=False)).plain())


async def _found(connection: AsyncConnection, caller: Caller, place: Place, *, lock: bool) -> Any:
    row = await find_letter(connection, _merchant(caller), place, lock=lock)
    if row is None:
        detail = f"there is no dead letter at {place.topic}/{place.partition}/{place.offset}"
        raise Problem(404, "not_found", detail, field="offset", remedy="list the dead letters")
    return row


def _merchant(caller: Caller) -> str | None:
    return None if OPERATOR in caller.scopes else caller.merchant
