"""Who may see which order, and how the API describes itself."""

from typing import Any

import jsonschema
import pytest

from tests.support.orders_service import Orders, lines

pytestmark = pytest.mark.integration


async def _order(orders: Orders, number: str) -> dict[str, Any]:
    found: dict[str, Any] = await orders.get(f"/orders/{number}")
    return found


async def test_an_order_of_another_merchant_is_not_there(orders: Orders) -> None:
    await orders.made("A-1")
    assert (await orders.service.bolt.get("/orders/A-1")).status_code == 404
    assert (await orders.service.bolt.get("/orders/A-1/history")).status_code == 404
    assert (await orders.get("/orders", by="bolt"))["items"] == []
    for action in ("cancel", "allocate", "deallocate", "start-processing", "stop-processing", "ship", "dropship"):
        assert (await orders.post(f"/orders/A-1/{action}", by="bolt")).status_code == 404
    assert (await orders.command("PATCH", "/orders/A-1", {"priority": 1}, by="bolt")).status_code == 404
    run = await orders.post("/allocation-runs", {"action": "allocate", "orders": ["A-1"]}, by="bolt")
    assert (run.status_code, run.json()["field"]) == (422, "orders.0")
    assert (await orders.post("/orders", {"number": "A-1", "lines": lines({"POT": 1})}, by="bolt")).status_code == 202
    assert (await _order(orders, "A-1"))["lines"][0]["sku"] == "CUP"


async def test_a_command_needs_an_idempotency_key_and_every_request_an_api_key(orders: Orders) -> None:
    assert (await orders.service.acme.post("/orders", json={"lines": lines({"CUP": 1})})).status_code == 400
    assert (await orders.service.nobody.get("/orders")).status_code == 401


async def test_the_description_of_the_api_has_examples_that_are_taken(orders: Orders) -> None:
    found = (await orders.service.nobody.get("/openapi.json")).json()
    body = found["components"]["schemas"]["NewOrder"]["examples"][0]
    assert (await orders.post("/orders", body)).status_code == 202
    assert "/orders:bulk" in found["paths"]


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/orders", {"number": "A-1", "lines": lines({"CUP": 1}), "allocate": False}, "/orders"),
        ("/orders/A-0/cancel", None, "/orders/{number}/cancel"),
    ],
)
async def test_a_receipt_of_what_is_settled_at_once_is_as_described(orders: Orders, path: str, body: Any, operation: str) -> None:
    """It is no whole order: a client made from the description must not look for lines."""
    await orders.post("/orders", {"number": "A-0", "lines": lines({"CUP": 1}), "allocate": False})
    answer = await orders.post(path, body)
    assert (answer.status_code, "lines" in answer.json()) == (200, False)
    described = (await orders.service.nobody.get("/openapi.json")).json()
    content = described["paths"][operation]["post"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answer.json(), {**content["schema"], "components": described["components"]})
