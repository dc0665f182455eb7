"""The rows of the benchmark: what each measures, the yardstick it is held against, and the floor and goal of that ratio."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.benchmarks import allocator_flow, limit, reference, stock_side
from tests.benchmarks.measuring import Measurement


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the real servers are."""

    kafka: str
    postgres: str


Measure = Callable[[Servers], Awaitable[Measurement]]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row is held against: the median of `yardstick` in the same run, times `floor` (below it the work is not done) or `goal`."""

    yardstick: str
    floor: float
    goal: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    measure: Measure
    bars: tuple[Bar, ...] = ()


def _reference(workload: str, lines: int) -> Measure:
    return lambda servers: reference.measure(servers.postgres, workload, lines)


def _limit(workload: str) -> Measure:
    return lambda servers: limit.measure(servers.postgres, servers.kafka, workload)


def _stock_side(workload: str) -> Measure:
    return lambda servers: stock_side.measure(servers.postgres, servers.kafka, workload)


def _flow(lines: int) -> Measure:
    return lambda servers: allocator_flow.measure(servers.postgres, servers.kafka, lines)


ROWS = (
    Row("reference, uniform", _reference("uniform", 1)),
    Row("reference, hot", _reference("hot", 1)),
    Row("reference, zipf", _reference("zipf", 1)),
    Row("reference, three lines", _reference("uniform", 3)),
    Row("limit, uniform", _limit("uniform")),
    Row("allocator, uniform", _stock_side("uniform"), (Bar("reference, uniform", 4, 9), Bar("limit, uniform", 0.40, 0.75))),
    Row("allocator, hot", _stock_side("hot"), (Bar("reference, hot", 12, 25),)),
    Row("allocator, zipf", _stock_side("zipf"), (Bar("reference, zipf", 5, 10),)),
    Row("orders to allocated, three lines", _flow(3), (Bar("reference, three lines", 2, 4),)),
)
"""Yardsticks first: a run that is cut short has at least those."""
