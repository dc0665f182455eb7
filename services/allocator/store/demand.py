"""`DemandStorage` on Postgres: table `allocator.demand`, new rows by COPY, changed ones by one UPDATE; table `allocator.demand_page`, a
row for all that wait. No ORM."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from services.allocator.store.array_text import any_texts, array, texts
from services.allocator.store.demand_ports import DemandRow, Ended, Page
from shared.partitions.link import LOAD, SAVE, Copy, Link, Statement, columns

_COLUMNS = ("partition", "page", *DemandRow._fields)
_DEADLINES = "SELECT deadline_at, demand FROM allocator.demand WHERE partition = $1 AND deadline_at IS NOT NULL"
_ENDED = """
SELECT closed_at, demand, page FROM allocator.demand
 WHERE partition = $1 AND closed_at IS NOT NULL AND status <> 'forgetting' ORDER BY closed_at, demand LIMIT $2
"""
_FORGET = """
DELETE FROM allocator.demand AS d USING unnest($1::text[], $2::integer[]) AS n (demand, partition)
 WHERE d.demand = n.demand AND d.partition = n.partition
"""
_LOAD = """
SELECT k.demand, k.partition, d.merchant, d.status, d.wish, d.version, d.attempt, d.deadline_at, d.closed_at, d.state
  FROM unnest($1::text::text[], $2::text::integer[]) AS k (demand, partition)
 CROSS JOIN LATERAL (SELECT * FROM allocator.demand AS s WHERE s.demand = k.demand AND s.partition = k.partition OFFSET 0) AS d
"""
_UPDATE = """
UPDATE allocator.demand AS d
   SET status = n.status, wish = n.wish, version = n.version, attempt = n.attempt,
       deadline_at = n.deadline_at, closed_at = n.closed_at, state = n.state, page = n.page
  FROM unnest($1::text::integer[], $2::text::bigint[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[],
              $7::text::bigint[], $8::text::timestamptz[], $9::text::timestamptz[], $10::text::text[])
       AS n (partition, page, demand, status, wish, version, attempt, deadline_at, closed_at, state)
 WHERE d.demand = n.demand AND d.partition = n.partition
"""
_PAGES = "SELECT number, demands FROM allocator.demand_page WHERE partition = $1 ORDER BY number"
_OUTDATED_TO = "SELECT demand, page FROM allocator.demand WHERE demand = ANY($2::text[]) AND partition = $1"
_TURN = """
WITH over AS (
    DELETE FROM allocator.demand_page AS p USING unnest($1::integer[], $2::bigint[]) AS n (partition, number)
     WHERE (p.partition, p.number) = (n.partition, n.number))
INSERT INTO allocator.demand_page (partition, number, demands)
SELECT * FROM unnest($3::integer[], $4::bigint[], $5::text[])
    ON CONFLICT (partition, number) DO UPDATE SET demands = excluded.demands
"""

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(list[DemandRow]).decode


class DemandRowsMissing(Exception):
    """Rows to be changed are not in this state partition: they were removed behind its back. Restore them; nothing was written."""


class _Turn(NamedTuple):
    """What becomes of the pages of one state partition."""

    partition: int
    over: Sequence[int]
    page: Page | None


def _turns(turns: Sequence[_Turn]) -> list[list[Any]]:
    """A page is one text: a thousand demands at the price of thirty rows."""
    over = [(turn.partition, number) for turn in turns for number in turn.over]
    pages = [(turn.partition, page.number, _encode(page.rows).decode()) for turn in turns if (page := turn.page) is not None]
    return [*columns(list, list)(over), *columns(list, list, list)(pages)]


_load = Statement(LOAD, _LOAD, columns(texts, array), width=2)
_turn = Statement(SAVE, _TURN, _turns)
_insert = Copy(SAVE + 1, "demand", _COLUMNS)
_update = Statement(SAVE + 2, _UPDATE, columns(array, array, texts, texts, texts, *4 * (array,), any_texts), missing=DemandRowsMissing)
_forget = Statement(SAVE + 3, _FORGET, columns(list, list), missing=DemandRowsMissing)


class PostgresDemandStorage:
    """See `demand_ports.DemandStorage`. Works inside the batch that its link has open."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """See the port. Reads an index of the rows that have one."""
        return [(row[0], row[1]) for row in await self._fetch(_DEADLINES, partition)]

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """See the port."""
        found = await self._link.through.fetch(_load, [(demand, partition) for demand in dict.fromkeys(demands)])
        return [DemandRow(row[0], *row[2:]) for row in found]

    async def ended(self, partition: int, most: int) -> list[Ended]:
        """See the port. Reads the beginning of an index of those that ended."""
        return [Ended(*row) for row in await self._fetch(_ENDED, partition, most)]

    async def insert(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        await self._link.through.copy(_insert, [(partition, page, *row) for row in rows])

    async def update(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """See the port."""
        await self._link.through.write(_update, [(partition, page, row[0], *row[2:]) for row in rows])

    async def pages(self, partition: int) -> list[Page]:
        """See the port."""
        return [Page(number, _decode(demands)) for number, demands in await self._fetch(_PAGES, partition)]

    async def outdated_to(self, partition: int, demands: Sequence[str]) -> dict[str, int]:
        """See the port."""
        return {row[0]: row[1] for row in await self._fetch(_OUTDATED_TO, partition, list(demands))}

    async def turn(self, partition: int, page: Page | None, over: Sequence[int]) -> None:
        """See the port."""
        if page is not None:
            assert page.number not in over, "the newest page stays"
            assert all(row.deadline_at is row.closed_at is None for row in page.rows), "what waits for answers has no times"
        await self._link.through.write(_turn, [_Turn(partition, over, page)])

    async def forget(self, partition: int, demands: Sequence[str]) -> None:
        """See the port."""
        await self._link.through.write(_forget, [(demand, partition) for demand in demands])

    async def _fetch(self, query: str, *given: Any) -> list[Any]:
        """Of this state partition alone."""
        return list(await self._link.through.serially(lambda connection: connection.fetch(query, *given)))
