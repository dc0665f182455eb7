"""Orders at a steady pace, each with its end: most are canceled by their channel after a while, some are shipped over HTTP, and what was
shipped is received again, so that stock stays about as it is."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from services.console.demo.plan import BINS, MAIN, Receipt
from services.console.demo.shop import Shop
from shared.schemas import topics
from shared.schemas.intake import OrderIntake
from shared.schemas.values import Fill, Line
from shared.schemas.wire import Envelope, Record, encode, partition_of
from tests.benchmarks.listening import Listener
from tests.benchmarks.measuring import percentile_ms
from tests.benchmarks.stand import MERCHANT, Stand
from tests.support.beside import beside

TICK_SECONDS = 0.05
MOST_LINES, MOST_UNITS = 3, 3
UNITS_OF_AN_ORDER = (1 + MOST_LINES) / 2 * (1 + MOST_UNITS) / 2
SHARE_WHOLE = 0.05
SHIPPED_A_SECOND = 4.0
SHIPPERS = 256
"""One holds an order for two answers of seconds each, longer where the installation is busy: with eight of them fewer were shipped than
came, and what waited for them held its stock ever longer."""
RESTOCK_SECONDS = 5.0
ANSWER_SECONDS, PAUSE_SECONDS = 10, 0.5
_DONE = {"start-processing": "processing", "ship": "shipped"}
_ON_HAND = "SELECT sku, sum(on_hand)::bigint AS units FROM allocator.stock_record WHERE sku LIKE 'SKU-%' GROUP BY sku"


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate`: orders a second; `life_seconds`: from an order's making to its end; `skus`: what is ordered; `units`: of each on hand."""

    rate: float
    life_seconds: float
    skus: Sequence[str]
    units: int


class Channel:
    """What a sales channel says on the intake topic."""

    def __init__(self, here: Stand, prefix: str, skus: Sequence[str]) -> None:
        self._here, self._prefix, self._skus = here, prefix, skus
        self._random, self._said = random.Random(prefix), 0
        self.made = 0

    def new(self) -> OrderIntake:
        """An order of one to three lines; every twentieth wants all or nothing."""
        draw, self.made = self._random, self.made + 1
        return OrderIntake(
            merchant=MERCHANT,
            number=f"{self._prefix}-{self.made:09d}",
            version=1,
            lines=tuple(
                Line(sku=sku, units=draw.randint(1, MOST_UNITS)) for sku in sorted(draw.sample(self._skus, draw.randint(1, MOST_LINES)))
            ),
            demanded_at=datetime.now(UTC),
            fill=Fill.ALL_OR_NOTHING if draw.random() < SHARE_WHOLE else None,
            warehouses=(MAIN,),
        )

    async def say(self, orders: Sequence[OrderIntake]) -> None:
        """Write them; returns when all are acknowledged."""
        records: list[tuple[int, Record]] = []
        for order in orders:
            self._said += 1
            record = encode(order, key=order.number, envelope=Envelope(self._prefix, self._said), time=datetime.now(UTC))
            records.append((partition_of(order.number, self._here.partitions), record))
        await self._here.write(topics.ORDER_INTAKE, records)


def canceled(order: OrderIntake) -> OrderIntake:
    """The same, canceled by its channel."""
    return order.but(version=2, canceled=True, reason="the customer changed their mind")


class Traffic:
    """Everything that is asked of the installation, until told to stop."""

    def __init__(self, here: Stand, plan: Plan, shop: Shop, http: httpx.AsyncClient, listener: Listener) -> None:
        self._here, self._plan, self._shop, self._http, self._listener = here, plan, shop, http, listener
        self._channel = Channel(here, "SO", plan.skus)
        self._living: deque[tuple[float, OrderIntake]] = deque()
        self._to_ship: asyncio.Queue[OrderIntake] = asyncio.Queue()
        self._kept: list[OrderIntake] = []
        self._latencies: list[float] = []
        self._ship_every = max(2, round(plan.rate / SHIPPED_A_SECOND))
        self._given_to_ship = self.canceled = self.shipped = self.not_shipped = 0

    @property
    def made(self) -> int:
        return self._channel.made

    @property
    def ended(self) -> int:
        return self.canceled + self.shipped

    @property
    def to_be_shipped(self) -> int:
        """Orders that the warehouse was given and is not done with."""
        return self._given_to_ship - self.shipped - self.not_shipped

    def take_latencies(self) -> tuple[float | None, float | None]:
        """Median and p99 of what was answered since the last time, in seconds; None where nothing was."""
        taken, self._latencies = self._latencies, []
        p50, p99 = percentile_ms(taken, 0.5), percentile_ms(taken, 0.99)
        return (p50 / 1e3, p99 / 1e3) if p50 is not None and p99 is not None else (None, None)

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then every order that lives is ended at once."""
        async with beside(*[self._ship_all() for _ in range(SHIPPERS)], self._restock_always()) as helpers:
            await self._pace(stop, helpers)
            await self._to_ship.join()
            await self._end([order for _, order in self._living] + self._kept)
            self._living.clear()
            self._kept.clear()

    async def _pace(self, stop: asyncio.Event, helpers: "Sequence[asyncio.Task[None]]") -> None:
        began = time.perf_counter()
        while not stop.is_set():
            for one in helpers:
                if one.done():
                    one.result()
            now = time.perf_counter()
            new = [self._channel.new() for _ in range(int((now - began) * self._plan.rate) - self.made)]
            if new:
                self._note_latency(new[0].number)
                self._living.extend((now, order) for order in new)
                await self._channel.say(new)
            await self._end(self._over(now))
            await asyncio.sleep(TICK_SECONDS)

    def _over(self, now: float) -> list[OrderIntake]:
        """Orders to be canceled now: their time has passed, or they could not be shipped."""
        found, self._kept = self._kept, []
        while self._living and self._living[0][0] + self._plan.life_seconds <= now:
            _, order = self._living.popleft()
            if int(order.number.rpartition("-")[2]) % self._ship_every == 0:
                self._given_to_ship += 1
                self._to_ship.put_nowait(order)
            else:
                found.append(order)
        return found

    async def _end(self, orders: Sequence[OrderIntake]) -> None:
        if orders:
            await self._channel.say([canceled(order) for order in orders])
            self.canceled += len(orders)

    def _note_latency(self, number: str) -> None:
        began, told = time.perf_counter(), self._listener.expect(number)
        told.add_done_callback(lambda at: None if at.cancelled() else self._latencies.append(at.result() - began))

    # ---------------------------------------------------------------- the warehouse

    async def _ship_all(self) -> None:
        while True:
            order = await self._to_ship.get()
            try:
                if await self._told(order.number, "start-processing") and await self._told(order.number, "ship"):
                    self.shipped += 1
                else:
                    self.not_shipped += 1
                    self._kept.append(order)
            finally:
                self._to_ship.task_done()

    async def _told(self, number: str, action: str) -> bool:
        """Whether it was done. What is under way is waited for, however long that takes; a refusal says why at once or in time."""
        headers = {"Idempotency-Key": f"{action}-{number}", "Prefer": f"wait={ANSWER_SECONDS}"}
        answer = await self._http.post(f"/orders/{number}/{action}", headers=headers)
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        while answer.raise_for_status().json().get("pending") is not None:
            await asyncio.sleep(PAUSE_SECONDS)
            answer = await self._http.get(f"/orders/{number}")
        done: bool = answer.json()["status"] == _DONE[action]
        assert done or action != "ship", f"{number} was ready to be shipped and is not: {answer.text}"
        return done

    async def _restock_always(self) -> None:
        while True:
            await asyncio.sleep(RESTOCK_SECONDS)
            rows = await self._here.rows(_ON_HAND)
            missing = {row["sku"]: self._plan.units - row["units"] for row in rows}
            receipts = [Receipt(sku, MAIN, BINS[MAIN][0], units) for sku, units in sorted(missing.items()) if units > 0]
            if receipts:
                await self._shop.receive(receipts, "replaces what was shipped")
