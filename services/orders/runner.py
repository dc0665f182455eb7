"""Starts the orders of bulk runs as soon as those before them have ended. Every process runs one; rows that another one holds are left."""

import asyncio
import contextlib
import logging
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.commands import AllocateOrder, DeallocateOrder
from services.orders.core.decider import decide
from services.orders.core.model import Changed, Order, Refused
from services.orders.store.driver import begin_batch
from services.orders.store.runs import Ready, Started, lock_ready, save_started
from services.orders.store.saving import load, save
from services.orders.subscriber import finished
from shared.database import Fault, classify
from shared.http import Platform, notify

log = logging.getLogger("earmark.orders.runner")

AT_ONCE = 200
LOOK_AGAIN_SECONDS = 1.0


class Runner:
    """`wake` after anything that may let an order start; it also looks for itself once a second."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def run(self) -> None:
        """Start what may start, until cancelled."""
        while True:
            self._woken.clear()
            await self.start_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._woken.wait()

    async def start_all(self) -> None:
        """Start everything that may start now."""
        try:
            while await finished(self._start_some()):
                pass
        except Exception as error:
            if classify(error) is not Fault.RETRY:
                raise
            log.info("bulk runs wait for the database: %s", type(error).__name__)

    async def _start_some(self) -> bool:
        """One transaction. True when there may be more."""
        platform = self._platform
        async with platform.engine.begin() as connection:
            now = await begin_batch(connection)
            ready = await lock_ready(connection, AT_ONCE)
            if not ready:
                return False
            started = await self._tell(connection, ready, now)
            runs = await save_started(connection, platform.outbox, started, now)
            await notify(connection, platform.decisions, *runs)
        return True

    async def _tell(self, connection: AsyncConnection, ready: list[Ready], now: datetime) -> list[Started]:
        """Give every order its command. One that another run of the same batch has just told is told again, one version on."""
        orders = await load(connection, [one.key for one in ready], lock=True)
        started, changes = [], []
        for one in ready:
            answer = _decided(orders.get(one.key), one, now)
            if isinstance(answer, Changed):
                changes.append(answer)
                orders[one.key] = answer.order
            refused = answer if isinstance(answer, Refused) else None
            started.append(Started(one, refused.reason if refused else None, f"{refused.detail}: {refused.remedy}" if refused else ""))
        await save(connection, self._platform.outbox, changes)
        return started


def _decided(order: Order | None, ready: Ready, now: datetime) -> Changed | Refused:
    if order is None:
        return Refused("not_found", "there is no such order", "check its number")
    command = AllocateOrder(by=ready.by) if ready.action == "allocate" else DeallocateOrder(by=ready.by)
    return decide(order, command, now)
