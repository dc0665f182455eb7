"""What the decisions know of the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from shared.schemas.values import AdjustmentReason


@dataclass(frozen=True, slots=True)
class Product:
    """What stock of a SKU must carry: `serialized`: a label on every stock record (001-03); `lot_tracked`: a lot."""

    sku: str
    serialized: bool
    lot_tracked: bool


@dataclass(frozen=True, slots=True)
class Known:
    """The master data that a request names and that exists: of one merchant, loaded before anything is decided."""

    products: Mapping[str, Product] = field(default_factory=dict)
    warehouses: frozenset[str] = frozenset()
    bins: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which stock record is meant."""

    sku: str
    warehouse: str
    bin: str
    lot: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Units that arrived."""

    command_id: str
    place: Place
    units: int
    expires_on: date | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A correction of what lies there, for one of the eight reasons (003-26)."""

    command_id: str
    place: Place
    change: int
    reason: AdjustmentReason
    note: str = ""


Document = Receipt | Adjustment
Code = Literal[
    "unknown_sku",
    "unknown_warehouse",
    "unknown_bin",
    "label_needed",
    "label_not_allowed",
    "lot_needed",
    "zero_change",
    "direction",
    "repeated",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document is refused: which one of the request, which field, what helps."""

    code: Code
    index: int
    field: str
    detail: str
    remedy: str
