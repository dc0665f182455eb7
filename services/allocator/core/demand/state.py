"""What the demand side remembers of one demand. Changed in place by the fold: a batch that is lost is a batch never folded."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.allocator.core.policy import Terms
from shared.schemas.events import Outcome
from shared.schemas.values import Wish

Row = tuple[str, str]
"""(SKU, alternative): under this and the demand's id the stock side keeps one row."""


class Status(StrEnum):
    """Where the demand's present attempt stands.

    RELEASED: none; it holds nothing and waits for its owner. LINES: each line was sent to be reserved on its own; what is missing
    waits at the stock side. TRYING: a chain is under way. WAITING: the chain found too little at one SKU and waits there. BACKOFF: the
    chain outlived its deadline and is tried again later. ALLOCATED: the chain succeeded. CLOSED, CONSUMED: for good. FORGETTING: it ended
    so long ago that the stock side was told to forget it; when that has happened, the demand is removed.
    """

    RELEASED = "released"
    LINES = "lines"
    TRYING = "trying"
    WAITING = "waiting"
    BACKOFF = "backoff"
    ALLOCATED = "allocated"
    CLOSED = "closed"
    CONSUMED = "consumed"
    FORGETTING = "forgetting"


class Picking(StrEnum):
    """How far the demand is with leaving the warehouse.

    ASKED: wished, and put off until the attempt has ended. MARKING: the marks are under way. CONFIRMED: marked at every SKU. REFUSED:
    one SKU refused, the others are unmarked. CONSUMING: consumption is under way; some SKUs may have left already.
    """

    NONE = "none"
    ASKED = "asked"
    MARKING = "marking"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    CONSUMING = "consuming"


NO_ROWS: frozenset[Row] = frozenset()


class Baton(NamedTuple):
    """A baton that this demand has and must give back."""

    row: Row
    number: int


@dataclass(slots=True)
class DemandState:
    """One demand. `attempt` is numbered here and nowhere else.

    `inherited`: rows of the present chain where an older attempt may have left something. `waiting_at`: where the chain fell short and
    waits. `releasing`: rows that were told to let go, with the attempt that told them, until they confirm. `seen`: the newest outcome
    of every row that the stock side has. `mark`, `command`: numbers of the last marks and of the last consumption asked for: the
    demand's version then. `refusals`: SKU to why picking or consumption was refused there.
    `told`: digest of what was published last, as `told_version`. `traceparent`: the trace that the present version belongs to, which
    decides nothing and goes with what is told.
    """

    id: str
    merchant: str
    terms: Terms
    version: int = 0
    wish: Wish = Wish.NOTHING
    status: Status = Status.RELEASED
    attempt: int = 0
    expiries: int = 0
    deadline_at: datetime | None = None
    closed_at: datetime | None = None
    inherited: frozenset[Row] = NO_ROWS
    waiting_at: frozenset[Row] = NO_ROWS
    releasing: dict[Row, int] = field(default_factory=dict)
    batons: tuple[Baton, ...] = ()
    seen: dict[Row, Outcome] = field(default_factory=dict)
    picking: Picking = Picking.NONE
    mark: int | None = None
    command: int | None = None
    refusals: dict[str, str] = field(default_factory=dict)
    told_version: int = 0
    told: str = ""
    traceparent: str = ""

    @property
    def ended(self) -> bool:
        """Whether this is for good: the owner closed it, or all has left."""
        return self.status is Status.CLOSED or self.status is Status.CONSUMED or self.status is Status.FORGETTING

    def holding(self) -> frozenset[Row]:
        """The rows that may hold or wait under the present attempt."""
        status = self.status
        if status is Status.LINES or status is Status.TRYING or status is Status.ALLOCATED:
            return frozenset(self.rows())
        return self.waiting_at

    def rows(self) -> list[Row]:
        """The rows of the present terms, in the order of a chain."""
        alternative = self.terms.alternative
        return [(line.sku, alternative) for line in self.terms.lines]

    def answered(self) -> bool:
        """Whether nothing that was sent for the present attempt is still undecided."""
        if self.releasing or self.status is Status.TRYING:
            return False
        if self.status is Status.LINES or self.status is Status.ALLOCATED:
            lines, seen, alternative, attempt = self.terms.lines, self.seen, self.terms.alternative, self.attempt
            if len(seen) < len(lines):
                return False
            for sku, _, _ in lines:
                outcome = seen.get((sku, alternative))
                if outcome is None or outcome.attempt != attempt or outcome.pending:
                    return False
        return True

    def missing_at(self, sku: str, units: int) -> str | None:
        """Why the SKU can not be picked now, with the remedy; None if it can."""
        outcome = self.seen.get((sku, self.terms.alternative))
        if outcome is None or outcome.attempt != self.attempt or not outcome.reserved_units:
            return f"{sku}: none of {units} units reserved; receive stock or wait for it, then ask again"
        if outcome.flagged_units:
            return (
                f"{sku}: {outcome.flagged_units} of {outcome.reserved_units} reserved units have no stock behind them any more; "
                "receive or count stock, or deallocate and allocate again"
            )
        if outcome.reserved_units < units:
            return (
                f"{sku}: {outcome.reserved_units} of {units} units reserved, {outcome.waiting_units} wait for stock; "
                "wait for them or split the order, then ask again"
            )
        return None
