"""One run: furnish, disturb, heal, drain, prove."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from services.console.demo.shop import Shop
from services.console.demo.tally import percentile
from tests.chaos.caller import Caller
from tests.chaos.driver import Drive
from tests.chaos.goods import IN_MAIN, SKUS
from tests.chaos.http_clients import Warehouse, WebShop
from tests.chaos.kafka_clients import Channel, Mouth, Nuisance
from tests.chaos.promises import Promises
from tests.chaos.proof import Held, prove
from tests.chaos.recovery import Recovery
from tests.chaos.stage import Stage, stage
from tests.support.beside import beside
from tests.support.shop import api_key

SHOPS = 3
FINISHED_WITHIN_SECONDS = 120.0
OPENING_UNITS = 30


class Client(Protocol):
    """Somebody who uses the installation."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is finished."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, and what held."""

    seed: int
    seconds: float
    faults: dict[str, int]
    counts: dict[str, int]
    orders: int
    recoveries: Sequence[Recovery]
    held: Sequence[Held]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not any(one.problems for one in self.held)

    def recovery_seconds(self, share: float, *, undisturbed: bool) -> float:
        """A quantile of the recoveries."""
        return percentile(sorted(one.seconds for one in self.recoveries if one.undisturbed or not undisturbed), share)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"ok": self.ok}


async def run(folder: Path, seed: int, say: Callable[[str], None], driven_by: Callable[[Stage, Random], Drive]) -> Outcome:
    """Everything; raises only where the installation could not be made or did not finish. `driven_by`: what is done to the stage."""
    random, began = Random(seed), time.monotonic()

    def say_when(text: str) -> None:
        passed = time.monotonic() - began
        say(f"{int(passed // 60):3}:{passed % 60:04.1f}  {text}")

    async with AsyncExitStack() as exits:
        installation = await exits.enter_async_context(stage(folder, random, say_when))
        await exits.enter_async_context(beside(installation.keep_running()))
        await installation.until_ready()
        promises, key = Promises(), await api_key(installation.settings)
        await _furnish(installation, key)
        caller = await exits.enter_async_context(Caller("proof", installation, promises, key))
        drive = driven_by(installation, Random(f"faults {seed}"))
        say_when("the installation stands; faults begin")
        began_at = time.monotonic()
        await _disturb(installation, promises, key, drive)
        say_when("faults are over; what is under way drains")
        await installation.until_ready()
        warehouse = Warehouse(installation, promises, caller)
        held, measured = await prove(installation, promises, caller, drive, lambda: warehouse.receive(promises.units_by_sku(), IN_MAIN))
        return Outcome(seed, time.monotonic() - began_at, drive.counts, dict(promises.counts), len(promises.orders), measured, held)


async def _furnish(installation: Stage, key: str) -> None:
    orders, inventory = installation.url("orders"), installation.url("inventory")
    assert orders is not None
    assert inventory is not None
    async with Shop(orders, inventory, key) as shop:
        await shop.furnish(SKUS)


async def _disturb(installation: Stage, promises: Promises, key: str, drive: Drive) -> None:
    """Clients work while faults are done; afterwards every client finishes what it has begun."""
    stop = asyncio.Event()
    async with AsyncExitStack() as exits:

        async def caller(name: str) -> Caller:
            return await exits.enter_async_context(Caller(name, installation, promises, key))

        mouth = Mouth(installation)
        exits.push_async_callback(mouth.close)
        warehouse = Warehouse(installation, promises, await caller("warehouse"))
        await warehouse.receive(dict.fromkeys(SKUS, OPENING_UNITS))
        shops: list[Client] = [WebShop(f"web{n}", installation, promises, await caller(f"web{n}")) for n in range(SHOPS)]
        clients = [*shops, warehouse, Channel(installation, promises, mouth), Nuisance(installation, promises, mouth)]
        working = [asyncio.create_task(client.run(stop)) for client in clients]
        await drive.run()
        stop.set()
        async with asyncio.timeout(FINISHED_WITHIN_SECONDS):
            await asyncio.gather(*working)
