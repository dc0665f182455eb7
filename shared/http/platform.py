"""What one HTTP service runs on: its pool, outbox, relay, keys, waiters. Opened in the wiring, started by the application's lifespan."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import database
from shared.database import Fault, classify
from shared.http.gathering import Gathering, Gatherings, Item, Place
from shared.http.keys import Keys
from shared.http.limits import Limit, forget_spent
from shared.http.retention import AT_ONCE, forget_replies, forget_settled
from shared.http.turns import Turns
from shared.http.waiting import Waiting
from shared.kafka import partition_counts
from shared.log_writer import KafkaLogWriter
from shared.relay import Outbox, Relay
from shared.settings import Settings

log = logging.getLogger(__name__)

START_SECONDS = 30.0
PURGE_SECONDS = 3600.0
STOP_SECONDS = 15.0
_OTHERS = 4
"""Connections that requests leave to feeds, API keys and health, however many requests there are."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One service's means. `service` is also the name of its Postgres schema."""

    settings: Settings
    service: str
    engine: AsyncEngine
    outbox: Outbox
    relay: Relay
    writer: KafkaLogWriter
    keys: Keys
    waiting: Waiting
    cursor_key: bytes
    turns: Turns
    callers: Limit
    strangers: Limit
    read_only: bool = False
    """Takes no commands: no relay, nobody waits, no replies are kept."""
    conditions: dict[str, Callable[[], str]] = field(default_factory=dict)
    """What else `/health/ready` tells of, by name: whoever runs beside the service puts itself in."""
    dead: list[str] = field(default_factory=list)
    """Background work that has ended by a fault."""
    gatherings: Gatherings = field(default_factory=dict)

    @classmethod
    def open(cls, settings: Settings, service: str, *, read_only: bool = False) -> "Platform":
        """Make everything, connect nothing."""
        pool = database.engine(settings, service)
        outbox = Outbox(service, settings.relay_shards)
        counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
        writer = KafkaLogWriter(settings.bootstrap)
        relay = Relay(outbox, settings.dsn, writer, counts, settings.max_outbox_rows)
        relay.follow(pool)
        cursor_key = hmac.new(settings.pepper, b"cursors", hashlib.sha256).digest()
        waiting = Waiting(settings.dsn, f"{service}_decisions")
        turns = Turns(max(1, settings.pool_size - _OTHERS), settings.max_waiting_requests)
        keys, callers, strangers = Keys(pool, settings.pepper), *_limits(settings, pool, service)
        return cls(settings, service, pool, outbox, relay, writer, keys, waiting, cursor_key, turns, callers, strangers, read_only)

    @property
    def decisions(self) -> str:
        """The channel on which projections tell waiters of a decision."""
        return self.waiting.channel

    @property
    def outbox_is_full(self) -> bool:
        """Whether new commands must be refused until Kafka is back."""
        return self.relay.full

    def gathering(self, place: Place[Item]) -> Gathering[Item]:
        """Where the commands wait that `place` does."""
        if place not in self.gatherings:
            self.gatherings[place] = Gathering(self.service, self.engine, self.outbox, self.turns, place)
        return self.gatherings[place]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries, in the request's turn; every statement on its own. Raises Problem 503."""
        async with self.turns.one(), self.engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Relay, listener and the clean-up of old replies, until the block ends. Raises SchemaOlder."""
        await self._await_schema()
        tasks = [asyncio.create_task(work, name=f"{self.service} {name}") for name, work in self._work().items()]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_SECONDS)
            await self.writer.close()
            await database.dispose(self.engine)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """None of them ends by itself: a fault of ours. `/health/live` says so, and the process is started anew."""
        if not task.cancelled() and (error := task.exception()):
            self.dead.append(task.get_name())
            log.critical("%s has ended; restart the process", task.get_name(), exc_info=error)

    def _work(self) -> dict[str, "asyncio._CoroutineLike[None]"]:
        if self.read_only:
            return {}
        return {"relay": self.relay.run(), "waiting": self.waiting.run(), "purge": self._purge()}

    async def _await_schema(self) -> None:
        """A database that is just starting is waited for; one that lacks migrations is refused."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while True:
            try:
                return await database.require_schema(self.engine)
            except (DBAPIError, OSError) as error:
                if classify(error) is not Fault.RETRY or loop.time() > deadline:
                    raise
                await asyncio.sleep(0.5)

    async def _purge(self) -> None:
        """Forget what nobody needs any more, a thousand rows at a time."""
        keep = timedelta(days=self.settings.keep_days)
        while True:
            try:
                replies = await forget_replies(self.engine, self.service)
                letters = await forget_settled(self.engine, self.service, keep)
                deleted = max(replies, letters)
                await forget_spent(self.engine)
            except (DBAPIError, OSError) as error:
                if classify(error) is not Fault.RETRY:
                    raise
                deleted = 0
            await asyncio.sleep(0.1 if deleted == AT_ONCE else PURGE_SECONDS)


def _limits(settings: Settings, pool: AsyncEngine, service: str) -> tuple[Limit, Limit]:
    known, unknown = settings.requests_per_second, settings.unknown_requests_per_second
    return (
        Limit(pool, f"{service}/key", known, "one API key", "EARMARK_REQUESTS_PER_SECOND"),
        Limit(pool, f"{service}/address", unknown, "one address without a valid API key", "EARMARK_UNKNOWN_REQUESTS_PER_SECOND"),
    )


async def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


Serving = Annotated[Platform, Depends(_platform)]
