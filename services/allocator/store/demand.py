"""`DemandStorage` on Postgres: table `allocator.demand`, new rows by COPY, changed ones by one UPDATE, no ORM."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.allocator.store.demand_ports import DemandRow

_COLUMNS = ("partition", *DemandRow._fields)
_DEADLINES = "SELECT deadline_at, demand FROM allocator.demand WHERE partition = $1 AND deadline_at IS NOT NULL"
_LOAD = """
SELECT demand, merchant, status, wish, version, attempt, deadline_at, closed_at, state
  FROM allocator.demand WHERE demand = ANY($2::text[]) AND partition = $1
"""
_UPDATE = """
UPDATE allocator.demand AS d
   SET status = n.status, wish = n.wish, version = n.version, attempt = n.attempt,
       deadline_at = n.deadline_at, closed_at = n.closed_at, state = n.state
  FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::timestamptz[], $9::json[])
       AS n (demand, status, wish, version, attempt, deadline_at, closed_at, state)
 WHERE d.demand = n.demand AND d.partition = $1
"""


class DemandRowsMissing(Exception):
    """Rows to be changed are not in this state partition: they were removed behind its back. Restore them; nothing was written."""


class PostgresDemandStorage:
    """See `demand_ports.DemandStorage`. Works inside the transaction that its connection has open."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """See the port. Reads an index of the rows that have one."""
        return [(row[0], row[1]) for row in await self._connection.fetch(_DEADLINES, partition)]

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """See the port."""
        return [DemandRow(*row) for row in await self._connection.fetch(_LOAD, partition, list(demands))]

    async def insert(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        await self._connection.copy_records_to_table(
            "demand", schema_name="allocator", columns=_COLUMNS, records=[(partition, *row) for row in rows]
        )

    async def update(self, partition: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        demand, _, *rest = map(list, zip(*rows, strict=True))
        done = await self._connection.execute(_UPDATE, partition, demand, *rest)
        if done != f"UPDATE {len(rows)}":
            raise DemandRowsMissing(f"demand/{partition}: {done} of {len(rows)}. {DemandRowsMissing.__doc__}")
