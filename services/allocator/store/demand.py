"""`DemandStorage` on Postgres: table `allocator.demand`, new rows by COPY, changed ones by one UPDATE; table `allocator.demand_page`, a
row for all that wait. No ORM."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from services.allocator.store.array_text import any_texts, array, texts
from services.allocator.store.demand_ports import DemandRow, Ended, Page

_COLUMNS = ("partition", "page", *DemandRow._fields)
_DEADLINES = "SELECT deadline_at, demand FROM allocator.demand WHERE partition = $1 AND deadline_at IS NOT NULL"
_ENDED = """
SELECT closed_at, demand, page FROM allocator.demand
 WHERE partition = $1 AND closed_at IS NOT NULL AND status <> 'forgetting' ORDER BY closed_at, demand LIMIT $2
"""
_FORGET = "DELETE FROM allocator.demand WHERE demand = ANY($2::text[]) AND partition = $1"
_LOAD = """
SELECT demand, merchant, status, wish, version, attempt, deadline_at, closed_at, state
  FROM allocator.demand WHERE demand = ANY(string_to_array($2, ' ')) AND partition = $1
"""
"""An id holds no space. The driver would look at every element of an array three times."""
_UPDATE = """
UPDATE allocator.demand AS d
   SET status = n.status, wish = n.wish, version = n.version, attempt = n.attempt,
       deadline_at = n.deadline_at, closed_at = n.closed_at, state = n.state, page = $2
  FROM unnest($3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[], $7::text::bigint[], $8::text::timestamptz[],
              $9::text::timestamptz[], $10::text::text[])
       AS n (demand, status, wish, version, attempt, deadline_at, closed_at, state)
 WHERE d.demand = n.demand AND d.partition = $1
"""
_PAGES = "SELECT number, demands FROM allocator.demand_page WHERE partition = $1 ORDER BY number"
_OUTDATED_TO = "SELECT demand, page FROM allocator.demand WHERE demand = ANY($2::text[]) AND partition = $1"
_REMOVE = "DELETE FROM allocator.demand_page WHERE partition = $1 AND number = ANY($2::bigint[])"
_TURN = f"""
WITH over AS ({_REMOVE})
INSERT INTO allocator.demand_page (partition, number, demands) VALUES ($1, $3, $4)
    ON CONFLICT (partition, number) DO UPDATE SET demands = excluded.demands
"""

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(list[DemandRow]).decode


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
        return [DemandRow(*row) for row in await self._connection.fetch(_LOAD, partition, " ".join(demands))]

    async def ended(self, partition: int, most: int) -> list[Ended]:
        """See the port. Reads the beginning of an index of those that ended."""
        return [Ended(*row) for row in await self._connection.fetch(_ENDED, partition, most)]

    async def insert(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        await self._connection.copy_records_to_table(
            "demand", schema_name="allocator", columns=_COLUMNS, records=[(partition, page, *row) for row in rows]
        )

    async def update(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        demand, _, status, wish, version, attempt, deadline_at, closed_at, state = zip(*rows, strict=True)
        done = await self._connection.execute(
            _UPDATE, partition, page, texts(demand), texts(status), texts(wish), array(version), array(attempt),
            array(deadline_at), array(closed_at), any_texts(state),
        )  # fmt: skip
        if done != f"UPDATE {len(rows)}":
            raise DemandRowsMissing(f"demand/{partition}: {done} of {len(rows)}. {DemandRowsMissing.__doc__}")

    async def pages(self, partition: int) -> list[Page]:
        """See the port."""
        stored = await self._connection.fetch(_PAGES, partition)
        return [Page(number, _decode(demands)) for number, demands in stored]

    async def outdated_to(self, partition: int, demands: Sequence[str]) -> dict[str, int]:
        """See the port."""
        return {row[0]: row[1] for row in await self._connection.fetch(_OUTDATED_TO, partition, list(demands))}

    async def turn(self, partition: int, page: Page | None, over: Sequence[int]) -> None:
        """See the port. A page is one text: a thousand demands at the price of thirty rows."""
        if page is None:
            await self._connection.execute(_REMOVE, partition, list(over))
            return
        assert page.number not in over, "the newest page stays"
        assert all(row.deadline_at is row.closed_at is None for row in page.rows), "what waits for answers has no times"
        await self._connection.execute(_TURN, partition, list(over), page.number, _encode(page.rows).decode())

    async def forget(self, partition: int, demands: Sequence[str]) -> None:
        """See the port."""
        done = await self._connection.execute(_FORGET, partition, list(demands))
        if done != f"DELETE {len(demands)}":
            raise DemandRowsMissing(f"demand/{partition}: {done} of {len(demands)}. {DemandRowsMissing.__doc__}")
