"""Orders posted over HTTP, until their `allocated` event is read from `earmark.allocations` as any reader would."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from random import Random
from typing import Any

import httpx

from tests.benchmarks.listening import Listener, listening
from tests.benchmarks.measuring import Measurement, Stopwatch
from tests.benchmarks.stand import MERCHANT, STUCK_SECONDS, WAREHOUSE, Stand, stand
from tests.benchmarks.workloads import Picker, picker
from tests.support.shop import api_key

WARM_ORDERS = 100
ORDERS = 400
CLIENTS = 128
MOST_SECONDS, HALF_SECONDS = 4.0, 8.0


class Customer:
    """Posts one-line orders and measures each."""

    def __init__(self, connections: "Connections", listener: Listener, pick: Picker) -> None:
        self._connections, self._listener, self._pick = connections, listener, pick
        self._numbers = itertools.count(1)

    async def post(self) -> float:
        """One order; seconds from the request to its event."""
        number = f"WEB-{next(self._numbers):07d}"
        told = self._listener.expect(number)
        body = {"number": number, "lines": [{"sku": sku, "units": 1} for sku in self._pick()], "warehouses": [WAREHOUSE]}
        async with self._connections.one() as client:
            began = time.perf_counter()
            answer = await client.post("/orders", json=body, headers={"Idempotency-Key": number})
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


class Connections:
    """One client to each connection: where many share one, it looks at every connection with every request, and made a third of the orders
    that the services could take."""

    def __init__(self, url: str, key: str) -> None:
        self._given: dict[str, Any] = {"base_url": url, "headers": {"Authorization": f"Bearer {key}"}, "timeout": STUCK_SECONDS}
        self._idle: list[httpx.AsyncClient] = []
        self._exits = AsyncExitStack()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        """One that nobody else uses meanwhile."""
        client = self._idle.pop() if self._idle else await self._exits.enter_async_context(self._new())
        yield client
        self._idle.append(client)

    def _new(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self._given, trust_env=False, verify=False)

    async def aclose(self) -> None:
        """Close all."""
        await self._exits.aclose()


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
    here.start("allocator")
    here.start("orders")
    await here.fill_shelves()
    connections = Connections(f"http://127.0.0.1:{here.settings.orders_port}", await api_key(here.settings, MERCHANT))
    async with aclosing(connections), listening(here) as listener:
        customer = Customer(connections, listener, picker("uniform", 1, Random(1)))
        for _ in range(WARM_ORDERS):
            await customer.post()
        yield customer
