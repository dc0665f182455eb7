"""The allocation policy: on which terms a demand is allocated. Rules will be asked here; until then settings give the answer.

Pure. Decides nothing about stock: it turns what a demand leaves open (fill, strategy, warehouses, now or later) into terms.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.schemas.events import Demand
from shared.schemas.values import DemandKind, Fill, Line, Strategy, Wish


def _default_fill() -> Mapping[str, Fill]:
    return {DemandKind.SALES_ORDER: Fill.PARTIAL}


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What holds where a demand says nothing. `fill` by kind of demand; kinds that it does not name are all or nothing."""

    fill: Mapping[str, Fill] = field(default_factory=_default_fill)
    strategy: Strategy = Strategy.FEFO
    default_warehouses: tuple[str, ...] = ("main",)
    merchant_warehouses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allocate_now: bool = True

    def __post_init__(self) -> None:
        assert self.default_warehouses, "name at least one default warehouse"
        assert all(self.merchant_warehouses.values()), "a merchant that is listed needs at least one warehouse"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an attempt may take and how long to pause after one that took longer. Both double with every expiry, at most
    `max_doublings` times, and only success resets them: with fixed ones demands expired each other for ever in the model (livelock)."""

    attempt: timedelta = timedelta(seconds=30)
    pause: timedelta = timedelta(seconds=5)
    max_doublings: int = 8

    def attempt_limit(self, expiries: int) -> timedelta:
        """The time that an attempt has after so many expired ones."""
        return self.attempt * (1 << min(expiries, self.max_doublings))

    def pause_after(self, expiries: int) -> timedelta:
        """The pause before the next attempt after so many expired ones."""
        return self.pause * (1 << min(expiries, self.max_doublings))


@dataclass(frozen=True, slots=True)
class DemandSettings:
    """All settings of the demand side. `cached_lines`: how many lines of recent demands a state partition keeps in memory, about one
    kilobyte each. `keep`: how long a demand is remembered after it has ended; `forget_at_once`, `forget_beside`: how many are
    forgotten in a batch without messages, and in one with few."""

    policy: PolicySettings = field(default_factory=PolicySettings)
    timing: Timing = field(default_factory=Timing)
    cached_lines: int = 20_000
    keep: timedelta = timedelta(days=30)
    forget_at_once: int = 200
    forget_beside: int = 5

    def most_forgotten(self, beside: int) -> int:
        """How many demands may be forgotten in a batch of so many messages. A demand that reserved something brings at least five in
        its life: where a quarter as many go, as many go as come, however busy a partition is."""
        return max(self.forget_beside, beside // 4) if beside else self.forget_at_once


class TermLine(NamedTuple):
    """Units wanted of one SKU, and the warehouses to draw on, in order."""

    sku: str
    units: int
    warehouses: tuple[str, ...]


class Terms(NamedTuple):
    """The terms of one demand: a change of any of them needs a new attempt.

    `lines` are sorted by SKU, each SKU once: the order in which a chain travels. `alternative`: the warehouse of an all-or-nothing
    demand, `""` for lines that are reserved on their own; part of the key of every row that the stock side keeps.
    """

    lines: tuple[TermLine, ...]
    fill: Fill
    strategy: Strategy
    priority: int
    demanded_at: datetime
    alternative: str = ""


def wish_of(demand: Demand, settings: PolicySettings) -> Wish:
    """What is done about the owner's wish now: where allocation is not run by itself, stock that is wished for is held back."""
    return Wish.NOTHING if demand.wish is Wish.STOCK and not settings.allocate_now else demand.wish


def resolve(demand: Demand, settings: PolicySettings) -> Terms:
    """The terms on which this version of the demand is allocated."""
    fill = demand.fill or settings.fill.get(demand.id.split("/", 1)[0], Fill.ALL_OR_NOTHING)
    fallback = _each_once(demand.warehouses or settings.merchant_warehouses.get(demand.merchant) or settings.default_warehouses)
    alternative = _alternative(demand, fallback) if fill is Fill.ALL_OR_NOTHING else ""
    lines = _merged(demand.lines, fallback, alternative)
    return Terms(lines, fill, demand.strategy or settings.strategy, demand.priority, demand.demanded_at, alternative)


def _alternative(demand: Demand, fallback: tuple[str, ...]) -> str:
    """A chain draws on one warehouse: the first that every line which names some accepts, else the demand's own first."""
    named = [line.warehouses for line in demand.lines if line.warehouses]
    if not named:
        return fallback[0]
    common = (warehouse for warehouse in named[0] if all(warehouse in others for others in named))
    return next(common, fallback[0])


def _merged(lines: Iterable[Line], fallback: tuple[str, ...], alternative: str) -> tuple[TermLine, ...]:
    """One line per SKU; of a SKU that stands twice the units add up and the first line's warehouses count."""
    accepted = (alternative,) if alternative else ()
    merged: dict[str, TermLine] = {}
    for line in lines:
        sku = line.sku
        if sku in merged:
            before = merged[sku]
            merged[sku] = before._replace(units=before.units + line.units)
        else:
            merged[sku] = TermLine(sku, line.units, accepted or (line.warehouses and _each_once(line.warehouses)) or fallback)
    return tuple(merged.values()) if len(merged) == 1 else tuple(sorted(merged.values()))


def _each_once(warehouses: tuple[str, ...]) -> tuple[str, ...]:
    """A warehouse that is named twice counts where it stands first: counted twice, its stock would be promised twice."""
    return warehouses if len(warehouses) < 2 else tuple(dict.fromkeys(warehouses))
