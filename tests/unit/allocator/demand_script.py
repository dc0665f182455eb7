"""Runs a table of what comes in and what goes out, one batch per line: `messages -> messages`, several with `;` between them.

In:   `want 2 stock A=2 B=3 [all|whole] [priority=5] [at=w,w2]`   version 2 of the demand, its wish, its lines
      `A#1 reserved=2 waiting=1 flagged=1 consumed=2 pending mark=2 complete|short|unpicked=2|unconsumed=3`   an outcome of attempt 1
      `wake A#1 7`   baton 7          `after 30`   seconds pass before the batch
Out:  `line A=2 #1`, `reduce A@w=1 #2`, `chain A=2 B=3 @w #1`, `release A#2`, `activate A@w#1`, `mark A#1 2`, `unmark A#1 2`,
      `consume A#1 3`, `baton A@w#2 7 served|failed|unused`, `told 2 allocated A=2/3+1w` (demand version, outcome, then per SKU
      reserved/wanted, `!1` flagged, `+1w` waiting, `+2c` consumed; `picking …` where it is not none)

Outcomes are numbered as they stand in the table; those of an all-or-nothing demand name its warehouse by themselves.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.allocator.core.demand.fold import DemandFold
from services.allocator.core.demand.state import DemandState
from services.allocator.core.policy import DemandSettings, PolicySettings, Timing
from services.allocator.store.demand_encoding import from_row, to_row
from shared.schemas.commands import Activate, Consume, MarkPicking, Release, ReserveChain, ReserveLine, ReturnBaton, UnmarkPicking
from shared.schemas.events import AllocatedLine, AllocationChanged, Demand, DemandEvent, OrderChanged, Outcome, Wake
from shared.schemas.values import Fill, Line, Wish

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEMAND = "sales-order/acme/SO-1"
SETTINGS = DemandSettings(
    policy=PolicySettings(default_warehouses=("w",)),
    timing=Timing(attempt=timedelta(seconds=30), pause=timedelta(seconds=5)),
)
_FILLS = {"all": Fill.ALL_OR_NOTHING, "whole": Fill.WHOLE_LINES}
_UNITS = {
    "reserved": "reserved_units",
    "waiting": "waiting_units",
    "flagged": "flagged_units",
    "consumed": "consumed_units",
    "mark": "mark",
}
_REFUSALS = {"unpicked": "picking_refused", "unconsumed": "consumption_refused"}
_SERVED = {True: "served", False: "failed", None: "unused"}


class Demands:
    """The demand core and what it was told, between batches stored and read back as a row."""

    def __init__(self, settings: DemandSettings = SETTINGS) -> None:
        self.settings, self.now = settings, NOON
        self.states: dict[str, DemandState] = {}
        self.sends: list[Any] = []
        self.outcomes = 0

    def play(self, script: str) -> None:
        """Run the table; the first line whose sends differ fails with both."""
        for row in filter(None, map(str.strip, script.strip().splitlines())):
            incoming, _, expected = row.partition("->")
            sent = "; ".join(map(written, self.batch(incoming)))
            assert sent == " ".join(expected.split()), f"\n  in    {incoming}\n  sent  {sent}\n  table {expected.strip()}"

    def batch(self, incoming: str) -> list[Any]:
        """The sends of one batch, written as in the table."""
        return self.fold([message for part in incoming.split(";") if (message := self._read(part.split()))])

    def fold(self, messages: list[DemandEvent]) -> list[Any]:
        """The sends of one batch of messages; deadlines that have passed are taken behind them."""
        self.states = {demand: from_row(to_row(state)) for demand, state in self.states.items()}
        fold = DemandFold(self.states, self.now, self.settings.policy, self.settings.timing)
        fold.fold(messages)
        fold.expire([demand for demand, state in self.states.items() if state.deadline_at and state.deadline_at <= self.now])
        fold.tell()
        self.sends += fold.sends
        return fold.sends

    @property
    def state(self) -> DemandState:
        """The one demand."""
        return self.states[DEMAND]

    def told(self) -> AllocationChanged:
        """What was told last."""
        return next(send for send in reversed(self.sends) if isinstance(send, AllocationChanged))

    def _read(self, words: list[str]) -> DemandEvent | None:
        match words:
            case ["after", seconds]:
                self.now += timedelta(seconds=float(seconds))
                return None
            case ["want", version, wish, *rest]:
                return want(int(version), Wish(wish), rest)
            case ["wake", place, baton]:
                sku, attempt = place.split("#")
                return Wake(demand=DEMAND, merchant="acme", sku=sku, alternative="w", attempt=int(attempt), baton=int(baton))
            case [place, *rest]:
                self.outcomes += 1
                return outcome(place, rest, self.outcomes, self.state.terms.alternative)
        return None


def want(version: int, wish: Wish, words: list[str]) -> OrderChanged:
    """One version of the demand."""
    options = dict(word.split("=") for word in words if word.startswith(("priority=", "at=")))
    lines = tuple(Line(sku=sku, units=int(units)) for sku, units in (word.split("=") for word in words if word[0].isupper()))
    demand = Demand(
        id=DEMAND,
        merchant="acme",
        version=version,
        wish=wish,
        lines=lines,
        fill=next((_FILLS[word] for word in words if word in _FILLS), None),
        priority=int(options.get("priority", 0)),
        demanded_at=NOON,
        warehouses=tuple(options["at"].split(",")) if "at" in options else (),
    )
    return OrderChanged(demand=demand, number="SO-1", status="awaiting_fulfillment", changed_at=NOON)


def outcome(place: str, words: list[str], version: int, alternative: str) -> Outcome:
    """One outcome. `A@w2#1` names another alternative than the demand's present one, `A@#1` none."""
    where, _, attempt = place.partition("#")
    sku, at, named = where.partition("@")
    fields: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name in _UNITS:
            fields[_UNITS[name]] = int(value)
        elif name in _REFUSALS:
            fields |= {"note": _REFUSALS[name], "about": int(value)}
        elif name == "pending":
            fields["pending"] = True
        elif name:
            fields["note"] = name
    return Outcome(
        demand=DEMAND, merchant="acme", sku=sku, alternative=named if at else alternative, attempt=int(attempt), version=version, **fields
    )


def written(message: Any) -> str:
    """A send as the table writes it."""
    match message:
        case ReserveLine(reduce=True):
            return f"reduce {_row(message)}={message.units} #{message.attempt}"
        case ReserveLine():
            return f"line {_row(message)}={message.units} #{message.attempt}"
        case ReserveChain():
            stops = " ".join(f"{stop.sku}={stop.units}" for stop in message.stops)
            return f"chain {stops} @{message.alternative} #{message.attempt}"
        case Release() | Activate():
            return f"{message.type} {_row(message)}#{message.attempt}"
        case ReturnBaton():
            return f"baton {_row(message)}#{message.attempt} {message.baton} {_SERVED[message.served]}"
        case MarkPicking() | UnmarkPicking():
            return f"{message.type.removesuffix('_picking')} {_row(message)}#{message.attempt} {message.mark}"
        case Consume():
            return f"consume {_row(message)}#{message.attempt} {message.command}"
        case AllocationChanged():
            picking = "" if message.picking == "none" else f" picking {message.picking}"
            return f"told {message.demand_version} {message.outcome} {' '.join(map(_line, message.lines))}{picking}"
    raise AssertionError(message)


def _row(message: Any) -> str:
    return f"{message.sku}@{message.alternative}" if message.alternative else str(message.sku)


def _line(line: AllocatedLine) -> str:
    parts = [f"{line.sku}={line.reserved_units}/{line.wanted_units}"]
    parts += [f"!{line.flagged_units}"] if line.flagged_units else []
    parts += [f"+{line.waiting_units}w"] if line.waiting_units else []
    parts += [f"+{line.consumed_units}c"] if line.consumed_units else []
    return "".join(parts)
