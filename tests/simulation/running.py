"""Running seeds: one, or many on all cores."""

import gc
import multiprocessing
import multiprocessing.pool
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation.business import Business, Tally
from tests.simulation.flaw import Flaw
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed. `reason` is empty when every promise held."""

    seed: int
    reason: str
    history: str
    simulated_ms: int
    tally: Tally = field(default_factory=Counter)


def run_seed(seed: int, business: str = "allocator", flaw: type[Flaw] | None = None, trace: bool = False) -> Result:
    """Run one seed to its end. With `trace`, every step that matters and the traceback of a failure are printed."""
    with _uncollected():
        world = World(seed, business_named(business), flaw() if flaw else None, trace)
        reason = _reason_of(world)
        result = Result(seed, reason, world.checks.history, world.scheduler.now_ms, world.tally)
        world.vanish()
    return result


def _reason_of(world: World) -> str:
    try:
        world.run()
    except Exception as error:
        if world.trace:
            traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles of garbage: but for the world itself, a seed makes few of them, and looking took a tenth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def business_named(name: str) -> Callable[[World], Business]:
    """`allocator` or `toy`."""
    if name == "toy":
        from tests.simulation.toy import ToyBusiness

        return ToyBusiness
    from tests.simulation.allocator import AllocatorBusiness

    return AllocatorBusiness


def flaw_named(name: str) -> type[Flaw] | None:
    """The planted bug; None for none."""
    from tests.simulation.planted import PLANTED

    return PLANTED[name] if name else None


@dataclass(frozen=True, slots=True)
class Run:
    """One seed's run for a pool of processes."""

    business: str
    flaw: str = ""

    def __call__(self, seed: int) -> Result:
        return run_seed(seed, self.business, flaw_named(self.flaw))


@contextmanager
def some_processes(processes: int | None) -> Iterator[multiprocessing.pool.Pool]:
    """So many processes; one for every core unless told. An interrupt is this process's affair."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield pool


def run_many(start: int, count: int, business: str, processes: int | None) -> Iterator[Result]:
    """Seeds from `start` on, in the order in which they end."""
    with some_processes(processes) as pool:
        yield from pool.imap_unordered(Run(business), range(start, start + count), max(1, min(20, count // 32)))
