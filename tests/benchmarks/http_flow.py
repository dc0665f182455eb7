"""Orders posted over HTTP, until their `allocated` event is read from `earmark.allocations` as any reader would."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import httpx

from tests.benchmarks.listening import Listener, listening
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import MERCHANT, STUCK_SECONDS, WAREHOUSE, Stand, stand
from tests.benchmarks.workloads import Picker, picker
from tests.support.shop import api_key

WARM_ORDERS = 100
ORDERS = 400
CLIENTS = 32
MOST_SECONDS, HALF_SECONDS = 4.0, 8.0


class Customer:
    """Posts one-line orders and measures each."""

    def __init__(self, client: httpx.AsyncClient, listener: Listener, pick: Picker) -> None:
        self._client, self._listener, self._pick = client, listener, pick
        self._numbers = itertools.count(1)

    async def post(self) -> float:
        """One order; seconds from the request to its event."""
        number = f"WEB-{next(self._numbers):07d}"
        told = self._listener.expect(number)
        body = {"number": number, "lines": [{"sku": sku, "units": 1} for sku in self._pick()], "warehouses": [WAREHOUSE]}
        began = time.perf_counter()
        answer = await self._client.post("/orders", json=body, headers={"Idempotency-Key": number})
        assert answer.status_code == httpx.codes.ACCEPTED, f"{answer.status_code}: {answer.text}"
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


async def one_at_a_time(dsn: str, bootstrap: str) -> Measurement:
    """Run it once, on tables of its own: the next order is posted when the event of the last one was read."""
    async with stand(dsn, bootstrap) as here, _customer(here) as customer:
        watch = Stopwatch()
        return watch.measured(ORDERS, [await customer.post() for _ in range(ORDERS)])


async def at_half_the_most(dsn: str, bootstrap: str) -> Measurement:
    """Run it once, on tables of its own: find the highest rate, then post at half of it."""
    async with stand(dsn, bootstrap) as here, _customer(here) as customer:
        most = await customer.most_per_second(MOST_SECONDS)
        watch = Stopwatch()
        latencies = await customer.at(most / 2, HALF_SECONDS)
        return watch.measured(len(latencies), latencies)


@asynccontextmanager
async def _customer(here: Stand) -> AsyncIterator[Customer]:
    """Everything runs, and has served some orders."""
    await here.start("services.console.serve", "allocator")
    await here.start("services.console.serve", "orders")
    await here.fill_shelves()
    headers = {"Authorization": f"Bearer {await api_key(here.settings, MERCHANT)}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    url = f"http://127.0.0.1:{here.settings.orders_port}"
    client = httpx.AsyncClient(base_url=url, headers=headers, timeout=STUCK_SECONDS, limits=limits, trust_env=False)
    async with client, listening(here) as listener:
        customer = Customer(client, listener, picker("uniform", 1, Random(1)))
        for _ in range(WARM_ORDERS):
            await customer.post()
        yield customer
