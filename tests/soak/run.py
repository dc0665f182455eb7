"""One soak: furnish, find the maximum rate, work at half of it, drain, prove."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from services.console.demo.plan import BINS, MAIN, Receipt
from services.console.demo.shop import Shop
from services.console.settled import prove, settled
from tests.benchmarks.listening import listening
from tests.benchmarks.stand import MERCHANT, STUCK_SECONDS, Stand, stand
from tests.soak.rules import rule_of
from tests.soak.sampling import Sampler
from tests.soak.traffic import SHIPPERS, UNITS_OF_AN_ORDER, Channel, Plan, Traffic, canceled
from tests.soak.verdicts import Verdict, judge
from tests.support.beside import beside
from tests.support.servers import Servers
from tests.support.shop import api_key

FORGETFUL = "tests.soak.service"
SERVICES = ("allocator", "allocator-2", "orders", "inventory")
FEWEST_SKUS, MOST_SKUS, UNITS_OF_A_SKU = 50, 2_000, 50
"""So many SKUs that living orders want about so many units of each: with few units of many, chance alone would leave half of them short."""
SAMPLE_SECONDS = 5.0
SPARE = 1.1
"""So many times the units that living orders want on average: some SKUs are always short, and orders wait for them."""
WARM_BURST, BURST = 1_000, 6_000
PLENTY = 1_000_000
OLD_SECONDS = 300
"""Beyond what is kept: a state partition looks once a minute. Its newest batch stays for ever, whatever its age."""
ANSWER = b'"outcome":'
"""Whatever the allocator says first of an order."""
_RELEASED = "SELECT count(*) FROM orders.allocation WHERE status = 'unallocated'"
_REMEMBERED = "SELECT count(*) FROM allocator.demand"
_ANSWERED = "SELECT count(*) FROM orders.allocation"
_LEFT = """
SELECT concat(count(*), ' ', what) AS found FROM (
    SELECT 'demands that were not forgotten' AS what FROM allocator.demand
    UNION ALL SELECT 'reservations that were not forgotten' FROM allocator.reservation
    UNION ALL SELECT 'outbox rows of the allocator' FROM allocator.outbox
    UNION ALL SELECT 'outbox rows of orders' FROM orders.outbox
    UNION ALL SELECT 'outbox rows of inventory' FROM inventory.outbox
    UNION ALL SELECT 'dead letters of the allocator' FROM allocator.dead_letter
    UNION ALL SELECT 'dead letters of orders' FROM orders.dead_letter
    UNION ALL SELECT 'dead letters of inventory' FROM inventory.dead_letter
    UNION ALL SELECT 'orders that are open' FROM orders.sales_order WHERE status NOT IN ('canceled', 'shipped')
    UNION ALL SELECT 'batches that are too old' FROM allocator.batch WHERE logical_time < now() - make_interval(secs => $1)
) AS rows GROUP BY what
"""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """`rate`: orders a second; None: half of the maximum, which is found first."""

    seconds: float
    rate: float | None = None

    @property
    def keep_seconds(self) -> float:
        return min(180.0, self.seconds / 5)

    @property
    def life_seconds(self) -> float:
        return min(60.0, self.seconds / 12)

    @property
    def warm_up_seconds(self) -> float:
        """By then orders end as fast as they come, and are forgotten as fast as they end; twice that, for autovacuum to have come by."""
        return 2 * (self.keep_seconds + self.life_seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`series`: (seconds, value) by name; `most`: orders a second with their ends, None where it was not looked for."""

    wanted: Wanted
    most: float | None
    rate: float
    counts: dict[str, int]
    series: dict[str, list[tuple[float, float]]]
    verdicts: list[Verdict]
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing grows and the proof held."""
        return not self.problems and not any(one.is_fault for one in self.verdicts)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"ok": self.ok}


async def run(servers: Servers, wanted: Wanted, say: Say) -> Outcome:
    """Everything; raises where a process dies or nothing moves any more."""
    async with stand(servers.postgres_dsn, servers.kafka_bootstrap, code=FORGETFUL) as here, AsyncExitStack() as exits:
        for name in SERVICES:
            here.start(name, KEEP_SECONDS=str(wanted.keep_seconds))
        await _ready(here)
        shop, http = await _clients(here, exits)
        burst = [f"BURST-{number:05}" for number in range(MOST_SKUS)]
        await shop.furnish([*burst, *_names(MOST_SKUS)])
        most = None if wanted.rate is not None else await _most_per_second(here, shop, burst, wanted.keep_seconds, say)
        rate = wanted.rate or (most or 0.0) / 2
        names, units = _goods(rate * wanted.life_seconds * UNITS_OF_AN_ORDER)
        await shop.receive([Receipt(name, MAIN, BINS[MAIN][0], units) for name in names], "opening stock")
        traffic = Traffic(
            here, Plan(rate, wanted.life_seconds, names, units), shop, http, await exits.enter_async_context(listening(here, ANSWER))
        )
        say(f"{rate:,.0f} orders a second for {wanted.seconds / 60:g} minutes; what ended is kept for {wanted.keep_seconds:.0f} s")
        sampler = await exits.enter_async_context(Sampler(here, traffic, _processes(here, servers), _kafka_folder(servers)))
        await _work(here, traffic, sampler, wanted, say)
        counts = {name: getattr(traffic, name) for name in ("made", "canceled", "shipped", "not_shipped")}
        say("no more orders come; what is under way drains, and what ended is forgotten")
        problems = await _proof(here, wanted)
        return Outcome(wanted, most, rate, counts, sampler.series, verdicts(sampler.series, wanted.warm_up_seconds), problems)


def verdicts(series: dict[str, list[tuple[float, float]]], warm_up_seconds: float) -> list[Verdict]:
    """Of every series, faults first."""
    orders, made, last = [(0.0, 0.0)], 0.0, 0.0
    for at, rate in series["orders/made"]:
        made += rate * (at - last)
        last = at
        orders.append((at, made))
    found = [
        judge(name, [(at, value) for at, value in points if at >= warm_up_seconds], rule_of(name), orders)
        for name, points in series.items()
    ]
    return sorted(found, key=lambda one: not one.is_fault)


def _goods(wanted_units: float) -> tuple[list[str], int]:
    """The SKUs, and how many units of each are on hand."""
    count = min(MOST_SKUS, max(FEWEST_SKUS, round(wanted_units / UNITS_OF_A_SKU)))
    return _names(count), max(1, round(SPARE * wanted_units / count))


def _names(count: int) -> list[str]:
    return [f"SKU-{number:05}" for number in range(count)]


# ---------------------------------------------------------------- before


async def _ready(here: Stand) -> None:
    settings = here.settings
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client, asyncio.timeout(STUCK_SECONDS):
        for port in (settings.orders_port, settings.inventory_port, settings.allocator_port):
            while not await _is_ready(client, port):
                here.require_life()
                await asyncio.sleep(0.1)


async def _is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health/ready")).is_success
    except httpx.HTTPError:
        return False


async def _clients(here: Stand, exits: AsyncExitStack) -> tuple[Shop, httpx.AsyncClient]:
    key = await api_key(here.settings, MERCHANT)
    orders, inventory = (f"http://127.0.0.1:{port}" for port in (here.settings.orders_port, here.settings.inventory_port))
    shop = await exits.enter_async_context(Shop(orders, inventory, key))
    headers, limits = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_connections=SHIPPERS, max_keepalive_connections=SHIPPERS)
    client = httpx.AsyncClient(base_url=orders, headers=headers, timeout=STUCK_SECONDS, limits=limits, trust_env=False)
    return shop, await exits.enter_async_context(client)


def _processes(here: Stand, servers: Servers) -> dict[str, int]:
    ours = dict(zip(SERVICES, here.pids, strict=True))
    theirs = {one.name.lower(): one.pid for one in servers.stack.status() if one.pid is not None} if servers.stack else {}
    return ours | theirs


def _kafka_folder(servers: Servers) -> Path | None:
    return servers.stack.data_folder / "kafka" if servers.stack else None


async def _most_per_second(here: Stand, shop: Shop, names: list[str], keep_seconds: float, say: Say) -> float:
    """Orders that are made, answered, canceled, released and forgotten, as many a second as go."""
    await shop.receive([Receipt(name, MAIN, BINS[MAIN][0], PLENTY) for name in names], "for the burst")
    channel, seconds, before = Channel(here, "BURST", names), 0.0, 0
    for count in (WARM_BURST, BURST):
        began, orders = time.perf_counter(), [channel.new() for _ in range(count)]
        await channel.say(orders)
        await _until(here, _ANSWERED, before + count)
        await channel.say([canceled(order) for order in orders])
        await _until(here, _RELEASED, before + count)
        seconds, before = time.perf_counter() - began, before + count
    say(f"{BURST:,} orders were made and canceled in {seconds:.1f} s; what ended is forgotten in {keep_seconds:.0f} s")
    await asyncio.sleep(keep_seconds)
    began = time.perf_counter()
    await _until(here, _REMEMBERED, 0, at_most=True)
    most = BURST / (seconds + time.perf_counter() - began)
    say(f"at most {most:,.0f} orders a second, from their making until they are forgotten")
    return most


async def _until(here: Stand, query: str, wanted: int, *, at_most: bool = False, seconds: float = 2 * STUCK_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while (found := await here.ask(query)) > wanted if at_most else (found := await here.ask(query)) < wanted:
            here.require_life()
            await asyncio.sleep(0.1)
        assert found is not None, "a count"


# ---------------------------------------------------------------- meanwhile


async def _work(here: Stand, traffic: Traffic, sampler: Sampler, wanted: Wanted, say: Say) -> None:
    stop, began = asyncio.Event(), time.monotonic()
    async with beside(traffic.run(stop)) as (working,):
        while (passed := time.monotonic() - began) < wanted.seconds:
            await asyncio.wait([working], timeout=SAMPLE_SECONDS)
            if working.done():
                break
            here.require_life()
            found = await sampler.sample()
            say(f"{int(passed // 60):3}:{int(passed % 60):02}  {_in_short(found)}")
        stop.set()
        await working


def _in_short(found: dict[str, float]) -> str:
    def total(prefix: str) -> float:
        return sum(value for name, value in found.items() if name.startswith(prefix))

    latency = f"p50 {found['latency/p50'] * 1e3:.0f} ms, p99 {found['latency/p99'] * 1e3:.0f} ms, " if "latency/p50" in found else ""
    return (
        f"{found['orders/made']:,.0f} made and {found['orders/ended']:,.0f} ended a second, {latency}"
        f"{found['queue/waiting lines']:,.0f} lines wait, {found['to be shipped/orders']:,.0f} orders are to be shipped, "
        f"{total('lag/'):,.0f} records behind, {total('outbox/'):,.0f} outbox rows, "
        f"{found['ended/demands on file']:,.0f} ended demands (oldest {found['ended/seconds since the oldest ended']:.0f} s), "
        f"{total('cpu/'):.2f} cores, {total('memory/') / 2**20:,.0f} MiB"
    )


# ---------------------------------------------------------------- afterwards


async def _proof(here: Stand, wanted: Wanted) -> list[str]:
    """What is wrong once everything has drained; empty is the proof."""
    under_way, until = ["not asked yet"], time.monotonic() + wanted.keep_seconds + wanted.life_seconds + 2 * STUCK_SECONDS
    left: list[str] = []
    while (under_way or left) and time.monotonic() < until:
        here.require_life()
        await asyncio.sleep(1)
        _, under_way = await settled(here.settings)
        left = [row["found"] for row in await here.rows(_LEFT, wanted.keep_seconds + OLD_SECONDS)]
    report, unsettled = await prove(here.settings)
    books = [f"{check.name}: {one}" for check in report.checks for one in check.problems]
    return [*under_way, *left, *unsettled, *books]
