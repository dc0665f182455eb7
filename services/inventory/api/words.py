"""The words of inventory's HTTP: what requests and answers are made of."""

from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.inventory.core.model import Adjustment, Document, Place, Receipt
from shared.http import Body
from shared.schemas.values import MAX_UNITS, AdjustmentReason, Bin, CommandId, Label, Lot, Merchant, Sku, Text, Units, Version, Warehouse

MAX_MANY = 5_000
"""What is sent so many at once fails fast: with the findings of the first that is wrong, and not with seven million, which took 7 GB."""
Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Country = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+([_+\-/][A-Za-z0-9_+\-]+)*$", max_length=64)]
ExpectedVersion = Annotated[Version | None, Field(description="refuse the change unless the present version is this one")]
Item = TypeVar("Item")


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


# ---------------------------------------------------------------- requests


class NewWarehouse(Body):
    """A place where stock lies. `time_zone` is what its document numbers count months in."""

    model_config = _example(warehouse="LEEDS", name="Leeds, main hall", country="GB", time_zone="Europe/London")
    warehouse: Warehouse
    name: Name = ""
    country: Country = ""
    time_zone: TimeZone = "UTC"


class WarehouseChange(Body):
    """What is left out stays."""

    model_config = _example(name="Leeds, both halls")
    name: Name | None = None
    country: Country | None = None
    time_zone: TimeZone | None = None
    version: ExpectedVersion = None


class NewBin(Body):
    """A place within a warehouse. Receiving and staging bins are used by inbound and outbound orders."""

    model_config = _example(bin="A-01-3", kind="storage", name="Aisle A, bay 1, level 3")
    bin: Bin
    kind: Literal["storage", "receiving", "staging"] = "storage"
    name: Name = ""


class BinChange(Body):
    """What is left out stays."""

    model_config = _example(kind="staging")
    kind: Literal["storage", "receiving", "staging"] | None = None
    name: Name | None = None
    version: ExpectedVersion = None


class NewProduct(Body):
    """A SKU. `serialized`: its stock is kept by label; `lot_tracked`: every receipt names its lot."""

    model_config = _example(sku="85123A", name="White hanging heart", category="decoration", barcode="5012345678900")
    sku: Sku
    name: Name = ""
    category: Name = ""
    barcode: Name = ""
    serialized: bool = False
    lot_tracked: bool = False


class NewProducts(Body):
    """All are created, or none."""

    model_config = _example(products=[{"sku": "85123A", "name": "White hanging heart"}, {"sku": "71053", "name": "White metal lantern"}])
    products: Annotated[tuple[NewProduct, ...], Field(min_length=1, max_length=MAX_MANY, fail_fast=True)]


class ProductChange(Body):
    """What is left out stays. How stock is kept (serialized, by lot) is settled when the product is created."""

    model_config = _example(name="White hanging heart T-light holder", category="lighting")
    name: Name | None = None
    category: Name | None = None
    barcode: Name | None = None
    version: ExpectedVersion = None


class MerchantChange(Body):
    """The name that people read."""

    model_config = _example(name="Acme Trading Ltd.")
    name: Name


class NewReceipt(Body):
    """Units that arrived in a bin. Without `command_id` one is made."""

    model_config = _example(sku="85123A", warehouse="LEEDS", bin="A-01-3", units=48, lot="L2611", expires_on="2027-06-30", cause="PO-1042")
    command_id: CommandId | None = None
    sku: Sku
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    expires_on: date | None = None
    units: Units
    cause: Text = ""

    def document(self, command_id: str) -> Document:
        """As the core reads it."""
        place = Place(sku=self.sku, warehouse=self.warehouse, bin=self.bin, lot=self.lot, label=self.label)
        return Receipt(
            command_id=self.command_id or command_id, place=place, units=self.units, expires_on=self.expires_on, cause=self.cause
        )


class NewReceipts(Body):
    """All are sent to the allocator, or none."""

    model_config = _example(receipts=[{"sku": "85123A", "warehouse": "LEEDS", "bin": "A-01-3", "units": 48}])
    receipts: Annotated[tuple[NewReceipt, ...], Field(min_length=1, max_length=MAX_MANY, fail_fast=True)]


class NewAdjustment(Body):
    """A correction of what a stock record has on hand. Immediate: there is no draft (003-24)."""

    model_config = _example(sku="85123A", warehouse="LEEDS", bin="A-01-3", change=-2, reason="DAMAGED", note="crushed in the aisle")
    command_id: CommandId | None = None
    sku: Sku
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    change: Annotated[int, Field(ge=-MAX_UNITS, le=MAX_UNITS, description="not zero")]
    reason: AdjustmentReason
    note: Text = ""

    def document(self, command_id: str) -> Document:
        """As the core reads it."""
        place = Place(sku=self.sku, warehouse=self.warehouse, bin=self.bin, lot=self.lot, label=self.label)
        return Adjustment(command_id=self.command_id or command_id, place=place, change=self.change, reason=self.reason, note=self.note)


class NewAdjustments(Body):
    """All are sent to the allocator, or none."""

    model_config = _example(adjustments=[{"sku": "85123A", "warehouse": "LEEDS", "bin": "A-01-3", "change": 5, "reason": "FOUND"}])
    adjustments: Annotated[tuple[NewAdjustment, ...], Field(min_length=1, max_length=MAX_MANY, fail_fast=True)]


# ---------------------------------------------------------------- answers


class _Kept(BaseModel):
    version: int
    created_at: datetime
    changed_at: datetime


class MerchantView(BaseModel):
    """A tenant: it scopes SKUs, stock, orders and API keys (R14)."""

    merchant: Merchant
    name: str
    version: int


class WarehouseView(_Kept):
    """A warehouse."""

    warehouse: Warehouse
    name: str
    country: str
    time_zone: str


class BinView(_Kept):
    """A bin."""

    warehouse: Warehouse
    bin: Bin
    kind: str
    name: str


class ProductView(_Kept):
    """A product."""

    sku: Sku
    name: str
    category: str
    barcode: str
    serialized: bool
    lot_tracked: bool


class CommandView(BaseModel):
    """A stock command. `pending` until the allocator has answered; `posted`: the record changed, see `answer`; `refused`: it did not,
    and never will under this id; `answer` says why and what helps."""

    command_id: CommandId
    kind: Literal["receive", "adjust"]
    sku: Sku
    status: Literal["pending", "posted", "refused"]
    content: dict[str, Any]
    answer: dict[str, Any] | None
    issued_at: datetime
    answered_at: datetime | None
    url: str


class CommandsView(BaseModel):
    """Many commands of one request, in its order."""

    pending: int
    commands: list[CommandView]


class UnitsView(BaseModel):
    """On hand; held (excluded from allocation); allocated (the sum of live reservations); available. May be below zero per record."""

    on_hand_units: int
    held_units: int
    allocated_units: int
    available_units: int


class StockLine(UnitsView):
    """A SKU in the stock inquiry, over all warehouses or the one that was asked for."""

    sku: Sku


class WarehouseStock(UnitsView):
    """A SKU in one warehouse."""

    warehouse: Warehouse


class StockView(BaseModel):
    """A SKU's levels at one version of its ledger; version 0: nothing has ever been received."""

    sku: Sku
    name: str
    ledger_version: int
    changed_at: datetime | None
    total: UnitsView
    warehouses: list[WarehouseStock]


class PageOf(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None
