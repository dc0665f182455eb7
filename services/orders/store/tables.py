"""The tables as SQLAlchemy knows them, for queries off the hot path. The migrations make them; a test compares the two."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, and_, func, literal_column
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from services.orders.store.rows import ORDER_COLUMNS
from shared import dead_letters

metadata = MetaData(schema="orders")
_TYPES: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "bigint": BigInteger(),
    "integer": Integer(),
    "timestamptz": DateTime(timezone=True),
    "jsonb": JSONB(),
}

sales_order = Table(
    "sales_order", metadata, *(Column(name, _TYPES[kind]) for name, kind in ORDER_COLUMNS.items()), Column("first_entry", Text)
)
sku_keys = func.string_to_array(sales_order.c.sku_keys, literal_column("','"), type_=ARRAY(Text))
"""The SKUs of an order's lines, as its index has them."""
allocation = Table(
    "allocation",
    metadata,
    Column("merchant", Text),
    Column("number", Text),
    Column("status", Text),
    Column("version", BigInteger),
    Column("demand_version", BigInteger),
    Column("picking", Text),
    Column("lines", Text),
    Column("first_entry", Text),
    Column("first_entry_id", BigInteger),
)
answered_order = sales_order.outerjoin(
    allocation, and_(allocation.c.merchant == sales_order.c.merchant, allocation.c.number == sales_order.c.number)
)
"""Orders beside what the allocator last said of them, if anything."""
known = (
    func.coalesce(allocation.c.status, "unallocated").label("allocation_status"),
    func.coalesce(allocation.c.version, 0).label("allocation_version"),
    func.coalesce(allocation.c.demand_version, 0).label("allocation_demand_version"),
    func.coalesce(allocation.c.picking, "none").label("picking"),
)
"""What a standing has of it."""
history = Table(
    "history",
    metadata,
    Column("merchant", Text),
    Column("number", Text),
    Column("id", BigInteger),
    Column("happening", Text),
    Column("version", BigInteger),
    Column("at", DateTime(timezone=True)),
    Column("by", Text),
    Column("details", JSONB),
)
number_counter = Table("number_counter", metadata, Column("merchant", Text), Column("month", Text), Column("last", BigInteger))
allocation_run = Table(
    "allocation_run",
    metadata,
    Column("merchant", Text),
    Column("id", Text),
    Column("version", BigInteger),
    Column("action", Text),
    Column("total", Integer),
    Column("ended", Integer),
    Column("refused", Integer),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("ended_at", DateTime(timezone=True)),
)
allocation_run_order = Table(
    "allocation_run_order",
    metadata,
    Column("run", Text),
    Column("position", Integer),
    Column("merchant", Text),
    Column("number", Text),
    Column("state", Text),
    Column("waits_for", Integer),
    Column("releases", ARRAY(Integer)),
    Column("result", Text),
    Column("detail", Text),
)
dead_letter = dead_letters.table(metadata, Column("merchant", Text), Column("settled_by", Text))
