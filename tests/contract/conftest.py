"""What several contract suites are run on."""

from collections.abc import AsyncIterator

import pytest

from tests.support.orders_service import Orders, orders_service


@pytest.fixture
async def orders(database: str) -> AsyncIterator[Orders]:
    """The service of orders in this process, on tables of its own."""
    async with orders_service(database) as running:
        yield running
