"""Merchants, warehouses and bins."""

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from services.inventory.api.master import create, edit, listed, one_of
from services.inventory.api.words import (
    BinChange,
    BinView,
    MerchantChange,
    MerchantView,
    NewBin,
    NewWarehouse,
    PageOf,
    WarehouseChange,
    WarehouseView,
)
from services.inventory.store import master
from services.inventory.store.tables import BIN, MERCHANT, WAREHOUSE
from shared.http import Caller, Command, Page, Platform, Reply, Serving, Unit, problems, router
from shared.http.problems import not_found

routes = router(tags=["warehouses"])
WarehouseId = Annotated[str, Path(max_length=64, examples=["LEEDS"])]
BinId = Annotated[str, Path(max_length=64, examples=["A-01-3"])]
Search = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$", description="in the key and the name")]


@routes.get("/merchants", response_model=PageOf[MerchantView], summary="The merchants that the API key may see: its own")
async def list_merchants(caller: Caller, platform: Serving) -> dict[str, Any]:
    """With one merchant only, screens hide the field (R14)."""
    return {"items": [await _merchant(platform, caller.merchant)], "next_cursor": None}


@routes.get("/merchants/{merchant}", response_model=MerchantView, responses=problems(404), summary="A merchant")
async def get_merchant(merchant: str, caller: Caller, platform: Serving) -> dict[str, Any]:
    """Only the one of the API key."""
    _own(merchant, caller.merchant)
    return await _merchant(platform, merchant)


@routes.patch("/merchants/{merchant}", response_model=MerchantView, responses=problems(404, 409), summary="Rename a merchant")
async def edit_merchant(merchant: str, body: MerchantChange, command: Command) -> Response:
    """A merchant comes to be with its first API key; here it gets the name that people read."""

    async def work(unit: Unit) -> Reply:
        _own(merchant, unit.merchant)
        row = await master.name_merchant(unit.connection, merchant, body.name, unit.now)
        return Reply(200, {"merchant": merchant, "name": row["name"], "version": row["version"]})

    return (await command.run(work)).response()


@routes.post("/warehouses", status_code=201, response_model=WarehouseView, responses=problems(409), summary="Create a warehouse")
async def create_warehouse(body: NewWarehouse, command: Command) -> Response:
    """Its bins are created next."""

    async def work(unit: Unit) -> Reply:
        within = {"merchant": unit.merchant}
        await create(unit, WAREHOUSE, "warehouse", [body.model_dump()], within)
        return Reply(201, body.model_dump() | _stamps(unit), location=f"/warehouses/{body.warehouse}")

    return (await command.run(work)).response()


@routes.get("/warehouses", response_model=PageOf[WarehouseView], summary="List warehouses")
async def list_warehouses(caller: Caller, platform: Serving, page: Page, search: Search = None) -> dict[str, Any]:
    """Sorted by name of the warehouse."""
    return await listed(platform, WAREHOUSE, {"merchant": caller.merchant}, "warehouse", page, search)


@routes.get("/warehouses/{warehouse}", response_model=WarehouseView, responses=problems(404), summary="A warehouse")
async def get_warehouse(warehouse: WarehouseId, caller: Caller, platform: Serving) -> dict[str, Any]:
    """One warehouse."""
    return await one_of(platform, WAREHOUSE, {"merchant": caller.merchant, "warehouse": warehouse}, "warehouse")


@routes.patch("/warehouses/{warehouse}", response_model=WarehouseView, responses=problems(404, 409), summary="Edit a warehouse")
async def edit_warehouse(warehouse: WarehouseId, body: WarehouseChange, command: Command) -> Response:
    """What is left out stays."""
    return await edit(command, WAREHOUSE, {"merchant": command.caller.merchant, "warehouse": warehouse}, body, "warehouse")


@routes.post("/warehouses/{warehouse}/bins", status_code=201, response_model=BinView, responses=problems(404, 409), summary="Create a bin")
async def create_bin(warehouse: WarehouseId, body: NewBin, command: Command) -> Response:
    """A bin of the warehouse."""

    async def work(unit: Unit) -> Reply:
        within = {"merchant": unit.merchant, "warehouse": warehouse}
        if await master.one(unit.connection, WAREHOUSE, within) is None:
            raise not_found("warehouse", "warehouse")
        await create(unit, BIN, "bin", [body.model_dump()], within)
        document = {"warehouse": warehouse} | body.model_dump() | _stamps(unit)
        return Reply(201, document, location=f"/warehouses/{warehouse}/bins/{body.bin}")

    return (await command.run(work)).response()


@routes.get("/warehouses/{warehouse}/bins", response_model=PageOf[BinView], responses=problems(404), summary="List bins")
async def list_bins(warehouse: WarehouseId, caller: Caller, platform: Serving, page: Page, search: Search = None) -> dict[str, Any]:
    """Sorted by name of the bin."""
    within = {"merchant": caller.merchant, "warehouse": warehouse}
    await one_of(platform, WAREHOUSE, within, "warehouse")
    return await listed(platform, BIN, within, "bin", page, search)


@routes.get("/warehouses/{warehouse}/bins/{bin}", response_model=BinView, responses=problems(404), summary="A bin")
async def get_bin(warehouse: WarehouseId, bin: BinId, caller: Caller, platform: Serving) -> dict[str, Any]:  # noqa: A002  (the domain's word)
    """One bin."""
    return await one_of(platform, BIN, {"merchant": caller.merchant, "warehouse": warehouse, "bin": bin}, "bin")


@routes.patch("/warehouses/{warehouse}/bins/{bin}", response_model=BinView, responses=problems(404, 409), summary="Edit a bin")
async def edit_bin(warehouse: WarehouseId, bin: BinId, body: BinChange, command: Command) -> Response:  # noqa: A002  (the domain's word)
    """What is left out stays."""
    key = {"merchant": command.caller.merchant, "warehouse": warehouse, "bin": bin}
    return await edit(command, BIN, key, body, "bin")


async def _merchant(platform: Platform, merchant: str) -> dict[str, Any]:
    async with platform.reading() as connection:
        row = await master.one(connection, MERCHANT, {"merchant": merchant})
    return {"merchant": merchant, "name": row["name"] if row else merchant, "version": row["version"] if row else 0}


def _own(merchant: str, callers: str) -> None:
    if merchant != callers:
        raise not_found("merchant", "merchant")


def _stamps(unit: Unit) -> dict[str, Any]:
    at = unit.now
    return {"version": 1, "created_at": at, "changed_at": at}
