"""The rows of the benchmark: what each measures, and the floor and goal of that."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks import allocator_flow, growth, http_flow, limit, reference, restock, stock_side
from tests.benchmarks.measuring import Measurement


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the real servers are."""

    kafka: str
    postgres: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A row's rate is to be so many times the median of `yardstick` in the same run: `floor` (below it the work is not done), `goal`."""

    yardstick: str
    floor: float
    goal: float
    of: str = "orders_per_second"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A rate that is to be so high, whatever the machine."""

    floor: float
    goal: float
    of: str = "orders_per_second"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A time or memory that is not to be more than this. `of`: the field of the measurement."""

    of: str
    floor: float
    goal: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, or one for each of its bars."""

    name: str
    bars: tuple[Bar | AtLeast | AtMost, ...] = ()

    @property
    def yardsticks(self) -> set[str]:
        """The rows that it is held against."""
        return {bar.yardstick for bar in self.bars if isinstance(bar, Bar)}


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured together, on one stand: a measurement for each of its rows, in their order."""

    rows: tuple[Row, ...]
    measure: Callable[[Servers], Awaitable[Sequence[Measurement]]]


Measure = Callable[[Servers], Awaitable[Measurement]]


def _alone(name: str, measure: Measure, *bars: Bar | AtLeast | AtMost) -> Run:
    async def measured(servers: Servers) -> Sequence[Measurement]:
        return (await measure(servers),)

    return Run((Row(name, bars),), measured)


def _reference(workload: str, lines: int) -> Measure:
    return lambda servers: reference.measure(servers.postgres, workload, lines)


def _limit(workload: str) -> Measure:
    return lambda servers: limit.measure(servers.postgres, servers.kafka, workload)


def _stock_side(workload: str) -> Measure:
    return lambda servers: stock_side.measure(servers.postgres, servers.kafka, workload)


def _flow(lines: int) -> Measure:
    return lambda servers: allocator_flow.measure(servers.postgres, servers.kafka, lines)


RUNS = (
    _alone("reference, uniform", _reference("uniform", 1)),
    _alone("limit, uniform", _limit("uniform")),
    _alone("allocator, uniform", _stock_side("uniform"), Bar("reference, uniform", 4, 9), Bar("limit, uniform", 0.40, 0.75)),
    _alone(
        "allocator, uniform, ten million reservations",
        lambda servers: growth.measure(servers.postgres, servers.kafka),
        Bar("allocator, uniform", 0.7, 0.95),
    ),
    _alone("reference, hot", _reference("hot", 1)),
    _alone("allocator, hot", _stock_side("hot"), Bar("reference, hot", 12, 25)),
    _alone("reference, zipf", _reference("zipf", 1)),
    _alone("allocator, zipf", _stock_side("zipf"), Bar("reference, zipf", 5, 10)),
    _alone("reference, three lines", _reference("uniform", 3)),
    _alone("orders to allocated, three lines", _flow(3), Bar("reference, three lines", 2, 4)),
    Run(
        (
            Row("HTTP to allocated, one at a time", (AtMost("p50_ms", 60, 15), AtMost("p99_ms", 200, 50))),
            Row("HTTP to allocated, half of the most", (AtMost("p99_ms", 500, 100),)),
        ),
        lambda servers: http_flow.measure(servers.postgres, servers.kafka),
    ),
    _alone(
        "restock of 100,000 waiting lines, first served",
        lambda servers: restock.first_served(servers.postgres, servers.kafka),
        AtMost("p50_ms", 1_000, 100),
        AtMost("memory_mib", 500, 200),
    ),
    _alone(
        "restock of 10,000 all-or-nothing demands",
        lambda servers: restock.all_or_nothing(servers.postgres, servers.kafka),
        AtLeast(500, 2_000),
    ),
    _alone(
        "allocator, uniform, 100,000 SKUs",
        lambda servers: stock_side.measure(servers.postgres, servers.kafka, "uniform", skus=100_000),
        AtMost("memory_mib", 1_024, 300),
    ),
)
"""A yardstick goes right before what is held against it: the machine's speed wanders from minute to minute."""
ROWS = tuple(row for run in RUNS for row in run.rows)
