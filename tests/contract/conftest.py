"""What several contract suites are run on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.contract.cutting_proxy import cutting_proxy
from tests.contract.partition_servers import MemoryServer, PostgresServer, Server
from tests.support.orders_service import Orders, orders_service


@pytest.fixture
async def orders(database: str) -> AsyncIterator[Orders]:
    """The service of orders in this process, on tables of its own."""
    async with orders_service(database) as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Both implementations in turn."""
    if request.param == "memory":
        yield MemoryServer()
        return
    dsn: str = await asyncio.to_thread(request.getfixturevalue, "database")
    async with cutting_proxy(dsn) as proxy, AsyncExitStack() as connections:
        yield PostgresServer(proxy, connections)
