"""Products."""

from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from services.inventory.api.master import create, edit, listed, one_of
from services.inventory.api.warehouses import Search
from services.inventory.api.words import NewProduct, NewProducts, PageOf, ProductChange, ProductView
from services.inventory.store.tables import PRODUCT
from shared.http import Caller, Command, Page, Reply, Serving, Unit, problems, router
from shared.settings import Settings

routes = router(tags=["products"])
SkuId = Annotated[str, Path(max_length=64, examples=["85123A"])]


@routes.post("/products", status_code=201, response_model=ProductView, responses=problems(409), summary="Create a product")
async def create_product(body: NewProduct, command: Command) -> Response:
    """Stock of it can be received afterwards."""

    async def work(unit: Unit) -> Reply:
        await create(unit, PRODUCT, "sku", [body.model_dump()], {"merchant": unit.merchant})
        return Reply(201, _view(body, unit), location=f"/products/{body.sku}")

    return (await command.run(work)).response()


@routes.get("/products", response_model=PageOf[ProductView], summary="List products")
async def list_products(caller: Caller, platform: Serving, page: Page, search: Search = None) -> dict[str, Any]:
    """Sorted by SKU."""
    return await listed(platform, PRODUCT, {"merchant": caller.merchant}, "sku", page, search)


@routes.get("/products/{sku}", response_model=ProductView, responses=problems(404), summary="A product")
async def get_product(sku: SkuId, caller: Caller, platform: Serving) -> dict[str, Any]:
    """One product."""
    return await one_of(platform, PRODUCT, {"merchant": caller.merchant, "sku": sku}, "product")


@routes.patch("/products/{sku}", response_model=ProductView, responses=problems(404, 409), summary="Edit a product")
async def edit_product(sku: SkuId, body: ProductChange, command: Command) -> Response:
    """What is left out stays."""
    return await edit(command, PRODUCT, {"merchant": command.caller.merchant, "sku": sku}, body, "product")


def bulk_routes(settings: Settings) -> Any:
    """Routes that take many at once, and so larger bodies."""
    bulk = router(max_body_bytes=settings.max_bulk_body_bytes, tags=["products"])

    @bulk.post("/products/bulk", status_code=201, responses=problems(409), summary="Create many products")
    async def create_products(body: NewProducts, command: Command) -> Response:
        """All are created, or none: the problem document names the first that can not be."""

        async def work(unit: Unit) -> Reply:
            rows = [product.model_dump() for product in body.products]
            await create(unit, PRODUCT, "sku", rows, {"merchant": unit.merchant}, "products")
            return Reply(201, {"created": len(rows)}, location="/products")

        return (await command.run(work)).response()

    return bulk


def _view(product: NewProduct, unit: Unit) -> dict[str, Any]:
    at = unit.now
    return product.model_dump() | {"version": 1, "created_at": at, "changed_at": at}
