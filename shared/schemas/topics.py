"""The topics: names, who writes them, what they carry, how long it is kept.

`internal`: written by the allocator only. There an undecodable or newer record halts its partition; on the others it is a dead letter.
`lead`: the topic whose partition numbers say which state partitions of a side a process owns.
"""

from dataclasses import dataclass

PREFIX = "earmark."
RETENTION_DAYS = 30
"""Longer than the longest outage plus the backup window: a reader that comes back after that has lost records."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created. `side`: its partition count is that of the stock or of the demand partitions."""

    name: str
    side: str
    internal: bool = False
    compacted: bool = False


ORDER_INTAKE = Topic(PREFIX + "order-intake", "demand")
ORDERS = Topic(PREFIX + "orders", "demand")
WORK_ORDERS = Topic(PREFIX + "work-orders", "demand")
WAREHOUSE_DOCUMENTS = Topic(PREFIX + "warehouse-documents", "demand")
INVENTORY = Topic(PREFIX + "inventory", "stock")
RESERVATIONS = Topic(PREFIX + "reservations", "stock", internal=True)
OUTCOMES = Topic(PREFIX + "outcomes", "demand", internal=True)
ALLOCATIONS = Topic(PREFIX + "allocations", "demand")
MOVEMENTS = Topic(PREFIX + "movements", "stock")
STOCK_LEVELS = Topic(PREFIX + "stock-levels", "stock", compacted=True)
DEAD_LETTERS = Topic(PREFIX + "dead-letters", "demand")

TOPICS = (
    ORDER_INTAKE,
    ORDERS,
    WORK_ORDERS,
    WAREHOUSE_DOCUMENTS,
    INVENTORY,
    RESERVATIONS,
    OUTCOMES,
    ALLOCATIONS,
    MOVEMENTS,
    STOCK_LEVELS,
    DEAD_LETTERS,
)
BY_NAME = {topic.name: topic for topic in TOPICS}
