"""The words of the language: identifiers, quantities, closed sets.

Every bound is here once. Identifiers are ASCII so that they mean the same in Kafka keys, SQL and URLs; a SKU is case sensitive
(`85123a` and `85123A` are two products in real data).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

MAX_UNITS = 1_000_000_000
MAX_LINES = 1_000
MAX_WAREHOUSES = 16

STRICT = ConfigDict(strict=True, extra="forbid")
"""pydantic configuration of every message: no coercion (`true` is not 1, `5.0` is not 5), no unknown field."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Merchant = Identifier
Warehouse = Identifier
Bin = Identifier
Lot = Identifier
Label = Identifier
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 _.\-]{0,62}[A-Za-z0-9_.\-])?$")]
"""1 to 64 characters; single products of real catalogues hold spaces (`BANK CHARGES`), none at the ends."""
DemandId = Annotated[str, StringConstraints(pattern=r"^[a-z\-]{1,32}/[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
"""`kind/merchant/id`, for example `sales-order/acme/SO-2611-0042`."""
CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/\-]{0,199}$")]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Version = Annotated[int, Field(ge=1, le=2**62)]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
"""Lower is served first; 0 is the default."""
Time = AwareDatetime
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]


class DemandKind(StrEnum):
    """What wants stock."""

    SALES_ORDER = "sales-order"
    WORK_ORDER = "work-order"
    OUTBOUND_ORDER = "outbound-order"
    TRANSFER_ORDER = "transfer-order"


class Fill(StrEnum):
    """How a demand may be filled. PARTIAL: each line with what there is, the rest waits. WHOLE_LINES: each line whole or not at all.
    ALL_OR_NOTHING: every line or none (the chain)."""

    PARTIAL = "partial"
    WHOLE_LINES = "whole_lines"
    ALL_OR_NOTHING = "all_or_nothing"


class Strategy(StrEnum):
    """Which stock records of a warehouse serve a line first."""

    FEFO = "fefo"
    FIFO = "fifo"
    LIFO = "lifo"
    FEWEST_RECORDS = "fewest_records"


class Wish(StrEnum):
    """What the owner of a demand wants of the allocator now.

    NOTHING: hold no stock (unallocated). STOCK: reserve. PICKING: start processing: mark what is reserved as being picked.
    CONSUMPTION: it has shipped; take the stock off hand. CLOSED: canceled or dropshipped; release for good.
    """

    NOTHING = "nothing"
    STOCK = "stock"
    PICKING = "picking"
    CONSUMPTION = "consumption"
    CLOSED = "closed"


class AllocationStatus(StrEnum):
    """The second axis of an order (002-10 to 002-14)."""

    UNALLOCATED = "unallocated"
    ALLOCATED = "allocated"
    PARTIALLY_ALLOCATED = "partially_allocated"
    COULD_NOT_ALLOCATE = "could_not_allocate"
    OVERALLOCATED = "overallocated"


class AdjustmentReason(StrEnum):
    """Exactly eight (003-26)."""

    CYCLE_COUNT = "CYCLE_COUNT"
    DAMAGED = "DAMAGED"
    EXPIRED = "EXPIRED"
    FOUND = "FOUND"
    LOST = "LOST"
    CORRECTION = "CORRECTION"
    DISPOSAL_TRANSFER_OUT = "DISPOSAL_TRANSFER_OUT"
    DISPOSAL_TRANSFER_IN = "DISPOSAL_TRANSFER_IN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Units on one stock record: where what was reserved lies. `record` numbers the stock record within its SKU, from 1."""

    __pydantic_config__ = STRICT
    record: Version
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    units: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Units of one SKU that a demand wants. `warehouses` in order of preference; empty: as the demand says."""

    __pydantic_config__ = STRICT
    sku: Sku
    units: Units
    warehouses: Annotated[tuple[Warehouse, ...], Field(max_length=MAX_WAREHOUSES)] = ()


def demand_id(kind: DemandKind, merchant: str, number: str) -> str:
    """The id under which every message knows this demand."""
    return f"{kind.value}/{merchant}/{number}"


def merchant_of(demand: str) -> str:
    """The merchant named in a demand's id."""
    return demand.split("/", 2)[1]


def sku_key(merchant: str, sku: str) -> str:
    """The Kafka key of every message that concerns a SKU."""
    return f"{merchant}/{sku}"


Place = tuple[int, datetime, str]
"""A demand's place in every queue: (priority, demanded at, demand id); smaller is served first."""
