"""What a seed draws before anything happens: sizes, limits and rates of faults. Every seed has another mix (swarm testing)."""

from dataclasses import dataclass
from random import Random

from shared.partitions.partition import Limits


@dataclass(frozen=True, slots=True)
class Swarm:
    """Rates are per step or per occasion, between 0 and 1; times are in milliseconds of simulated time.

    `input`, `repeat`, `poison`: of people who do something, of messages that come again, of unreadable records. `crash`, `freeze`,
    `rebalance`: of processes, with `crash_at_point` at each named one. `hearing`: how soon processes know what their group has decided.
    `commit_lost`, `statement_lost`: of the database's connections. `producer_failure`: of records that a producer gives up; those that
    it had sent land later, by `landing`. `housekeeping`: of batches after which a little is tidied up; `publish_rows`: outbox rows at once.
    `together`: of batches that go in one transaction with whichever others of their process wait.
    """

    stock_partitions: int
    demand_partitions: int
    processes: int
    limits: Limits
    read_at_once: int
    tick_ms: int
    input: float
    repeat: float
    poison: float
    crash: float
    crash_at_point: float
    freeze: float
    rebalance: float
    commit_lost: float
    statement_lost: float
    producer_failure: float
    landing: float
    hole: float
    clock_jump: float
    hearing: float
    housekeeping: float
    publish_rows: int
    together: float


def draw(random: Random) -> Swarm:
    """The swarm of a seed. Half of the seeds are calm in any one respect, so that the rest gets far."""
    one_of = random.choice
    faulty = random.random() < 0.8
    return Swarm(
        stock_partitions=random.randint(1, 3),
        demand_partitions=random.randint(1, 2),
        processes=random.randint(1, 3),
        limits=Limits(messages=one_of((1, 2, 4, 12, 50)), backlog=one_of((1, 3, 20, 1_000))),
        read_at_once=one_of((1, 3, 10, 50)),
        tick_ms=one_of((0, 1, 1, 5, 40)),
        input=one_of((0.01, 0.03, 0.1)),
        repeat=one_of((0, 0.1, 0.4)),
        poison=one_of((0, 0, 0.05)),
        crash=one_of((0, 0, 0.001, 0.003)) * faulty,
        crash_at_point=one_of((0, 0, 0.002, 0.01)) * faulty,
        freeze=one_of((0, 0, 0.002, 0.005)) * faulty,
        rebalance=one_of((0, 0.001, 0.004)) * faulty,
        commit_lost=one_of((0, 0, 0.02, 0.1)) * faulty,
        statement_lost=one_of((0, 0, 0.001, 0.005)) * faulty,
        producer_failure=one_of((0, 0, 0.01, 0.05)) * faulty,
        landing=one_of((0.02, 0.1, 0.4)),
        hole=one_of((0, 0, 0.1)),
        clock_jump=one_of((0, 0, 0.001)) * faulty,
        hearing=one_of((0.005, 0.02, 0.02, 0.06)),
        housekeeping=one_of((0, 0.01, 0.03, 0.1)),
        publish_rows=one_of((1, 5, 5, 50)),
        together=one_of((0, 0.3, 0.7, 1)),
    )
