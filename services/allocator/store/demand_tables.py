"""The demand side's tables, for queries off the hot path. Their definition is migrations 0003, 0007 and 0013; a test compares the two."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, PrimaryKeyConstraint, Table, Text

metadata = MetaData(schema="allocator")

demand = Table(
    "demand",
    metadata,
    Column("demand", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("deadline_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False),
    Column("page", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("demand", name="demand_pkey"),
)
Index("demand_ended", demand.c.partition, demand.c.closed_at, postgresql_where=demand.c.closed_at.isnot(None))
Index("demand_deadline", demand.c.partition, demand.c.deadline_at, postgresql_where=demand.c.deadline_at.isnot(None))

demand_page = Table(
    "demand_page",
    metadata,
    Column("partition", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("demands", Text, nullable=False),
    PrimaryKeyConstraint("partition", "number", name="demand_page_pkey"),
)
