"""Orders as their merchant sees them: what may be done in which status, what then happens, and what the history says of it.

Orders know of their stock what they were told last: `learn` tells them. Between two commands it may or may not have been told.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.models.demands import Demands, Terms

AWAITING, PROCESSING, SHIPPED, DROPSHIPPED, CANCELED = "awaiting_fulfillment", "processing", "shipped", "dropshipped", "canceled"
STATUS_FOR = {
    "edit": AWAITING, "cancel": AWAITING, "allocate": AWAITING, "deallocate": AWAITING, "start-processing": AWAITING,
    "stop-processing": PROCESSING, "ship": PROCESSING, "dropship": AWAITING,
}  # fmt: skip
"""000-20, 000-21, 002-05, R3: the one status in which each action is offered; elsewhere the server refuses it."""
WAITS_FOR = {
    "edit": "picking", "allocate": "picking", "start-processing": "picking", "stop-processing": "consumption", "ship": "consumption",
}  # fmt: skip
"""What has been asked and not answered stands in the way of these; cancel, dropship and deallocate end it."""
WISHES = {
    "cancel": "closed", "dropship": "closed", "allocate": "stock", "deallocate": "nothing", "start-processing": "picking",
    "stop-processing": "stock", "ship": "consumption",
}  # fmt: skip
HAPPENINGS = {
    "cancel": "canceled", "dropship": "dropshipped", "allocate": "allocation_requested", "deallocate": "deallocation_requested",
    "start-processing": "processing_requested", "stop-processing": "processing_stopped", "ship": "shipping_requested",
}  # fmt: skip
NOT_READY = ("partially_allocated", "could_not_allocate", "overallocated")
STATUSES = {"released": "unallocated", "consumed": "unallocated"}

SOME_DAY = datetime(2026, 11, 1)
"""Where every warehouse has one bin, nobody asks which goods came first."""


@dataclass
class Order:
    """`body`: as it was made. `asked`: what of the allocator is not answered. `stock`: its allocation status as it was told, of which
    version of the order in `stock_of`. `happened`: its history but for changes of that status."""

    number: str
    body: Any
    terms: Terms
    wish: str
    version: int = 1
    status: str = AWAITING
    asked: str | None = None
    stock: str = "unallocated"
    stock_of: int = 0
    has_left: bool = False
    refused: bool = False
    reason: str | None = None
    happened: list[tuple[str, int]] = field(default_factory=list)

    @property
    def screen(self) -> str:
        """The one word for screens (R1)."""
        words = {"allocated": "Allocated", "could_not_allocate": "Out of Stock"}
        return words.get(self.stock, "Pending Allocation") if self.status == AWAITING else self.status.capitalize()


class Orders:
    """All orders of a merchant and the stock behind them."""

    def __init__(self, demands: Demands) -> None:
        self.demands = demands
        self.orders: dict[str, Order] = {}

    # ---------------------------------------------------------------- commands: how they are answered

    def create(self, number: str, body: Any, terms: Terms, *, allocate: bool) -> int:
        """The same number with the same content is the same order, with other content it is refused."""
        if number in self.orders:
            return 200 if self.orders[number].body == body else 409
        order = Order(number, body, terms, "stock" if allocate else "nothing", asked="allocation" if allocate else None)
        self.orders[number] = order
        order.happened.append(("created", 1))
        self._tell(order)
        return 200

    def edit(self, number: str, terms: Terms) -> int:
        """Change what is wanted; where stock was asked for it is asked for anew (002-08)."""
        order = self.orders[number]
        if self.refusal(order, "edit"):
            return 409
        order.terms = terms
        asked = "allocation" if order.wish == "stock" else order.asked if order.asked == "release" else None
        self._next(order, "edited", order.wish, asked)
        return 200

    def act(self, number: str, action: str, reason: str | None = None) -> int:
        """Any other action."""
        order = self.orders[number]
        if self.refusal(order, action):
            return 409
        asked: str | None = {"start-processing": "picking", "ship": "consumption"}.get(action, "allocation")
        if WISHES[action] in ("closed", "nothing"):
            asked = "release" if order.wish != "nothing" or order.asked == "release" else None
        status = {"cancel": CANCELED, "dropship": DROPSHIPPED, "stop-processing": AWAITING}.get(action, order.status)
        order.status, order.reason = status, reason if action == "cancel" else order.reason
        self._next(order, HAPPENINGS[action], WISHES[action], asked)
        return 200

    def receive(self, command: str, sku: str, warehouse: str, units: int) -> int:
        """Goods arrived, all in one bin of the warehouse."""
        self.demands.receive(command, sku, warehouse, "A-1", units, SOME_DAY)
        return 200

    def adjust(self, command: str, sku: str, warehouse: str, change: int) -> int:
        """Somebody found more or fewer."""
        self.demands.adjust(command, sku, warehouse, "A-1", change)
        return 200 if self.demands.answers[command] == "posted" else 409

    def refusal(self, order: Order, action: str) -> str:
        """Why the action is not offered now; empty where it is."""
        if order.status != STATUS_FOR[action]:
            return "status"
        if order.asked and WAITS_FOR.get(action) == order.asked:
            return "not answered yet"
        if action in ("start-processing", "deallocate") and order.wish == "nothing":
            return "nothing is reserved"
        if action == "start-processing" and order.stock in NOT_READY and order.stock_of >= order.version:
            return "not ready"
        return "some of it has left" if action == "stop-processing" and order.has_left else ""

    # ---------------------------------------------------------------- what the allocator says

    def learn(self) -> None:
        """Orders are told what came of what they asked; that may make them ask for more."""
        while any(self._learn(order) for order in self.orders.values()):
            pass

    def _learn(self, order: Order) -> bool:
        demand = self.demands.demands[order.number]
        answer = self.demands.answer(demand)
        order.stock, order.stock_of = STATUSES.get(answer, answer), demand.version
        order.has_left = any(self.demands.line(demand, sku).consumed for sku, _ in demand.terms.units)
        if order.asked == "picking" and demand.picking != "none":
            if demand.picking == "confirmed":
                order.status = PROCESSING
                return self._next(order, "processing_started", "picking", None)
            return self._next(order, "processing_refused", "stock", None, refused=True)
        if order.asked == "consumption" and demand.over == "consumed":
            order.status = SHIPPED
            return self._next(order, "shipped", "consumption", None)
        if order.asked == "consumption" and demand.refused:
            return self._next(order, "shipping_refused", "picking", None, refused=True)
        if order.asked == "allocation" or (order.asked == "release" and order.stock == "unallocated"):
            order.asked = None
        return False

    def _next(self, order: Order, happening: str, wish: str, asked: str | None, *, refused: bool = False) -> bool:
        """The order one version on."""
        order.version += 1
        order.wish, order.asked, order.refused = wish, asked, refused
        order.happened.append((happening, order.version))
        self._tell(order)
        return True

    def _tell(self, order: Order) -> None:
        self.demands.want(order.number, order.version, order.wish, order.terms)
