"""A demand that ended long ago: its tombstones go first, then it goes itself, a few at a time."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.allocator.core.policy import DemandSettings
from services.allocator.demand_side import DemandSide
from services.allocator.store.demand_memory import TABLE, MemoryDemandStorage
from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import PartitionId
from shared.schemas.events import Demand, DemandEvent, Forgotten, OrderChanged, Outcome, Wake
from shared.schemas.values import Line, Wish
from tests.unit.allocator.demand_script import NOON, SETTINGS

KEEP = timedelta(days=30)
HERE = PartitionId("demand", 3)


class Demands:
    """The demand side over memory. `forgetful`: takes itself over before every batch."""

    def __init__(self, settings: DemandSettings = SETTINGS, *, forgetful: bool = False) -> None:
        self.transaction = MemoryTransaction(MemoryDatabase(clock=lambda: NOON))
        self.now, self._forgetful = NOON, forgetful
        self.side = DemandSide(MemoryDemandStorage(lambda: self.transaction), settings)

    async def batch(self, *messages: DemandEvent) -> list[str]:
        """What one batch sends."""
        if self._forgetful or self.now == NOON:
            await self.side.resume(HERE)
        self.now += timedelta(seconds=1)
        sends = await self.side.decide(messages, self.now)
        await self.side.save()
        return [
            f"{send.message.type} {send.message.demand.rpartition('/')[2]} {getattr(send.message, 'sku', '')}".strip() for send in sends
        ]

    async def closed(self, numbers: Sequence[int]) -> None:
        """Orders that had a line each and were closed."""
        for number in numbers:
            await self.batch(order(number, 1))
            await self.batch(answer(number, 1, reserved=1))
            await self.batch(order(number, 2, Wish.CLOSED))
            await self.batch(answer(number, 2))

    def due(self) -> datetime | None:
        return self.side.next_deadline()

    @property
    def known(self) -> list[str]:
        return sorted(_short(demand) for demand, _ in self.transaction.scan(TABLE))


def _short(demand: str) -> str:
    return demand.rpartition("/")[2]


def name(number: int) -> str:
    return f"sales-order/acme/SO-{number}"


def order(number: int, version: int, wish: Wish = Wish.STOCK) -> OrderChanged:
    demand = Demand(
        id=name(number), merchant="acme", version=version, wish=wish, lines=(Line(sku="A", units=1),), demanded_at=NOON
    )  # fmt: skip
    return OrderChanged(demand=demand, number=f"SO-{number}", status="awaiting_fulfillment", changed_at=NOON)


def answer(number: int, attempt: int, reserved: int = 0) -> Outcome:
    return Outcome(demand=name(number), merchant="acme", sku="A", attempt=attempt, version=attempt, reserved_units=reserved)


def forgotten(number: int) -> Forgotten:
    return Forgotten(demand=name(number), merchant="acme", sku="A", attempt=2)


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "nothing cached"])
async def test_tombstones_are_forgotten_first_and_the_demand_when_that_is_confirmed(forgetful: bool) -> None:
    demands = Demands(forgetful=forgetful)
    await demands.closed([1])
    assert demands.due() == demands.now + KEEP
    demands.now += KEEP - timedelta(seconds=2)
    assert await demands.batch() == []
    assert await demands.batch() == ["forget SO-1 A"]
    assert (demands.known, demands.due()) == (["SO-1"], None)
    assert await demands.batch(forgotten(1)) == []
    assert demands.known == []
    assert await demands.batch(order(1, 1)) == ["reserve_line SO-1 A"], "after the window it is an order like any other"


async def test_what_was_said_before_the_tombstone_went_still_finds_its_demand() -> None:
    demands = Demands()
    await demands.closed([1])
    demands.now += KEEP
    assert await demands.batch() == ["forget SO-1 A"]
    wake = Wake(demand=name(1), merchant="acme", sku="A", attempt=1, baton=7)
    assert await demands.batch(answer(1, 2), wake) == ["return_baton SO-1 A"]
    assert await demands.batch(order(1, 3, Wish.CLOSED), order(1, 1)) == [], "nothing is told of it any more"
    await demands.batch(forgotten(1), order(1, 4))
    assert demands.known == []


async def test_a_demand_that_never_asked_for_stock_just_goes() -> None:
    demands = Demands()
    await demands.batch(order(1, 1, Wish.CLOSED))
    demands.now += KEEP
    assert (await demands.batch(), demands.known, demands.due()) == ([], [], None)


async def test_few_are_forgotten_beside_messages_and_more_in_a_batch_of_their_own() -> None:
    demands = Demands(replace(SETTINGS, forget_at_once=3, forget_beside=1))
    await demands.closed(range(6))
    demands.now += KEEP + timedelta(hours=1)
    assert await demands.batch(order(9, 1)) == ["reserve_line SO-9 A", "forget SO-0 A"]
    assert await demands.batch() == ["forget SO-1 A", "forget SO-2 A", "forget SO-3 A"]
    assert await demands.batch() == ["forget SO-4 A", "forget SO-5 A"]


async def test_a_busy_partition_forgets_as_many_as_come_to_an_end() -> None:
    demands, lives = Demands(replace(SETTINGS, forget_beside=1)), 20
    await demands.closed(range(lives))
    demands.now += KEEP + timedelta(hours=1)
    some = range(100, 100 + lives)
    lived = [order(n, 1) for n in some], [answer(n, 1, reserved=1) for n in some], [order(n, 2, Wish.CLOSED) for n in some]
    told = [sent for batch in lived for sent in await demands.batch(*batch)]
    told += await demands.batch(*[answer(n, 2) for n in some])
    gone = [int(number) for number in re.findall(r"forget SO-(\d+)", " ".join(told))]
    told += await demands.batch(*[forgotten(n) for n in gone])
    assert sum(one.startswith("forget ") for one in told) >= lives, "while twenty lived, with five messages each, the twenty before went"


@pytest.mark.parametrize("forgetful", [False, True], ids=["cached", "nothing cached"])
async def test_a_demand_stays_while_a_page_of_those_that_wait_may_still_tell_of_it(forgetful: bool) -> None:
    demands = Demands(forgetful=forgetful)
    await demands.batch(order(1, 1), order(9, 1))
    await demands.batch(answer(1, 1, reserved=1))
    await demands.batch(order(1, 2, Wish.CLOSED))
    await demands.batch(answer(1, 2))
    demands.now += KEEP
    assert (await demands.batch(), demands.due()) == ([], None), "and is no reason to make batches"
    assert await demands.batch(answer(9, 1, reserved=1)) == ["allocation_changed SO-9"]
    assert await demands.batch() == ["forget SO-1 A"]
    await demands.batch(forgotten(1))
    await demands.side.resume(HERE)
    assert demands.known == ["SO-9"]


async def test_those_that_ended_later_are_waited_for() -> None:
    demands = Demands()
    await demands.closed([1])
    demands.now += timedelta(days=10)
    await demands.closed([2])
    later = demands.now
    demands.now += timedelta(days=20, seconds=1)
    assert await demands.batch() == ["forget SO-1 A"]
    assert demands.due() == later + KEEP
    await demands.side.resume(HERE)
    assert demands.due() == later + KEEP
