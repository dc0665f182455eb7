"""Commands: what the allocator's two sides are told. Imperative names.

`ReceiveStock` and `AdjustStock` come from inventory on `earmark.inventory`. The others travel only between the allocator's own state
partitions on `earmark.reservations` and are numbered by the demand side: `attempt` orders everything said of one
(demand, SKU, alternative): a lower attempt is refused, an equal one answered with the present result, a higher one supersedes.
"""

from typing import Annotated

from msgspec import Meta
from pydantic import Field

from shared.schemas.message import Message, Part
from shared.schemas.values import (
    MAX_LINES,
    MAX_UNITS,
    MAX_WAREHOUSES,
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


class ReceiveStock(Message, frozen=True, kw_only=True):
    """Put units on a stock record; the record is made if there is none. A rise."""

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


class AdjustStock(Message, frozen=True, kw_only=True):
    """Change what a stock record has on hand, up or down, for one of the eight reasons (003-26). Never below zero on hand."""

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


class ReserveLine(Message, frozen=True, kw_only=True):
    """Reserve one line on its own (partial fill, whole lines), or lower an allocated all-or-nothing demand (`reduce`: cannot fail).

    Adopts what older attempts of the demand hold at this SKU. `warehouses` in order; at least one.
    """

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


class ChainStop(Part, frozen=True, kw_only=True):
    """One stop of a chain: a SKU and what is needed of it."""

    sku: Sku
    units: Units


class ReserveChain(Message, frozen=True, kw_only=True):
    """All or nothing: reserve at `stops[stop]`, pending, and pass the message on to the next; the stops are sorted by SKU.

    `alternative` is the one warehouse that this chain draws on. `sticky` and `overtaken` belong to fairness (a rule). `started_at`: when
    its attempt began, so that one which was on its way for longer than tombstones are kept is known for what it is.
    """

    demand: DemandId
    merchant: Merchant
    alternative: Warehouse
    attempt: Version
    stop: Count
    stops: Annotated[tuple[ChainStop, ...], Field(min_length=1, max_length=MAX_LINES), Meta(min_length=1, max_length=MAX_LINES)]
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


class Release(Message, frozen=True, kw_only=True):
    """Free what the demand holds at the SKU under this or an older attempt, and take it out of the queue. Always writes the row."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


class ReturnBaton(Message, frozen=True, kw_only=True):
    """Give a baton back. `served`: the attempt it started succeeded (true), failed (false), or none was made (null)."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    baton: Version
    served: bool | None = None


class Activate(Message, frozen=True, kw_only=True):
    """The whole chain succeeded: the pending reservation becomes active."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


class MarkPicking(Message, frozen=True, kw_only=True):
    """Mark the reservation as being picked. Always answered: confirmed, or refused when flagged, waiting or empty."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    mark: Version


class UnmarkPicking(Message, frozen=True, kw_only=True):
    """Take the mark off again."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    mark: Version


class Consume(Message, frozen=True, kw_only=True):
    """Take the reserved units off hand: they have left. Refused where unmarked or flagged: never more than is on hand."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    command: Version


class Forget(Message, frozen=True, kw_only=True):
    """The demand ended long ago: remove the row, which holds nothing and has been a tombstone since. Always answered `forgotten`."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


InventoryCommand = ReceiveStock | AdjustStock
ReservationCommand = ReserveLine | ReserveChain | Release | ReturnBaton | Activate | MarkPicking | UnmarkPicking | Consume | Forget
StockCommand = InventoryCommand | ReservationCommand
