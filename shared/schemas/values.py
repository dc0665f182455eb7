"""The words of the language: identifiers, quantities, closed sets.

Every bound is here once; a bound of a number or time is told twice, to pydantic and to msgspec, which reads what we wrote ourselves.
Identifiers are ASCII so that they mean the same in Kafka keys, SQL and URLs; a SKU is case sensitive (`85123a` and `85123A` are two
products in real data).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta
from pydantic import AwareDatetime, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from shared.schemas.message import Part

MAX_UNITS = 1_000_000_000
MAX_LINES = 1_000
MAX_WAREHOUSES = 16
MAX_TAGS = 50
MAX_TEXT = 500
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Times are from the first on and before the second: years that survive a change of the time zone. The year 1 at +23:00 is no time in
UTC."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Merchant = Identifier
Warehouse = Identifier
Bin = Identifier
Lot = Identifier
Label = Identifier
Alternative = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.\-]{0,63})?$")]
"""The warehouse that a chain draws on; empty for lines that are reserved on their own."""
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 _.\-]{0,62}[A-Za-z0-9_.\-])?$")]
"""1 to 64 characters; single products of real catalogues hold spaces (`BANK CHARGES`), none at the ends."""
DemandId = Annotated[str, StringConstraints(pattern=r"^[a-z\-]{1,32}/[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
"""`kind/merchant/id`, for example `sales-order/acme/SO-2611-0042`."""
CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/\-]{0,199}$")]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS), Meta(ge=1, le=MAX_UNITS)]
Count = Annotated[int, Field(ge=0, le=10**15), Meta(ge=0, le=10**15)]
Version = Annotated[int, Field(ge=1, le=2**62), Meta(ge=1, le=2**62)]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000), Meta(ge=-1_000_000, le=1_000_000)]
"""Lower is served first; 0 is the default."""


@dataclass(frozen=True, slots=True)
class _Written:
    """How a date or time is written in JSON: without this, `"1700000000"` would be taken for seconds since 1970.

    Plain schemas of pydantic's core, no Python function: it costs 0.1 us a message.
    """

    pattern: str
    example: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        value = handler(source)
        text = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self.pattern, max_length=40),
            custom_error_type="iso_8601",
            custom_error_message=f"Input should be written as {self.example}",
        )
        parsed: Any = dict(value) | {"strict": False}  # strict would refuse the text that the step before has let through
        return core_schema.json_or_python_schema(core_schema.chain_schema([text, parsed]), value)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema["python_schema"])


Time = Annotated[
    datetime,
    AwareDatetime,
    Meta(tz=True),
    Field(ge=EARLIEST, lt=LATEST),
    _Written("^[0-9]{4}-", "2026-11-21T12:00:00Z"),
]
"""With an offset."""
Day = Annotated[date, _Written("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-11-21")]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"^[^\x00]*$")]


Warehouses = Annotated[tuple[Warehouse, ...], Field(max_length=MAX_WAREHOUSES, fail_fast=True), Meta(max_length=MAX_WAREHOUSES)]
"""In order of preference. What fails fast names the first that is wrong, and does not gather a hundred thousand of them."""


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


class Piece(Part, frozen=True, kw_only=True):
    """Units on one stock record: where what was reserved lies. `record` numbers the stock record within its SKU, from 1."""

    record: Version
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    units: Units


class Line(Part, frozen=True, kw_only=True):
    """Units of one SKU that a demand wants. `warehouses` in order of preference; empty: as the demand says."""

    sku: Sku
    units: Units
    warehouses: Warehouses = ()


Lines = Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES, fail_fast=True), Meta(min_length=1, max_length=MAX_LINES)]
Tags = Annotated[tuple[Text, ...], Field(max_length=MAX_TAGS, fail_fast=True), Meta(max_length=MAX_TAGS)]


def pattern_of(identifier: Any) -> re.Pattern[str]:
    """The pattern of one of the identifiers above, for those who check it themselves."""
    (constraints,) = identifier.__metadata__
    return re.compile(constraints.pattern)


def demand_id(kind: DemandKind, merchant: str, number: str) -> str:
    """The id under which every message knows this demand."""
    return f"{kind}/{merchant}/{number}"


def merchant_of(demand: str) -> str:
    """The merchant named in a demand's id."""
    return demand.split("/", 2)[1]


def sku_key(merchant: str, sku: str) -> str:
    """The Kafka key of every message that concerns a SKU."""
    return f"{merchant}/{sku}"


Place = tuple[int, datetime, str]
"""A demand's place in every queue: (priority, demanded at, demand id); smaller is served first."""
