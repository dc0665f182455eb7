"""What must hold when the faults are over and everything has drained: each check says how much it went over, and what is wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.console.settled import settled
from services.console.verify import Report, verify
from services.console.verify_log import verify_log
from tests.chaos.books import PublicBooks
from tests.chaos.caller import Caller
from tests.chaos.driver import Drive
from tests.chaos.promises import Promises
from tests.chaos.recovery import WITHIN_SECONDS, Recovery, recoveries
from tests.chaos.replaying import replay
from tests.chaos.stage import Stage
from tests.support.careful_reader import CarefulReader, careful_reader
from tests.support.settling import until_settled

DRAINED_WITHIN_SECONDS = 120.0
REPLAYED = "a replay of the logs gives the same events"


@dataclass(frozen=True, slots=True)
class Held:
    """A promise, how many things it was held against, and what breaks it."""

    name: str
    counted: int
    problems: list[str] = field(default_factory=list)
    is_timed: bool = False
    """Hangs on how busy the machine is: for a run by itself, not for the gate."""


async def prove(
    stage: Stage, promises: Promises, caller: Caller, drive: Drive, restock: Callable[[], Awaitable[None]]
) -> tuple[list[Held], Sequence[Recovery]]:
    """Waits until nothing is under way, lets so much stock come in that nobody has a reason to wait, then checks everything. A system that
    does not come to rest is a finding as well."""
    async with careful_reader(stage.settings.bootstrap) as reader:
        drained = await _drained(stage, reader)
        await restock()  # not before: a late adjustment would take away what it brings
        drained += await _drained(stage, reader)
        measured = await recoveries(stage)
        return [
            Held("every fault could be done and undone", sum(drive.counts.values()), drive.broken),
            Held("nothing is stuck: everything drains and comes to rest", 1, drained),
            Held("every command is answered, a repeat as the first time", sum(promises.counts.values()), promises.faults),
            await _orders_are_kept(promises, caller),
            await _events_are_whole(stage, reader),
            await _replay_is_the_same(stage),
            _public_books_balance(reader),
            await _ledger_is_verified(stage, settled=not drained),
            await _log_is_verified(stage),
            Held("no process stands still or is halted", len(stage.places), _troubles(stage)),
            _dead_are_replaced(measured),
        ], measured


async def _events_are_whole(stage: Stage, reader: CarefulReader) -> Held:
    async with stage.connected() as connection:
        return Held("no event is missing, doubled or never committed", len(reader.told), await reader.faults(connection))


async def _replay_is_the_same(stage: Stage) -> Held:
    """In a thread: the proxies live in this loop, and would stand still as long as it decides."""
    replayed = await asyncio.to_thread(lambda: asyncio.run(replay(stage.direct_dsn, stage.settings)))
    return Held(REPLAYED, replayed.records, replayed.problems)


def _public_books_balance(reader: CarefulReader) -> Held:
    books = PublicBooks.of(reader.told)
    return Held("by the public topics alone nothing is oversold", books.orders, books.problems())


async def _ledger_is_verified(stage: Stage, *, settled: bool) -> Held:
    report = await verify(stage.direct_dsn, settled=settled)
    return Held("`earmark verify`: the ledger's own books balance", *_found(report))


async def _log_is_verified(stage: Stage) -> Held:
    direct = stage.settings.model_copy(update={"postgres": SecretStr(stage.direct_dsn)})
    report = (await verify_log(direct)).report
    return Held("`earmark verify --from-log`: the ledger is what the topics say", *_found(report))


def _found(report: Report) -> tuple[int, list[str]]:
    problems = [f"{check.name}: {one}" for check in report.checks for one in check.problems]
    return sum(check.counted for check in report.checks), problems


def _dead_are_replaced(measured: Sequence[Recovery]) -> Held:
    name = f"a dead allocator's partitions serve again within {WITHIN_SECONDS:.0f} s (p99, undisturbed)"
    slow = [f"{one.partition} after {one.seconds:.1f} s" for one in too_slow(measured)]
    return Held(name, sum(one.undisturbed for one in measured), slow, is_timed=True)


async def _drained(stage: Stage, reader: CarefulReader) -> list[str]:
    """What is still under way when the patience is at its end."""
    try:
        await until_settled(stage.direct_dsn, reader, DRAINED_WITHIN_SECONDS)
    except AssertionError as error:
        return [str(error)]
    under_way = ["not asked yet"]
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAINED_WITHIN_SECONDS):
            while under_way:
                _, under_way = await settled(stage.settings)
    return under_way


async def _orders_are_kept(promises: Promises, caller: Caller) -> Held:
    broken = []
    for number, promise in promises.orders.items():
        order = await caller.read("orders", f"/orders/{number}")
        if problem := promise.broken(order):
            broken.append(f"{number} {problem}: {order}")
    return Held("every accepted order is as its client was told last", len(promises.orders), broken)


def _troubles(stage: Stage) -> list[str]:
    return [f"{place}: {trouble}" for place in stage.places if place.child is not None for trouble in place.child.troubles()]


def too_slow(measured: Sequence[Recovery]) -> list[Recovery]:
    """The undisturbed recoveries that took too long; one of a hundred may."""
    undisturbed = [one for one in measured if one.undisturbed]
    slow = [one for one in undisturbed if one.seconds > WITHIN_SECONDS]
    return slow if len(slow) * 100 > len(undisturbed) else []
