"""What a demo will do, worked out before anything is started: which orders are posted and canceled, and what stock is received. Pure."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

from services.console.demo.order_lines import Reading, ShopOrder

MERCHANT = "acme"
MAIN, ANNEX = "main", "annex"
WAREHOUSES = {MAIN: "Main warehouse", ANNEX: "Annex across the yard"}
BINS = {MAIN: tuple(f"{aisle}-{rack:02}" for aisle in "ABCDEF" for rack in range(1, 9)), ANNEX: ("X-01", "X-02", "X-03", "X-04")}
SHARE_RECEIVED = (0.7, 1.0)
"""Of every SKU a share of what is wanted is received, drawn between these: 85 % in sum, so that the shop sells out as the day goes on."""
SHARE_IN_ANNEX = 0.35
HOME = ("", "United Kingdom")
MOST_LINES_OF_A_PARCEL = 8
"""What goes abroad and fits in one parcel leaves in one: all of it or nothing."""
NO_ORDER = "no order to cancel"


@dataclass(frozen=True, slots=True)
class Post:
    """Post this order."""

    order: ShopOrder


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the order with this number, as the shop's `cancellation` asks."""

    number: str
    cancellation: str


Step = Post | Cancel


@dataclass(frozen=True, slots=True)
class Receipt:
    """Units of a SKU that are received into a bin."""

    sku: str
    warehouse: str
    bin: str
    units: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which the shop booked them, the stock that is there before, and what of the file was left out, by reason."""

    steps: tuple[Step, ...]
    receipts: tuple[Receipt, ...]
    left_out: Mapping[str, int]

    @property
    def orders(self) -> tuple[ShopOrder, ...]:
        """The orders that are posted, in order."""
        return tuple(step.order for step in self.steps if isinstance(step, Post))

    @property
    def canceled(self) -> frozenset[str]:
        """Numbers of the orders that are canceled on the way."""
        return frozenset(step.number for step in self.steps if isinstance(step, Cancel))

    @property
    def skus(self) -> tuple[str, ...]:
        """Every SKU that an order wants, sorted."""
        return tuple(sorted({sku for order in self.orders for sku in order.lines}))


def plan(reading: Reading, seed: int) -> Plan:
    """The whole demo; the same reading and seed give the same plan."""
    steps, unmatched = _steps(reading.orders)
    left_out = dict(reading.left_out) | ({NO_ORDER: unmatched} if unmatched else {})
    orders = [step.order for step in steps if isinstance(step, Post)]
    canceled = {step.number for step in steps if isinstance(step, Cancel)}
    return Plan(tuple(steps), tuple(_receipts(orders, canceled, seed)), left_out)


def ships_whole(order: ShopOrder) -> bool:
    """Whether the order is all or nothing."""
    return order.country not in HOME and len(order.lines) <= MOST_LINES_OF_A_PARCEL


def _steps(orders: Iterable[ShopOrder]) -> tuple[list[Step], int]:
    """A cancellation becomes the cancel of an earlier order; those that have none are counted."""
    steps: list[Step] = []
    open_orders: dict[str, list[ShopOrder]] = defaultdict(list)
    unmatched = 0
    for order in orders:
        if not order.cancels:
            steps.append(Post(order))
            open_orders[order.customer].append(order)
        elif victim := _victim(order, open_orders[order.customer] if order.customer else []):
            open_orders[order.customer].remove(victim)
            steps.append(Cancel(victim.number, order.number))
        else:
            unmatched += 1
    return steps, unmatched


def _victim(cancellation: ShopOrder, earlier: list[ShopOrder]) -> ShopOrder | None:
    """The latest order of the customer with the very same lines, else the latest that shares a SKU."""
    latest = list(reversed(earlier))
    same = (order for order in latest if order.lines == cancellation.lines)
    sharing = (order for order in latest if order.lines.keys() & cancellation.lines.keys())
    return next(same, None) or next(sharing, None)


def _receipts(orders: Iterable[ShopOrder], canceled: set[str], seed: int) -> list[Receipt]:
    """Of each SKU somewhat less than is wanted; what sells best lies in both warehouses."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible example, no secret
    wanted: Counter[str] = Counter()
    for order in orders:
        if order.number not in canceled:
            wanted.update(order.lines)
    best = {sku for sku, _ in wanted.most_common(len(wanted) // 10)}
    bins = {warehouse: cycle(names) for warehouse, names in BINS.items()}
    receipts = []
    for sku, units in sorted(wanted.items()):
        received = max(1, round(units * draw.uniform(*SHARE_RECEIVED)))
        in_annex = round(received * SHARE_IN_ANNEX) if sku in best else 0
        parts = ((MAIN, received - in_annex), (ANNEX, in_annex))
        receipts += [Receipt(sku, warehouse, next(bins[warehouse]), part) for warehouse, part in parts if part]
    return receipts
