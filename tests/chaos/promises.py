"""What the clients were promised: for every order the last accepted word. Held against the product when it is quiet again."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Promise:
    """One order, as its client knows it: the version that was answered last, and what it wants."""

    lines: dict[str, int]
    """Empty where nobody knows: which version a channel's cancel met, hangs on their order of arrival."""
    version: int = 0
    """0: the order came by Kafka, where versions are the channel's."""
    is_canceled: bool = False
    wants_stock: bool = True

    def broken(self, found: Mapping[str, Any] | None) -> str:
        """What is otherwise than it was promised; empty where nothing is."""
        if found is None:
            return "was accepted and is gone"
        lines = {line["sku"]: line["units"] for line in found["lines"]}
        wanted = "allocated" if self.wants_stock and not self.is_canceled else "unallocated"
        if self.version and found["version"] != self.version:
            return f"is at version {found['version']}, {self.version} was answered last"
        if (found["status"] == "canceled") != self.is_canceled:
            return f"is {found['status']}; canceled should be {self.is_canceled}"
        if self.lines and lines != self.lines:
            return f"has lines {lines}, should be {self.lines}"
        if found["pending"] is not None or found["allocation_status"] != wanted:
            return f"is {found['allocation_status']} with {found['pending']} pending, should be {wanted}: enough stock was received"
        return ""


@dataclass
class Promises:
    """Of all clients of a run."""

    orders: dict[str, Promise] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    """What was asked and answered, by kind, for the summary."""
    faults: list[str] = field(default_factory=list)
    """What no client may ever see: a repeat answered otherwise, a fault of the service."""

    def units_by_sku(self) -> Counter[str]:
        """What all open orders want together."""
        wanted: Counter[str] = Counter()
        for promise in self.orders.values():
            if promise.wants_stock and not promise.is_canceled:
                wanted.update(promise.lines)
        return wanted
