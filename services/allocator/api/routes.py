"""Read-only HTTP over the ledger: records, who holds them, their movements, who waits, and why. The merchant comes from the API key."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query
from pydantic import TypeAdapter

from services.allocator.api import queries
from shared.http import Caller, Page, Platform, Problem, Serving, create_app, health, problems, router
from shared.schemas.events import Shortage
from shared.schemas.values import DemandKind, Identifier, Sku, demand_id
from shared.settings import Settings

routes = router()

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="the stock record's number within its SKU")]
_SHORTAGE: TypeAdapter[Shortage | None] = TypeAdapter(Shortage | None)
SkuPath = Annotated[Sku, Path(description="case sensitive")]


@routes.get("/records", summary="Stock records")
async def list_records(
    caller: Caller,
    platform: Serving,
    page: Page,
    sku: Annotated[Sku | None, Query()] = None,
    warehouse: Annotated[str | None, Query(max_length=64)] = None,
    bin: Annotated[str | None, Query(max_length=64)] = None,  # noqa: A002 - the language's word
    lot: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """On hand, held, allocated and available of each. Available may be negative while a record is overallocated; totals never net it."""
    filters = {"sku": sku, "warehouse": warehouse, "bin": bin, "lot": lot}
    scope = f"{caller.merchant}/records/{filters}"
    after = page.after(scope)
    async with platform.reading() as connection:
        found = await queries.records(connection, caller.merchant, filters, (after[0], after[1]) if after else None, page.limit + 1)
    last = found[page.limit - 1] if len(found) > page.limit else None
    return page.reply(scope, found[: page.limit], [last["sku"], last["record"]] if last else None)


@routes.get("/records/{sku}/{record}", summary="One stock record", responses=problems(404))
async def get_record(caller: Caller, platform: Serving, sku: SkuPath, record: Number) -> dict[str, Any]:
    """The record as the ledger has it now."""
    async with platform.reading() as connection:
        found = await queries.record(connection, caller.merchant, sku, record)
    return found or _refuse(sku, record)


@routes.get("/records/{sku}/{record}/holders", summary="Who holds a stock record", responses=problems(404))
async def list_holders(caller: Caller, platform: Serving, page: Page, sku: SkuPath, record: Number) -> dict[str, Any]:
    """Only reservations in effect; their sum is the record's allocated quantity, always. `kind` and `number` name what holds it; `type` is
    the kind of lock: `allocated` is the only one as yet."""
    scope = f"{caller.merchant}/holders/{sku}/{record}"
    after = page.after(scope)
    async with platform.reading() as connection:
        header = await queries.record(connection, caller.merchant, sku, record) or _refuse(sku, record)
        place = (datetime.fromisoformat(after[0]), after[1]) if after else None
        found = await queries.holders(connection, caller.merchant, sku, record, place, page.limit + 1)
    last = found[page.limit - 1] if len(found) > page.limit else None
    reply = page.reply(scope, found[: page.limit], [last["created_at"].isoformat(), last["demand"]] if last else None)
    return {"record": header} | reply


@routes.get("/records/{sku}/{record}/movements", summary="Movements of a stock record", responses=problems(404))
async def list_movements(caller: Caller, platform: Serving, page: Page, sku: SkuPath, record: Number) -> dict[str, Any]:
    """Newest first: what changed on hand, by how much, why, and by which command; and what reservations gave back there, with the demand
    as `cause` (`kind` release: nothing changes on hand, `released_units` are free again)."""
    scope = f"{caller.merchant}/movements/{sku}/{record}"
    after = page.after(scope)
    async with platform.reading() as connection:
        header = await queries.record(connection, caller.merchant, sku, record) or _refuse(sku, record)
        found = await queries.movements(connection, caller.merchant, sku, record, after[0] if after else None, page.limit + 1)
    last = found[page.limit - 1] if len(found) > page.limit else None
    return {"record": header} | page.reply(scope, found[: page.limit], [last["record_version"]] if last else None)


@routes.get("/queues/{sku}", summary="Who waits for a SKU")
async def list_queue(caller: Caller, platform: Serving, page: Page, sku: SkuPath) -> dict[str, Any]:
    """In the order in which they are served: priority, demand time, demand id."""
    scope = f"{caller.merchant}/queue/{sku}"
    after = page.after(scope)
    async with platform.reading() as connection:
        found = await queries.queue(connection, caller.merchant, sku, after[0] if after else 0, page.limit + 1)
    more = len(found) > page.limit
    return page.reply(scope, found[: page.limit], [found[page.limit - 1]["rank"]] if more else None)


@routes.get("/explanations/{sku}/{kind}/{number}", summary="Why a demand lacks units of a SKU", responses=problems(404))
async def explain(
    caller: Caller, platform: Serving, page: Page, sku: SkuPath, kind: DemandKind, number: Annotated[Identifier, Path()]
) -> dict[str, Any]:
    """What it has and lacks, and its rank in the queue, now; `shortage`, as of its own `ledger_version`: sums by reason and the smallest
    set of actions that would help. `items`: everybody who holds units of the SKU, the largest first."""
    demand = demand_id(kind, caller.merchant, number)
    scope = f"{caller.merchant}/explanations/{sku}/{demand}"
    after = page.after(scope)
    async with platform.reading() as connection:
        found = await queries.standing(connection, caller.merchant, sku, demand)
        if found is None:
            raise Problem(404, "not_asked_for", f"{demand} never asked for {sku}", remedy="check the number and the SKU", field="number")
        shortage = await queries.shortage(connection, demand, sku, found["alternative"])
        holders = await queries.largest(connection, caller.merchant, sku, (after[0], after[1], after[2]) if after else None, page.limit + 1)
    last = holders[page.limit - 1] if len(holders) > page.limit else None
    reply = page.reply(scope, holders[: page.limit], [last["units"], last["demand"], last["alternative"]] if last else None)
    return {"standing": found, "shortage": _SHORTAGE.dump_python(shortage, mode="json", exclude_none=True)} | reply


def _refuse(sku: str, record: int) -> Any:
    raise Problem(
        404, "no_such_record", f"{sku} has no stock record {record}", remedy="GET /records?sku=… lists those there are", field="record"
    )


def read_only_api(settings: Settings, health_routes: APIRouter = health.routes) -> FastAPI:
    """The application; its lifespan opens the pool. `health_routes`: of the process that it is part of."""
    platform = Platform.open(settings, "allocator", read_only=True)
    description = "Read-only views of the stock ledger."
    return create_app(platform, routes, title="Earmark allocator", description=description, health_routes=health_routes)
