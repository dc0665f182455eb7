"""Every operation of every HTTP service answers as its own description says: with the right key, a wrong one or none, whatever is asked."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from services.allocator.api.routes import read_only_api
from services.orders.api.letters import OPERATOR
from shared.api_keys import READ, WRITE, create_api_key
from shared.http import Ledger
from tests.support.allocator import read_only_http
from tests.support.described import FEW, Inspector, Target, served
from tests.support.http_service import KAFKA_AWAY, PEPPER, Service, running_app, settings_for
from tests.support.inventory_service import PLACE, inventory
from tests.support.large_ledger import large_ledger
from tests.support.orders_service import Orders, orders_service, raw_record

pytestmark = [
    pytest.mark.integration,
    # The service in its own thread draws from it (aiokafka picks a broker so), and Hypothesis takes that for its strategies.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", FEW))
GENEROUS: dict[str, Any] = {"requests_per_second": 1_000_000, "unknown_requests_per_second": 1_000_000}


async def _target(service: Service, known: dict[str, Any], **more: Any) -> Target:
    async with service.platform.engine.begin() as connection:
        scopes = (READ,), (READ, WRITE, OPERATOR)
        reader, writer = [await create_api_key(connection, "acme", pepper=PEPPER.encode(), scopes=one) for one in scopes]
    return Target(service.app, reader.token, writer.token, known, **more)


@asynccontextmanager
async def _ledger(dsn: str, asked: str) -> AsyncIterator[Ledger]:
    """The allocator's own HTTP over a ledger that holds something."""
    await large_ledger(dsn, 500)
    async with read_only_http(settings_for(dsn, KAFKA_AWAY, **GENEROUS)) as ledger:
        yield ledger(asked)


ACTIONS = ("", "/cancel", "/allocate", "/deallocate", "/start-processing", "/stop-processing", "/ship", "/dropship", "/split")


UNASKED = {"/allocate", "/cancel"}
"""Of an order that no allocator knows: to cancel it is done at once, and answered otherwise than what waits."""


async def _made_for(orders: Orders, action: str) -> str:
    """The number of an order that may be told this."""
    number = f"for-{action.strip('/') or 'edit'}"
    asked = action not in UNASKED
    await orders.made(number, {"SKU-000000": 3, "SKU-000007": 1}, allocate=asked)
    if action == "/split":
        answer = await orders.answer_of(number, "partially_allocated")
        had, waits = answer.lines
        await orders.hand_over([answer.but(lines=(had.but(reserved_units=had.wanted_units), waits.but(waiting_units=waits.wanted_units)))])
    elif asked:
        await orders.answer(number, "allocated")
    if action in {"/stop-processing", "/ship"}:
        await orders.post(f"/orders/{number}/start-processing")
        await orders.answer(number, "allocated", picking="confirmed")
    return number


async def _letter(orders: Orders) -> dict[str, Any]:
    """The place of a new dead letter."""
    letter = raw_record(b"no order")
    await orders.take_in(letter)
    return {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}


@asynccontextmanager
async def _orders(dsn: str) -> AsyncIterator[Target]:
    async with _ledger(dsn, "GET /orders/{number}") as ledger, orders_service(dsn, ledger=ledger, **GENEROUS) as orders:
        await orders.made("o-1", {"SKU-000000": 3})
        run = (await orders.post("/allocation-runs", {"action": "deallocate", "orders": ["o-1"]})).json()["id"]
        known = {"number": "o-1", "sku": "SKU-000007", "run": run} | await _letter(orders)
        known |= {f"/orders/{{number}}{action} number": await _made_for(orders, action) for action in ACTIONS if action}
        bodies: dict[str, Any] = {"/allocation-runs": {"action": "deallocate", "orders": ["o-1"]}}
        bodies["/orders"] = {"lines": [{"sku": "SKU-000000", "units": 1}], "allocate": False}
        refused = {"/dead-letters/{topic}/{partition}/{offset}/replay": 409}  # it is as bad as it was
        yield await _target(orders.service, known, bodies=bodies, refused=refused)


@asynccontextmanager
async def _inventory(dsn: str) -> AsyncIterator[Target]:
    async with _ledger(dsn, "GET /stock") as ledger, inventory(dsn, ledger=ledger, **GENEROUS) as service:
        await service.furnish("SKU-000000", "SKU-000007")
        receipt, adjustment = PLACE | {"sku": "SKU-000007", "units": 1}, PLACE | {"sku": "SKU-000007", "change": 1, "reason": "FOUND"}
        command = (await service.post("/receipts", receipt)).json()["command_id"]
        known = {"merchant": "acme", "warehouse": "W1", "bin": "B1", "sku": "SKU-000007", "record": 1, "command_id": command}
        bodies = {
            "/products": {"sku": "NEW-0"},
            "/receipts": receipt,
            "/receipts/bulk": {"receipts": [receipt]},
            "/adjustments": adjustment,
        }
        bodies |= {"/adjustments/bulk": {"adjustments": [adjustment]}, "/products/bulk": {"products": [{"sku": "NEW-1"}, {"sku": "NEW-2"}]}}
        yield await _target(service.service, known, bodies=bodies)


@asynccontextmanager
async def _allocator(dsn: str) -> AsyncIterator[Target]:
    await large_ledger(dsn, 500)
    app = read_only_api(settings_for(dsn, KAFKA_AWAY, **GENEROUS))
    async with running_app(app, app.state.platform) as service:
        yield await _target(service, {"sku": "SKU-000007", "record": 1, "kind": "sales-order", "number": "o-1"})


@pytest.mark.parametrize("opened", [_orders, _inventory, _allocator], ids=["orders", "inventory", "allocator"])
def test_every_operation_answers_as_it_is_described(database: str, opened: Any) -> None:
    with served(partial(opened, database)) as (target, url):
        inspector = Inspector(target, url, EXAMPLES)
        inspector.inspect()
    assert not inspector.wrong, "\n\n".join(inspector.wrong)[:20_000]
    assert inspector.asked > 20
