"""What a demo found out, as values: the screen shows them, `--json` prints them. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from services.console.demo.plan import Plan
from services.console.demo.tally import Tally, percentile

Cell = str | int


@dataclass(frozen=True, slots=True)
class Summary:
    """The main run. `statuses`: orders by what the allocator last said of them (released: canceled). Latency is measured per order,
    from the moment its request is sent to the moment its decision is read from Kafka."""

    orders: int
    canceled: int
    order_lines: int
    statuses: Mapping[str, int]
    unanswered: tuple[str, ...]
    reservations: int
    reserved_units: int
    wanted_units: int
    received_units: int
    events: int
    repeated_events: int
    seconds: float
    orders_per_second: float
    lines_per_second: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    left_out: Mapping[str, int]
    refused: Mapping[str, int]


def summary(plan: Plan, tally: Tally, refused: Mapping[str, int]) -> Summary:
    """What came of the orders; `refused`: how many were refused, by the reason given."""
    latencies = tally.latencies_ms
    seconds = max(tally.last_decided_at - tally.first_posted_at, 1e-9)
    lines = sum(len(order.lines) for order in plan.orders)
    reservations, reserved_units = tally.reservations
    return Summary(
        orders=len(tally.orders),
        canceled=len(plan.canceled),
        order_lines=lines,
        statuses=tally.outcomes,
        unanswered=tuple(tally.unsettled),
        reservations=reservations,
        reserved_units=reserved_units,
        wanted_units=tally.wanted_units,
        received_units=sum(receipt.units for receipt in plan.receipts),
        events=tally.events,
        repeated_events=tally.repeats,
        seconds=round(seconds, 3),
        orders_per_second=round(len(latencies) / seconds, 1),
        lines_per_second=round(lines / seconds, 1),
        latency_p50_ms=round(percentile(latencies, 0.5), 1),
        latency_p99_ms=round(percentile(latencies, 0.99), 1),
        latency_max_ms=round(latencies[-1] if latencies else 0.0, 1),
        left_out=plan.left_out,
        refused=refused,
    )


@dataclass(frozen=True, slots=True)
class Story:
    """One of the three stories. `told`: what is done, before; `ended`: what came of it. `complaints`: what did not go as told.
    `skipped`: why it could not be shown with these orders."""

    name: str
    title: str
    told: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    ended: str = ""
    milliseconds: float = 0.0
    facts: Mapping[str, Cell] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    skipped: str = ""

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it: every row an object."""
        rows = [dict(zip((column.replace(" ", "_") for column in self.columns), row, strict=True)) for row in self.rows]
        return asdict(self) | {"rows": rows, "facts": dict(self.facts)} if self.columns else asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, in one line, and how long it took."""

    name: str
    told: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the books."""

    name: str
    checked: int
    problems: tuple[str, ...]


@dataclass(slots=True)
class Facts:
    """Everything that a demo found out. `complaints`: what did not hold, in sentences."""

    steps: list[Step] = field(default_factory=list)
    summary: Summary | None = None
    stories: list[Story] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    kept: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether everything that the demo promised was so."""
        return not self.complaints and self.summary is not None and bool(self.checks)

    def as_json(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        return {
            "held": self.held,
            "complaints": self.complaints,
            "seconds": round(self.seconds, 3),
            "steps": [asdict(step) for step in self.steps],
            "summary": asdict(self.summary) if self.summary else None,
            "stories": [story.as_json() for story in self.stories],
            "verify": {"ok": not any(check.problems for check in self.checks), "checks": [asdict(check) for check in self.checks]},
            "kept": dict(self.kept),
        }
