"""Commands: what the allocator's two sides are told. Imperative names.

`ReceiveStock` and `AdjustStock` come from inventory on `earmark.inventory`. The others travel only between the allocator's own state
partitions on `earmark.reservations` and are numbered by the demand side: `attempt` orders everything said of one
(demand, SKU, alternative): a lower attempt is refused, an equal one answered with the present result, a higher one supersedes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from pydantic import Field

from shared.schemas.values import (
    MAX_LINES,
    MAX_UNITS,
    MAX_WAREHOUSES,
    STRICT,
    AdjustmentReason,
    Alternative,
    Bin,
    CommandId,
    Count,
    Day,
    DemandId,
    Fill,
    Label,
    Lot,
    Merchant,
    Priority,
    Sku,
    Strategy,
    Text,
    Time,
    Units,
    Version,
    Warehouse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStock:
    """Put units on a stock record; the record is made if there is none. A rise."""

    __pydantic_config__ = STRICT
    type: Literal["receive_stock"] = "receive_stock"
    command_id: CommandId
    merchant: Merchant
    sku: Sku
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    expires_on: Day | None = None
    units: Units
    cause: Text = ""
    issued_at: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustStock:
    """Change what a stock record has on hand, up or down, for one of the eight reasons (003-26). Never below zero on hand."""

    __pydantic_config__ = STRICT
    type: Literal["adjust_stock"] = "adjust_stock"
    command_id: CommandId
    merchant: Merchant
    sku: Sku
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    change: Annotated[int, Field(ge=-MAX_UNITS, le=MAX_UNITS)]
    reason: AdjustmentReason
    note: Text = ""
    issued_at: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveLine:
    """Reserve one line on its own (partial fill, whole lines), or lower an allocated all-or-nothing demand (`reduce`: cannot fail).

    Adopts what older attempts of the demand hold at this SKU. `warehouses` in order; at least one.
    """

    __pydantic_config__ = STRICT
    type: Literal["reserve_line"] = "reserve_line"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    units: Units
    fill: Fill
    reduce: bool = False
    warehouses: Annotated[
        tuple[Warehouse, ...], Field(min_length=1, max_length=MAX_WAREHOUSES), Meta(min_length=1, max_length=MAX_WAREHOUSES)
    ]
    strategy: Strategy = Strategy.FEFO
    priority: Priority
    demanded_at: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStop:
    """One stop of a chain: a SKU and what is needed of it."""

    __pydantic_config__ = STRICT
    sku: Sku
    units: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveChain:
    """All or nothing: reserve at `stops[stop]`, pending, and pass the message on to the next; the stops are sorted by SKU.

    `alternative` is the one warehouse that this chain draws on. `sticky` and `overtaken` belong to fairness (a rule). `started_at`: when
    its attempt began, so that one which was on its way for longer than tombstones are kept is known for what it is.
    """

    __pydantic_config__ = STRICT
    type: Literal["reserve_chain"] = "reserve_chain"
    demand: DemandId
    merchant: Merchant
    alternative: Warehouse
    attempt: Version
    stop: Count
    stops: Annotated[tuple[ChainStop, ...], Field(min_length=1, max_length=MAX_LINES)]
    strategy: Strategy = Strategy.FEFO
    priority: Priority
    demanded_at: Time
    started_at: Time | None = None
    sticky: bool = False
    overtaken: Count = 0

    def __post_init__(self) -> None:
        if self.stop >= len(self.stops):
            raise ValueError("stop lies beyond the stops")

    @property
    def sku(self) -> str:
        """The SKU of the present stop."""
        return self.stops[self.stop].sku


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Free what the demand holds at the SKU under this or an older attempt, and take it out of the queue. Always writes the row."""

    __pydantic_config__ = STRICT
    type: Literal["release"] = "release"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnBaton:
    """Give a baton back. `served`: the attempt it started succeeded (true), failed (false), or none was made (null)."""

    __pydantic_config__ = STRICT
    type: Literal["return_baton"] = "return_baton"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    baton: Version
    served: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activate:
    """The whole chain succeeded: the pending reservation becomes active."""

    __pydantic_config__ = STRICT
    type: Literal["activate"] = "activate"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPicking:
    """Mark the reservation as being picked. Always answered: confirmed, or refused when flagged, waiting or empty."""

    __pydantic_config__ = STRICT
    type: Literal["mark_picking"] = "mark_picking"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    mark: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkPicking:
    """Take the mark off again."""

    __pydantic_config__ = STRICT
    type: Literal["unmark_picking"] = "unmark_picking"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    mark: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Consume:
    """Take the reserved units off hand: they have left. Refused where unmarked or flagged: never more than is on hand."""

    __pydantic_config__ = STRICT
    type: Literal["consume"] = "consume"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    command: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """The demand ended long ago: remove the row, which holds nothing and has been a tombstone since. Always answered `forgotten`."""

    __pydantic_config__ = STRICT
    type: Literal["forget"] = "forget"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


InventoryCommand = ReceiveStock | AdjustStock
ReservationCommand = ReserveLine | ReserveChain | Release | ReturnBaton | Activate | MarkPicking | UnmarkPicking | Consume | Forget
StockCommand = InventoryCommand | ReservationCommand
