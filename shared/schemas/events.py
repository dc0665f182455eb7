"""Events: what happened. Past-tense names.

`OrderChanged` comes from orders; `Outcome` and `Wake` travel only between the allocator's own state partitions on
`earmark.outcomes`; the others are public and are what the allocator promises to tell.
"""

from typing import Annotated, Literal

from msgspec import Meta
from pydantic import Field

from shared.schemas.message import Message, Part
from shared.schemas.values import (
    MAX_LINES,
    Alternative,
    Bin,
    CommandId,
    Count,
    DemandId,
    Fill,
    Identifier,
    Label,
    Lines,
    Lot,
    Merchant,
    Piece,
    Priority,
    Sku,
    Strategy,
    Tags,
    Text,
    Time,
    Units,
    Version,
    Warehouse,
    Warehouses,
    Wish,
)

# ---------------------------------------------------------------- why a line could not be reserved


class Holder(Part, frozen=True, kw_only=True):
    """A demand that holds units of the SKU."""

    demand: DemandId
    units: Units


class Remedy(Part, frozen=True, kw_only=True):
    """One action that would help. `receive`: bring `units` into `warehouse`. `release`: have `demand` give its units back.
    `lift_hold`, `allow_warehouse`: free held units, or let the line draw on `warehouse`, where `units` are free."""

    action: Literal["receive", "release", "lift_hold", "allow_warehouse"]
    units: Units
    warehouse: Warehouse | None = None
    demand: DemandId | None = None
    record: Version | None = None


class Shortage(Part, frozen=True, kw_only=True):
    """Why `missing_units` of a line could not be reserved, at ledger version `ledger_version` of the SKU.

    Sums over the SKU: on hand in the line's warehouses, and of that held, expired, allocated, claimed (free, but about to go to
    better-placed waiters); `elsewhere_units` are free in warehouses that the line does not name. `holders`: the five largest.
    `remedies`: the smallest set of actions that would make it succeed, `exact` up to four actions, greedy beyond.
    """

    missing_units: Units
    on_hand_units: Count
    held_units: Count
    expired_units: Count
    allocated_units: Count
    claimed_units: Count
    elsewhere_units: Count
    holders: Annotated[tuple[Holder, ...], Field(max_length=5), Meta(max_length=5)] = ()
    remedies: Annotated[tuple[Remedy, ...], Field(max_length=50), Meta(max_length=50)] = ()
    exact: bool = True
    ledger_version: Version


# ---------------------------------------------------------------- inside the allocator


class Outcome(Message, frozen=True, kw_only=True):
    """The present result of one (demand, SKU, alternative), from the stock side. Higher (attempt, version) wins.

    `complete`: the last stop of a chain succeeded. `short`: a stop found too little, and the demand waits there.
    `picking_refused`, `consumption_refused`: about the mark or command numbered `about`.
    """

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    version: Version
    reserved_units: Count = 0
    flagged_units: Count = 0
    waiting_units: Count = 0
    consumed_units: Count = 0
    pending: bool = False
    mark: Version | None = None
    note: Literal["complete", "short", "picking_refused", "consumption_refused"] | None = None
    about: Version | None = None
    pieces: tuple[Piece, ...] = ()
    shortage: Shortage | None = None


class Wake(Message, frozen=True, kw_only=True):
    """Stock rose and would serve this waiting all-or-nothing demand. The baton must come back."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    baton: Version
    sticky: bool = False
    overtaken: Count = 0


class Forgotten(Message, frozen=True, kw_only=True):
    """The stock side has no row of this (demand, SKU, alternative) any more; this is the last that it says of it."""

    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


# ---------------------------------------------------------------- demands, from the services that own them


class Demand(Part, frozen=True, kw_only=True):
    """What the allocator needs to know of anything that wants stock: one entity, whole, at one version. Higher version wins.

    `fill`, `strategy`: null lets the allocator's policy decide. `warehouses` in order of preference; empty: any, by policy.
    """

    id: DemandId
    merchant: Merchant
    version: Version
    wish: Wish
    lines: Lines
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Priority = 0
    demanded_at: Time
    warehouses: Warehouses = ()


class OrderChanged(Message, frozen=True, kw_only=True):
    """A sales order, whole, after a change. `demand` is what the allocator reads; the rest is for everyone else and for rules."""

    demand: Demand
    number: Text
    status: Literal["awaiting_fulfillment", "processing", "shipped", "dropshipped", "canceled"]
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Tags = ()
    value_minor_units: Count | None = None
    currency: Text = ""
    changed_at: Time


class AllocationRunChanged(Message, frozen=True, kw_only=True):
    """How far a bulk run of orders is: `ended` have been decided, `refused` could not be told to. It is over when both make `total`.
    Higher version wins."""

    merchant: Merchant
    run: Identifier
    version: Version
    action: Literal["allocate", "deallocate"]
    total: Units
    ended: Count
    refused: Count
    changed_at: Time


DemandEvent = OrderChanged | Outcome | Wake | Forgotten
"""Everything that the demand side folds."""


# ---------------------------------------------------------------- what the allocator tells everyone


class AllocatedLine(Part, frozen=True, kw_only=True):
    """One line of a demand as the allocator sees it. wanted = reserved + waiting + consumed once its attempt has ended;
    `flagged_units` of the reserved ones have no stock behind them any more."""

    sku: Sku
    wanted_units: Units
    reserved_units: Count
    flagged_units: Count
    waiting_units: Count
    consumed_units: Count
    pieces: tuple[Piece, ...] = ()
    shortage: Shortage | None = None


class AllocationChanged(Message, frozen=True, kw_only=True):
    """What came of a demand. `version` rises with every event of the demand: readers keep the highest.

    `demand_version`: the version of the demand that this answers. `picking`: none; asked (the marks are under way); confirmed (all
    marked: processing may start); refused (with `refusal`). `refusal` says why and what helps when picking or consumption was refused.
    """

    demand: DemandId
    merchant: Merchant
    version: Version
    demand_version: Version
    attempt: Count
    outcome: Literal["allocated", "partially_allocated", "could_not_allocate", "overallocated", "released", "consumed"]
    picking: Literal["none", "asked", "confirmed", "refused"] = "none"
    refusal: Text | None = None
    lines: Annotated[tuple[AllocatedLine, ...], Field(max_length=MAX_LINES), Meta(max_length=MAX_LINES)]
    decided_at: Time


class StockMoved(Message, frozen=True, kw_only=True):
    """A stock command was posted: what a stock record had on hand before and after. `record_version` rises with every movement."""

    command_id: CommandId
    merchant: Merchant
    sku: Sku
    record: Version
    warehouse: Warehouse
    bin: Bin
    lot: Lot | None = None
    label: Label | None = None
    kind: Literal["receive", "adjust", "consume"]
    reason: Text = ""
    cause: Text = ""
    change: int
    on_hand_before: Count
    on_hand_after: Count
    record_version: Version
    ledger_version: Version
    moved_at: Time


class StockCommandRefused(Message, frozen=True, kw_only=True):
    """A stock command was refused, for good: the same command id gets the same answer for ever."""

    command_id: CommandId
    merchant: Merchant
    sku: Sku
    reason: Literal["below_zero", "no_such_record", "other_content", "zero_change", "too_many_units"]
    field: Text
    remedy: Text
    refused_at: Time


class WarehouseLevel(Part, frozen=True, kw_only=True):
    """Sums over the stock records of a SKU in one warehouse. Available is the sum of each record's own, none netted (R18)."""

    warehouse: Warehouse
    on_hand_units: Count
    held_units: Count
    allocated_units: Count
    available_units: Count


class StockLevelChanged(Message, frozen=True, kw_only=True):
    """The levels of one SKU at one ledger version: readers keep the highest. Compacted topic; announced again from time to time."""

    merchant: Merchant
    sku: Sku
    ledger_version: Version
    warehouses: tuple[WarehouseLevel, ...]
    changed_at: Time


Movement = StockMoved | StockCommandRefused
PublicEvent = OrderChanged | AllocationRunChanged | AllocationChanged | StockMoved | StockCommandRefused | StockLevelChanged
