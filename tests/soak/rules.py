"""What is looked at, and what each may do."""

from tests.soak.verdicts import Rule

MIB = 2.0**20
KEPT = frozenset(
    {
        "orders.sales_order", "orders.allocation", "orders.history", "orders.idempotency_key",
        "allocator.movement",
        "inventory.stock_ledger", "inventory.stock_command", "inventory.idempotency_key",
    }
)  # fmt: skip
"""Orders, movements and stock commands are history that people ask for: nothing removes them. Replies to idempotency keys go after
seven days. All of them grow with the orders, and only with them."""

DEAD_ROWS, DEAD_SHARE = 20_000, 0.25
"""More of them than before that mean nothing: in a table that stays as large as it is, and in one that is kept."""

_BY_PREFIX = {
    "memory": Rule("flat", 16 * MIB, "B"),
    "cpu": Rule("flat", 0.05, "cores"),
    "latency": Rule("flat", 0.050, "s"),
    "lag": Rule("flat", 500, "records"),
    "outbox": Rule("flat", 500, "rows"),
    "queue": Rule("flat", 500, "lines"),
    "to be shipped": Rule("flat", 20, "orders"),
    "ended": Rule("flat", 1_000, ""),
    "table": Rule("flat", 8 * MIB, "B"),
    "index": Rule("flat", 8 * MIB, "B"),
    "dead": Rule("flat", DEAD_ROWS, "rows"),
    "dead share": Rule("flat", DEAD_SHARE, ""),
    "disk": Rule("kept", 64 * MIB, "B"),
    "orders": Rule("shown", 0, "orders"),
}
TITLES = {
    "memory": "memory of its own, bytes",
    "cpu": "CPU, cores",
    "latency": "intake to answer, seconds",
    "lag": "records behind, by state partition and group",
    "outbox": "outbox, rows",
    "queue": "waiting lines",
    "to be shipped": "orders that are to be shipped",
    "ended": "what ended and is not yet forgotten",
    "table": "tables, bytes",
    "index": "indexes, bytes",
    "dead": "dead rows",
    "dead share": "dead rows of tables that are kept, share",
    "disk": "disk, bytes",
    "orders": "orders a second",
}


def rule_of(name: str) -> Rule:
    """`name`: `prefix/what`."""
    prefix, _, what = name.partition("/")
    if prefix in {"table", "index"} and what in KEPT:
        return Rule("kept", 8 * MIB, "B")
    if name == "memory/kafka" or name == "disk/write-ahead log":
        return Rule("shown", 0, "B")  # bounded by settings of theirs: a heap of 512 MiB, a log of 1 GiB
    return _BY_PREFIX[prefix]


def dead_share(dead: float, live: float) -> float:
    """Of the rows of a table that is kept; of a smaller one, of as many as make `DEAD_ROWS` matter. Autovacuum looks once a minute: what a
    few hundred rows that are updated in place leave behind meanwhile is anything from a tenth to more than all of them."""
    return dead / max(live, DEAD_ROWS / DEAD_SHARE)
