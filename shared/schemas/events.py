"""Events: what happened. Past-tense names.

`OrderChanged` comes from orders; `Outcome` and `Wake` travel only between the allocator's own state partitions on
`earmark.outcomes`; the others are public and are what the allocator promises to tell.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from pydantic import Field

from shared.schemas.values import (
    MAX_LINES,
    MAX_WAREHOUSES,
    STRICT,
    Alternative,
    Bin,
    CommandId,
    Count,
    DemandId,
    Fill,
    Identifier,
    Label,
    Line,
    Lot,
    Merchant,
    Piece,
    Priority,
    Sku,
    Strategy,
    Text,
    Time,
    Units,
    Version,
    Warehouse,
    Wish,
)

# ---------------------------------------------------------------- why a line could not be reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A demand that holds units of the SKU."""

    __pydantic_config__ = STRICT
    demand: DemandId
    units: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One action that would help. `receive`: bring `units` into `warehouse`. `release`: have `demand` give its units back.
    `lift_hold`, `allow_warehouse`: free held units, or let the line draw on `warehouse`, where `units` are free."""

    __pydantic_config__ = STRICT
    action: Literal["receive", "release", "lift_hold", "allow_warehouse"]
    units: Units
    warehouse: Warehouse | None = None
    demand: DemandId | None = None
    record: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why `missing_units` of a line could not be reserved, at ledger version `ledger_version` of the SKU.

    Sums over the SKU: on hand in the line's warehouses, and of that held, expired, allocated, claimed (free, but about to go to
    better-placed waiters); `elsewhere_units` are free in warehouses that the line does not name. `holders`: the five largest.
    `remedies`: the smallest set of actions that would make it succeed, `exact` up to four actions, greedy beyond.
    """

    __pydantic_config__ = STRICT
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The present result of one (demand, SKU, alternative), from the stock side. Higher (attempt, version) wins.

    `complete`: the last stop of a chain succeeded. `short`: a stop found too little, and the demand waits there.
    `picking_refused`, `consumption_refused`: about the mark or command numbered `about`.
    """

    __pydantic_config__ = STRICT
    type: Literal["outcome"] = "outcome"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Stock rose and would serve this waiting all-or-nothing demand. The baton must come back."""

    __pydantic_config__ = STRICT
    type: Literal["wake"] = "wake"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version
    baton: Version
    sticky: bool = False
    overtaken: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The stock side has no row of this (demand, SKU, alternative) any more; this is the last that it says of it."""

    __pydantic_config__ = STRICT
    type: Literal["forgotten"] = "forgotten"
    demand: DemandId
    merchant: Merchant
    sku: Sku
    alternative: Alternative = ""
    attempt: Version


# ---------------------------------------------------------------- demands, from the services that own them


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the allocator needs to know of anything that wants stock: one entity, whole, at one version. Higher version wins.

    `fill`, `strategy`: null lets the allocator's policy decide. `warehouses` in order of preference; empty: any, by policy.
    """

    __pydantic_config__ = STRICT
    id: DemandId
    merchant: Merchant
    version: Version
    wish: Wish
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES), Meta(min_length=1, max_length=MAX_LINES)]
    fill: Fill | None = None
    strategy: Strategy | None = None
    priority: Priority = 0
    demanded_at: Time
    warehouses: Annotated[tuple[Warehouse, ...], Field(max_length=MAX_WAREHOUSES), Meta(max_length=MAX_WAREHOUSES)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """A sales order, whole, after a change. `demand` is what the allocator reads; the rest is for everyone else and for rules."""

    __pydantic_config__ = STRICT
    type: Literal["order_changed"] = "order_changed"
    demand: Demand
    number: Text
    status: Literal["awaiting_fulfillment", "processing", "shipped", "dropshipped", "canceled"]
    channel: Text = ""
    country: Text = ""
    receiver: Text = ""
    tags: Annotated[tuple[Text, ...], Field(max_length=50), Meta(max_length=50)] = ()
    value_minor_units: Count | None = None
    currency: Text = ""
    changed_at: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationRunChanged:
    """How far a bulk run of orders is: `ended` have been decided, `refused` could not be told to. It is over when both make `total`.
    Higher version wins."""

    __pydantic_config__ = STRICT
    type: Literal["allocation_run_changed"] = "allocation_run_changed"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatedLine:
    """One line of a demand as the allocator sees it. wanted = reserved + waiting + consumed once its attempt has ended;
    `flagged_units` of the reserved ones have no stock behind them any more."""

    __pydantic_config__ = STRICT
    sku: Sku
    wanted_units: Units
    reserved_units: Count
    flagged_units: Count
    waiting_units: Count
    consumed_units: Count
    pieces: tuple[Piece, ...] = ()
    shortage: Shortage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationChanged:
    """What came of a demand. `version` rises with every event of the demand: readers keep the highest.

    `demand_version`: the version of the demand that this answers. `picking`: none; asked (the marks are under way); confirmed (all
    marked: processing may start); refused (with `refusal`). `refusal` says why and what helps when picking or consumption was refused.
    """

    __pydantic_config__ = STRICT
    type: Literal["allocation_changed"] = "allocation_changed"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StockMoved:
    """A stock command was posted: what a stock record had on hand before and after. `record_version` rises with every movement."""

    __pydantic_config__ = STRICT
    type: Literal["stock_moved"] = "stock_moved"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StockCommandRefused:
    """A stock command was refused, for good: the same command id gets the same answer for ever."""

    __pydantic_config__ = STRICT
    type: Literal["stock_command_refused"] = "stock_command_refused"
    command_id: CommandId
    merchant: Merchant
    sku: Sku
    reason: Literal["below_zero", "no_such_record", "other_content", "zero_change", "too_many_units"]
    field: Text
    remedy: Text
    refused_at: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseLevel:
    """Sums over the stock records of a SKU in one warehouse. Available is the sum of each record's own, none netted (R18)."""

    __pydantic_config__ = STRICT
    warehouse: Warehouse
    on_hand_units: Count
    held_units: Count
    allocated_units: Count
    available_units: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLevelChanged:
    """The levels of one SKU at one ledger version: readers keep the highest. Compacted topic; announced again from time to time."""

    __pydantic_config__ = STRICT
    type: Literal["stock_level_changed"] = "stock_level_changed"
    merchant: Merchant
    sku: Sku
    ledger_version: Version
    warehouses: tuple[WarehouseLevel, ...]
    changed_at: Time


Movement = StockMoved | StockCommandRefused
PublicEvent = OrderChanged | AllocationRunChanged | AllocationChanged | StockMoved | StockCommandRefused | StockLevelChanged
