"""What the demand side needs of storage: a row for every demand that rests, pages of those that wait for answers. Postgres and memory
implement it; one contract suite runs on both."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class DemandRow(NamedTuple):
    """One demand as it is stored. `state` is JSON of what the other columns do not say (`demand_encoding`)."""

    demand: str
    merchant: str
    status: str
    wish: str
    version: int
    attempt: int
    deadline_at: datetime | None
    closed_at: datetime | None
    state: str


class Ended(NamedTuple):
    """A demand that is closed or consumed. `page`: what pages up to this one say of it is outdated."""

    closed_at: datetime
    demand: str
    page: int


class Page(NamedTuple):
    """What one batch left waiting for answers: demands without deadline that are not closed. Pages of a state partition are numbered
    from 1; the newest is kept, blank if need be, until a newer one is written, so that no number is given twice."""

    number: int
    rows: Sequence[DemandRow]


class Waiting(NamedTuple):
    """A demand whose newest state stands on a page; `has_row`: an older one is also stored as its row."""

    page: int
    has_row: bool
    row: DemandRow


class DemandStorage(Protocol):
    """The demands of one state partition, over that partition's connection and inside its transactions."""

    async def deadlines(self, partition: int) -> list[tuple[datetime, str]]:
        """Every demand of the partition whose row has a deadline, in no promised order."""

    async def load(self, partition: int, demands: Sequence[str]) -> list[DemandRow]:
        """The rows of those of the demands that have one in the partition, in no promised order."""

    async def ended(self, partition: int, most: int) -> list[Ended]:
        """The demands that ended longest ago and are not being forgotten yet, at most so many, in order of (closed at, demand)."""

    async def insert(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """Store demands that have no row. An existing one is an error: nothing is stored. `page`: the newest; what stands there or on
        older ones of these demands is outdated now."""

    async def update(self, partition: int, page: int, rows: Sequence[DemandRow]) -> None:
        """Store demands that have a row. A missing one is an error: nothing is stored. `page` as above."""

    async def pages(self, partition: int) -> list[Page]:
        """Every page of the partition, oldest first."""

    async def outdated_to(self, partition: int, demands: Sequence[str]) -> dict[str, int]:
        """Those of the demands that have a row, with the page that was given when it was stored."""

    async def turn(self, partition: int, page: Page | None, over: Sequence[int]) -> None:
        """Add a page or write it anew, and remove those that are over."""

    async def forget(self, partition: int, demands: Sequence[str]) -> None:
        """Remove the rows of demands that have one. A missing one is an error."""


def newest(pages: Iterable[Page]) -> dict[str, tuple[int, DemandRow]]:
    """Of every demand that stands on pages, the newest one and what it says."""
    return {row.demand: (page.number, row) for page in pages for row in page.rows}


def not_outdated(found: Mapping[str, tuple[int, DemandRow]], outdated_to: Mapping[str, int]) -> list[Waiting]:
    """What stands on pages and is newer than the demand's row."""
    return [Waiting(page, demand in outdated_to, row) for demand, (page, row) in found.items() if page > outdated_to.get(demand, 0)]
