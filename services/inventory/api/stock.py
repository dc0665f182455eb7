"""The stock inquiry (000-37): levels as projected; stock records, holders and movements as the allocator has them now."""

from typing import Annotated, Any

from fastapi import Path, Query

from services.inventory.api.master import one_of
from services.inventory.api.products import SkuId
from services.inventory.api.warehouses import Search
from services.inventory.api.words import PageOf, StockLine, StockView
from services.inventory.store import stock_levels
from services.inventory.store.tables import PRODUCT
from shared.http import Caller, Page, PassedOn, Serving, problems, router
from shared.schemas.values import Bin, Lot, Sku, Warehouse

routes = router(tags=["stock"])
RecordNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="numbers the stock record within its SKU", examples=[1])]
_UNITS = ("on_hand_units", "held_units", "allocated_units", "available_units")


@routes.get("/stock", response_model=PageOf[StockLine], summary="Stock inquiry by SKU")
async def list_stock(
    caller: Caller, platform: Serving, page: Page, warehouse: Annotated[Warehouse | None, Query()] = None, search: Search = None
) -> dict[str, Any]:
    """Sums over all warehouses, or of one. Follows the allocator's announcements, usually within a second."""
    scope = f"stock/{caller.merchant}/{warehouse or ''}/{search or ''}"
    after = page.after(scope)
    async with platform.reading() as connection:
        rows = await stock_levels.page(connection, caller.merchant, after[0] if after else None, page.limit + 1, warehouse, search)
    shown = rows[: page.limit]
    return page.reply(scope, [dict(row) for row in shown], [shown[-1]["sku"]] if len(rows) > page.limit else None)


@routes.get("/stock/{sku}", response_model=StockView, responses=problems(404), summary="Levels of a SKU by warehouse")
async def get_stock(sku: SkuId, caller: Caller, platform: Serving) -> dict[str, Any]:
    """At one version of the SKU's ledger."""
    product = await one_of(platform, PRODUCT, {"merchant": caller.merchant, "sku": sku}, "product")
    async with platform.reading() as connection:
        ledger, levels = await stock_levels.of_sku(connection, caller.merchant, sku)
    return {
        "sku": sku,
        "name": product["name"],
        "ledger_version": ledger["ledger_version"] if ledger else 0,
        "changed_at": ledger["changed_at"] if ledger else None,
        "total": {name: sum(level[name] for level in levels) for name in _UNITS},
        "warehouses": [{"warehouse": level["warehouse"]} | {name: level[name] for name in _UNITS} for level in levels],
    }


@routes.get("/records", summary="Stock records")
async def list_records(
    ledger: PassedOn,
    page: Page,
    sku: Annotated[Sku | None, Query()] = None,
    warehouse: Annotated[Warehouse | None, Query()] = None,
    bin: Annotated[Bin | None, Query()] = None,  # noqa: A002  (the domain's word)
    lot: Annotated[Lot | None, Query()] = None,
) -> Any:
    """The inventory list: warehouse, bin, lot, label; on hand, held, allocated, available. Different lots of a product are different
    records (000-07)."""
    return await ledger.get("records", sku=sku, warehouse=warehouse, bin=bin, lot=lot, limit=page.limit, cursor=page.cursor)


@routes.get("/stock/{sku}/records", responses=problems(404), summary="Stock records of a SKU")
async def list_records_of_sku(sku: SkuId, caller: Caller, platform: Serving, ledger: PassedOn, page: Page) -> Any:
    """As `/records`, of one product."""
    await one_of(platform, PRODUCT, {"merchant": caller.merchant, "sku": sku}, "product")
    return await ledger.get("records", sku=sku, limit=page.limit, cursor=page.cursor)


@routes.get("/stock/{sku}/records/{record}/holders", responses=problems(404), summary="Who holds a stock record")
async def list_holders(sku: SkuId, record: RecordNumber, caller: Caller, platform: Serving, ledger: PassedOn, page: Page) -> Any:
    """The demands that hold units of it now, and how many; their sum is the record's allocated quantity (000-09)."""
    product = await one_of(platform, PRODUCT, {"merchant": caller.merchant, "sku": sku}, "product")
    found = await ledger.get("records", sku, str(record), "holders", limit=page.limit, cursor=page.cursor)
    return found | {"record": found["record"] | {"name": product["name"]}}


@routes.get("/stock/{sku}/records/{record}/movements", responses=problems(404), summary="Movements of a stock record")
async def list_movements(sku: SkuId, record: RecordNumber, caller: Caller, platform: Serving, ledger: PassedOn, page: Page) -> Any:
    """Increases and decreases, newest first (000-39)."""
    await one_of(platform, PRODUCT, {"merchant": caller.merchant, "sku": sku}, "product")
    return await ledger.get("records", sku, str(record), "movements", limit=page.limit, cursor=page.cursor)
