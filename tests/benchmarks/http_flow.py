"""Orders posted over HTTP, until their `allocated` event is read from `earmark.allocations` as any reader would."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from random import Random

from tests.benchmarks.light_client import Client
from tests.benchmarks.listening import Listener, listening
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import MERCHANT, STUCK_SECONDS, WAREHOUSE, Stand, stand
from tests.benchmarks.workloads import Picker, picker
from tests.support.shop import api_key

SKUS = 1_000
WARM_ORDERS, LONE_ORDERS = 60, 150
"""Every state partition has to have served some: after thirty in all, p99 of those that count was 250 ms, after a hundred 40 to 55."""
CLIENTS = 128
MOST_SECONDS, HALF_SECONDS = 3.0, 5.0


class Customer:
    """Posts one-line orders and measures each."""

    def __init__(self, client: Client, listener: Listener, pick: Picker) -> None:
        self._client, self._listener, self._pick = client, listener, pick
        self._numbers, self.last = itertools.count(1), ""

    async def post(self) -> float:
        """One order; seconds from the request to its event."""
        number = self.last = f"WEB-{next(self._numbers):07d}"
        told = self._listener.expect(number)
        body = {"number": number, "lines": [{"sku": sku, "units": 1} for sku in self._pick()], "warehouses": [WAREHOUSE]}
        async with asyncio.timeout(STUCK_SECONDS):
            began = time.perf_counter()
            answer = await self._client.post("/orders", body, f"Idempotency-Key: {number}")
            assert answer.status == HTTPStatus.ACCEPTED, answer
            return await told - began

    async def most_per_second(self, seconds: float) -> float:
        """What so many clients get who each wait for their event before they post again."""
        began, latencies = time.perf_counter(), list[float]()

        async def client() -> None:
            while time.perf_counter() < began + seconds:
                latencies.append(await self.post())

        await asyncio.gather(*[client() for _ in range(CLIENTS)])
        return len(latencies) / (time.perf_counter() - began)

    async def at(self, per_second: float, seconds: float) -> list[float]:
        """Orders at this rate, come what may: each is posted at its time, whether earlier ones are answered or not."""
        began, posted = time.perf_counter(), list[asyncio.Task[float]]()
        while (number := len(posted)) < per_second * seconds:
            await asyncio.sleep(began + number / per_second - time.perf_counter())
            posted.append(asyncio.create_task(self.post()))
        return list(await asyncio.gather(*posted))


async def measure(dsn: str, bootstrap: str) -> tuple[Measurement, Measurement]:
    """Run both rows once, on tables of their own: each order is posted when the event of the last one was read; then, from the highest rate
    that is found, orders at half of it."""
    async with stand(dsn, bootstrap) as here, customer(here) as one:
        return await _one_at_a_time(one), await _at_half_the_most(one)


async def _one_at_a_time(customer: Customer) -> Measurement:
    watch = Stopwatch()
    return watch.measured(LONE_ORDERS, [await customer.post() for _ in range(LONE_ORDERS)])


async def _at_half_the_most(customer: Customer) -> Measurement:
    most = await customer.most_per_second(MOST_SECONDS)
    watch = Stopwatch()
    latencies = await customer.at(most / 2, HALF_SECONDS)
    return watch.measured(len(latencies), latencies)


@asynccontextmanager
async def customer(here: Stand) -> AsyncIterator[Customer]:
    """Everything runs, and has served some orders."""
    here.start("allocator")
    here.start("orders")
    await here.fill_shelves(SKUS)
    client = Client(here.settings.orders_port, f"Authorization: Bearer {await api_key(here.settings, MERCHANT)}")
    with closing(client):
        async with listening(here) as listener:
            made = Customer(client, listener, picker("uniform", 1, Random(1), SKUS))
            for _ in range(WARM_ORDERS):
                await made.post()
            yield made
