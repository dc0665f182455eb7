"""The allocator as a process: state partitions of both sides inside a FastStream application, and its read-only HTTP beside it.

The hot loops run directly on aiokafka in the application's lifespan; FastStream carries the lifespan and AsyncAPI.
"""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
from fastapi import FastAPI
from faststream.asgi import AsgiFastStream
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI

from services.allocator.api.health import health_routes
from services.allocator.api.routes import read_only_api
from services.allocator.core.policy import DemandSettings, PolicySettings
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSettings, StockSide
from services.allocator.store.demand import PostgresDemandStorage
from services.allocator.store.stock import PostgresStockStorage
from services.allocator.waiting_lines import WaitingLines
from shared import database, world
from shared.kafka import partition_counts
from shared.partitions.link import Link
from shared.partitions.partition import CODE_VERSION, Limits
from shared.partitions.ports import Side
from shared.partitions.process import PartitionProcess
from shared.schemas.topics import OUTCOMES, RESERVATIONS
from shared.schemas.values import DemandKind
from shared.settings import Settings

GROUP = "earmark-allocator"


def partition_process(settings: Settings, sides: tuple[str, ...] = ("stock", "demand")) -> PartitionProcess:
    """The allocator's state partitions of both sides, or of one, wired to the real Kafka and the real Postgres."""
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    policy = policy_of(settings)
    keep = timedelta(days=settings.keep_days)

    def stock(link: Link) -> Side:
        return StockSide(PostgresStockStorage(link), StockSettings(keep=keep))

    def demand(link: Link) -> Side:
        return DemandSide(PostgresDemandStorage(link), DemandSettings(policy=policy, keep=keep))

    makers = {"stock": (RESERVATIONS.name, stock), "demand": (OUTCOMES.name, demand)}
    return PartitionProcess(
        bootstrap=settings.bootstrap,
        group=GROUP,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        counts=counts,
        sides={name: makers[name] for name in sides},
        connect=lambda: _state_connection(settings.dsn),
        tokens=lambda: str(uuid.uuid4()),
        limits=Limits(),
        check_world=lambda: world.check(settings),
        world_check_seconds=settings.world_check_seconds,
        session_ms=settings.group_session_ms,
        keep=keep,
    )


def policy_of(settings: Settings) -> PolicySettings:
    """What holds where an order says nothing, until rules say it."""
    return PolicySettings(
        fill={DemandKind.SALES_ORDER: settings.default_fill},
        strategy=settings.default_strategy,
        default_warehouses=settings.default_warehouses,
    )


async def _state_connection(dsn: str) -> asyncpg.Connection:
    """One state partition's own. Every statement of a batch looks rows up by key: a plan that was made while a table was empty would
    read it whole for as long as the connection lives, and a few milliseconds become seconds after the first million rows."""
    return await database.hot_connection(
        dsn,
        "earmark-allocator",
        lock_timeout="1000",  # a claim waits so long for a batch of the last owner; nothing else of a partition is locked by others
        enable_seqscan="off",
        enable_hashjoin="off",
        enable_mergejoin="off",
    )


def application(settings: Settings) -> Any:
    """The ASGI application of one allocator process."""
    process = partition_process(settings)
    api = read_only_api(settings, health_routes(process.troubles, process.is_ready))
    waiting_lines = WaitingLines(api.state.platform.engine, lambda: process.numbers("stock"))

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with api.router.lifespan_context(api):
            serving = asyncio.create_task(process.run(), name="state partitions")
            serving.add_done_callback(_exit_on_failure)
            counting = asyncio.create_task(waiting_lines.run(), name="waiting lines")
            try:
                yield
            finally:
                for task in (serving, counting):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    broker = KafkaBroker(settings.bootstrap, acks="all", enable_idempotence=True)
    app = AsgiFastStream(broker, lifespan=lifespan, specification=AsyncAPI(title="Earmark allocator", version=CODE_VERSION))
    return _beside(app, api)


def _exit_on_failure(serving: "asyncio.Task[None]") -> None:
    """A process whose loops died is worse than none: its group membership would keep the partitions away from others."""
    if not serving.cancelled() and serving.exception() is not None:
        os._exit(1)


def _beside(app: AsgiFastStream, api: FastAPI) -> Any:
    """FastStream's application for the lifespan; everything else is the read-only HTTP."""

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:
        await (app if scope["type"] == "lifespan" else api)(scope, receive, send)

    return dispatch
