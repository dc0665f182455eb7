"""Inventory's HTTP on the real Postgres, no allocator: master data, what is refused, who may see what."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from shared.relay.outbox import records_of
from shared.schemas.values import AdjustmentReason
from shared.schemas.wire import decode, header_map
from tests.support.inventory_service import PLACE, Inventory, inventory

pytestmark = pytest.mark.integration


@pytest.fixture
async def service(database: str) -> AsyncIterator[Inventory]:
    async with inventory(database) as running:
        yield running


async def sent(service: Inventory) -> list[Any]:
    """The commands that wait for Kafka."""
    async with service.service.platform.reading() as connection:
        rows = (await connection.execute(text("SELECT id, headers::text, record_count, records FROM inventory.outbox ORDER BY id"))).all()
    records = [record for row in rows for record in records_of("inventory", *row)]
    return [decode(record.value, header_map(record.headers), {"receive_stock", "adjust_stock"})[0] for record in records]


# ---------------------------------------------------------------- master data


@pytest.mark.parametrize(
    ("collection", "document", "change"),
    [
        ("/warehouses", {"warehouse": "W9", "name": "Nine", "country": "GB", "time_zone": "Europe/London"}, {"name": "Ninth"}),
        ("/warehouses/W1/bins", {"bin": "B9", "kind": "staging", "name": "Nine"}, {"kind": "storage"}),
        (
            "/products",
            {"sku": "S 9", "name": "Nine", "category": "c", "barcode": "1", "serialized": True, "lot_tracked": True},
            {"name": "9"},
        ),
    ],
    ids=["warehouse", "bin", "product"],
)
async def test_master_data_is_created_read_listed_and_edited(
    service: Inventory, collection: str, document: dict[str, Any], change: Any
) -> None:
    await service.furnish("A")
    created = await service.post(collection, document)
    assert (created.status_code, created.json()["version"]) == (201, 1)
    address = created.headers["location"].replace(" ", "%20")
    read = await service.get(address)
    assert document.items() <= read.items()
    assert created.json() == read
    assert read in (await service.get(f"{collection}?search=nine"))["items"]
    edited = await service.send("PATCH", address, change)
    assert edited.json() == await service.get(address)
    assert (document | change).items() <= edited.json().items()
    assert edited.json()["version"] == 2


async def test_what_exists_is_not_created_again_and_what_has_changed_is_not_overwritten(service: Inventory) -> None:
    await service.furnish("A")
    twice = await service.post("/products", {"sku": "A"})
    assert (twice.status_code, twice.json()["code"], twice.json()["field"]) == (409, "exists", "sku")
    await service.send("PATCH", "/products/A", {"name": "first", "version": 1})
    stale = await service.send("PATCH", "/products/A", {"name": "second", "version": 1})
    assert (stale.status_code, stale.json()["field"]) == (409, "version")
    assert (await service.get("/products/A"))["name"] == "first"
    empty = await service.send("PATCH", "/products/A", {})
    assert (empty.status_code, empty.json()["code"]) == (422, "empty_change")


async def test_many_products_are_created_all_or_none(service: Inventory) -> None:
    await service.furnish("B")
    refused = await service.post("/products/bulk", {"products": [{"sku": "A"}, {"sku": "B"}, {"sku": "C"}]})
    assert (refused.status_code, refused.json()["field"]) == (409, "products.1.sku")
    twice = await service.post("/products/bulk", {"products": [{"sku": "A"}, {"sku": "A"}]})
    assert (twice.status_code, twice.json()["field"]) == (422, "products.1.sku")
    assert [product["sku"] for product in (await service.get("/products"))["items"]] == ["B"]
    many = {"products": [{"sku": f"S{number:05d}", "name": "x" * 100} for number in range(5_000)]}
    assert (await service.post("/products/bulk", many)).json() == {"created": 5_000}


async def test_lists_are_read_page_by_page_sorted_and_complete_while_others_insert(service: Inventory) -> None:
    await service.furnish(*[f"S{number:03d}" for number in range(0, 100, 2)])
    seen: list[str] = []
    cursor = ""
    for page in range(9):
        found = await service.get(f"/products?limit=7{cursor}")
        seen += [product["sku"] for product in found["items"]]
        await service.post("/products", {"sku": f"S{page * 2 + 1:03d}"})
        if found["next_cursor"] is None:
            break
        cursor = f"&cursor={found['next_cursor']}"
    assert seen == sorted(set(seen))
    assert {f"S{number:03d}" for number in range(0, 100, 2)} <= set(seen)


async def test_a_search_is_text_and_not_a_pattern(service: Inventory) -> None:
    await service.furnish("A_1", "AB1")
    assert [product["sku"] for product in (await service.get("/products?search=A_"))["items"]] == ["A_1"]
    assert (await service.get("/products?search=%25"))["items"] == []


async def test_sku_letters_count_and_blanks_inside_are_allowed(service: Inventory) -> None:
    await service.furnish("85123a", "85123A", "BANK CHARGES")
    assert (await service.get("/products/BANK%20CHARGES"))["sku"] == "BANK CHARGES"
    assert len((await service.get("/products"))["items"]) == 3


# ---------------------------------------------------------------- stock commands


@pytest.mark.accept("003-24")
async def test_a_receipt_and_an_adjustment_are_sent_at_once_and_have_an_address(service: Inventory) -> None:
    await service.furnish("A")
    answer = await service.post("/receipts", PLACE | {"sku": "A", "units": 5, "lot": "L1", "expires_on": "2027-01-31", "cause": "PO-1"})
    await service.post("/adjustments", PLACE | {"sku": "A", "change": -2, "reason": "DAMAGED", "note": "wet"})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert await service.get(answer.headers["location"]) == answer.json()
    receipt, adjustment = await sent(service)
    assert (receipt.merchant, receipt.sku, receipt.units, receipt.lot, str(receipt.expires_on)) == ("acme", "A", 5, "L1", "2027-01-31")
    assert receipt.command_id == answer.json()["command_id"]
    assert (adjustment.change, adjustment.reason, adjustment.note) == (-2, AdjustmentReason.DAMAGED, "wet")


ONE: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("an unknown SKU", "/receipts", {"sku": "X", "units": 1}, "unknown_sku", "sku"),
    ("a SKU in small letters", "/receipts", {"sku": "a", "units": 1}, "unknown_sku", "sku"),
    ("an unknown warehouse", "/receipts", {"sku": "A", "units": 1, "warehouse": "W2"}, "unknown_warehouse", "warehouse"),
    ("an unknown bin", "/receipts", {"sku": "A", "units": 1, "bin": "B3"}, "unknown_bin", "bin"),
    ("a label on what is not serialized", "/receipts", {"sku": "A", "units": 1, "label": "S1"}, "label_not_allowed", "label"),
    ("no units", "/receipts", {"sku": "A"}, "validation", "units"),
    ("zero units", "/receipts", {"sku": "A", "units": 0}, "validation", "units"),
    ("negative units", "/receipts", {"sku": "A", "units": -1}, "validation", "units"),
    ("too many units", "/receipts", {"sku": "A", "units": 10**9 + 1}, "validation", "units"),
    ("units in words", "/receipts", {"sku": "A", "units": "1"}, "validation", "units"),
    ("units as truth", "/receipts", {"sku": "A", "units": True}, "validation", "units"),
    ("a fraction", "/receipts", {"sku": "A", "units": 1.5}, "validation", "units"),
    ("a merchant", "/receipts", {"sku": "A", "units": 1, "merchant": "bolt"}, "validation", "merchant"),
    ("a date that is none", "/receipts", {"sku": "A", "units": 1, "expires_on": "2026-02-30"}, "validation", "expires_on"),
    ("a cause of 501 letters", "/receipts", {"sku": "A", "units": 1, "cause": "x" * 501}, "validation", "cause"),
    ("a ninth reason", "/adjustments", {"sku": "A", "change": 1, "reason": "STOLEN"}, "validation", "reason"),
    ("a reason in small letters", "/adjustments", {"sku": "A", "change": 1, "reason": "found"}, "validation", "reason"),
    ("no reason", "/adjustments", {"sku": "A", "change": 1}, "validation", "reason"),
    ("a change of zero", "/adjustments", {"sku": "A", "change": 0, "reason": "FOUND"}, "zero_change", "change"),
    ("a loss that adds", "/adjustments", {"sku": "A", "change": 1, "reason": "LOST"}, "direction", "change"),
    ("an unknown SKU to adjust", "/adjustments", {"sku": "X", "change": 1, "reason": "FOUND"}, "unknown_sku", "sku"),
]


@pytest.mark.accept("003-26")
async def test_a_stock_command_that_makes_no_sense_is_refused_with_field_and_remedy_and_nothing_is_sent(service: Inventory) -> None:
    await service.furnish("A")
    for name, path, body, code, field in ONE:
        answer = await service.post(path, PLACE | body)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, field), name
        assert answer.json()["remedy"], name
    assert await sent(service) == []


async def test_serialized_goods_need_a_label_and_goods_kept_by_lot_a_lot(service: Inventory) -> None:
    await service.furnish("A", serialized=True, lot_tracked=True)
    refused = await service.post("/receipts", PLACE | {"sku": "A", "units": 1})
    assert [error["field"] for error in refused.json()["errors"]] == ["label", "lot"]
    assert (await service.post("/receipts", PLACE | {"sku": "A", "units": 1, "label": "S1", "lot": "L1"})).status_code == 202


async def test_many_at_once_are_sent_all_or_none_and_each_fault_is_named(service: Inventory) -> None:
    await service.furnish("A", "B")
    good = PLACE | {"sku": "A", "units": 1}
    refused = await service.post("/receipts/bulk", {"receipts": [good, good | {"sku": "X"}, good, good | {"bin": "B7"}]})
    assert [error["field"] for error in refused.json()["errors"]] == ["receipts.1.sku", "receipts.3.bin"]
    assert await sent(service) == []
    accepted = await service.post("/receipts/bulk", {"receipts": [good, good | {"sku": "B", "units": 2}]})
    assert (accepted.status_code, accepted.json()["pending"]) == (202, 2)
    assert [(command.sku, command.units) for command in await sent(service)] == [("A", 1), ("B", 2)]
    assert [one["sku"] for one in accepted.json()["commands"]] == ["A", "B"]


async def test_five_thousand_receipts_are_one_request_and_one_more_is_too_many(service: Inventory) -> None:
    await service.furnish(*[f"S{number}" for number in range(1_000)])
    receipts = [PLACE | {"sku": f"S{number % 1_000}", "units": 1} for number in range(5_001)]
    refused = await service.post("/receipts/bulk", {"receipts": receipts})
    assert (refused.status_code, refused.json()["field"]) == (422, "receipts")
    assert (await service.post("/receipts/bulk", {"receipts": receipts[:5_000]})).status_code == 202
    assert len(await sent(service)) == 5_000


async def test_a_command_id_of_ones_own_is_kept_repeated_and_not_used_for_something_else(service: Inventory) -> None:
    await service.furnish("A")
    body = PLACE | {"sku": "A", "units": 5, "command_id": "dock-7/2026:11"}
    first = await service.post("/receipts", body)
    again = await service.post("/receipts", body)
    assert first.json() == again.json()
    assert (await service.get("/commands/dock-7/2026:11"))["content"]["units"] == 5
    other = await service.post("/receipts", body | {"units": 6})
    assert (other.status_code, other.json()["code"], other.json()["field"]) == (409, "other_content", "command_id")
    twice = await service.post("/receipts/bulk", {"receipts": [body, body]})
    assert (twice.status_code, twice.json()["field"]) == (422, "receipts.1.command_id")
    elsewhere = await service.post("/receipts", body, by="bolt")
    assert elsewhere.json()["code"] == "unknown_sku"
    assert len(await sent(service)) == 1


async def test_commands_are_listed_newest_first_by_sku_and_status(service: Inventory) -> None:
    await service.furnish("A", "B")
    for sku in ("A", "B", "A"):
        await service.post("/receipts", PLACE | {"sku": sku, "units": 1})
    listed = await service.get("/commands?limit=2")
    rest = await service.get(f"/commands?limit=2&cursor={listed['next_cursor']}")
    times = [one["issued_at"] for one in listed["items"] + rest["items"]]
    assert (len(times), times) == (3, sorted(times, reverse=True))
    assert [one["sku"] for one in (await service.get("/commands?sku=B"))["items"]] == ["B"]
    assert (await service.get("/commands?status=posted"))["items"] == []


async def test_while_the_allocator_is_away_records_say_so_and_levels_answer(service: Inventory) -> None:
    await service.furnish("A")
    away = await service.send("GET", "/stock/A/records")
    assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (503, "allocator_away", "2")
    assert (await service.get("/stock/A"))["ledger_version"] == 0


# ---------------------------------------------------------------- two merchants


IDS = {"merchant": "acme", "warehouse": "W1", "bin": "B1", "sku": "SECRETSKU", "record": "1", "command_id": "secret-command"}
BODIES: dict[str, Any] = {
    "/merchants/{merchant}": {"name": "stolen"},
    "/warehouses/{warehouse}": {"name": "stolen"},
    "/warehouses/{warehouse}/bins": {"bin": "STOLEN"},
    "/warehouses/{warehouse}/bins/{bin}": {"name": "stolen"},
    "/products/{sku}": {"name": "stolen"},
    "/receipts": PLACE | {"sku": "SECRETSKU", "units": 1},
    "/receipts/bulk": {"receipts": [PLACE | {"sku": "SECRETSKU", "units": 1}]},
    "/adjustments": PLACE | {"sku": "SECRETSKU", "change": 1, "reason": "FOUND"},
    "/adjustments/bulk": {"adjustments": [PLACE | {"sku": "SECRETSKU", "change": 1, "reason": "FOUND"}]},
}
OPEN = {"/health/live", "/health/ready", "/metrics"}
OWN = {"/products", "/products/bulk", "/warehouses"}
"""Where a merchant may use the same names as another: creating and listing is within its own."""


def _endpoints(service: Inventory) -> list[tuple[str, str]]:
    paths = service.service.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in OPEN]


async def _dump(service: Inventory) -> list[Any]:
    tables = ("merchant", "warehouse", "bin", "product", "stock_command", "outbox")
    async with service.service.platform.reading() as connection:
        return [(await connection.execute(text(f"SELECT * FROM inventory.{table} ORDER BY 1, 2"))).all() for table in tables]


async def test_no_endpoint_shows_or_changes_what_is_another_merchants(service: Inventory) -> None:
    await service.furnish("SECRETSKU")
    await service.send("PATCH", "/merchants/acme", {"name": "Secret Name"})
    await service.post("/receipts", PLACE | {"sku": "SECRETSKU", "units": 7, "command_id": "secret-command"})
    before = await _dump(service)
    for method, path in _endpoints(service):
        address = path.format(**IDS)
        answer = await service.send(method, address, None if method == "GET" else BODIES.get(path, {}), by="bolt")
        if method == "GET" and "{" not in path:
            assert answer.status_code in ({200} if path != "/records" else {503}), path
        elif path not in OWN:
            assert answer.status_code in {404, 422}, (method, path, answer.text)
        shown = answer.text.replace("there is no product SECRETSKU", "")
        assert "secret" not in shown.lower() or answer.json()["status"] == 404, (method, path, answer.text)
    assert await _dump(service) == before


async def test_no_endpoint_answers_without_a_key(service: Inventory) -> None:
    endpoints = _endpoints(service)
    assert len(endpoints) > 20
    for method, path in endpoints:
        answer = await service.send(method, path.format(**IDS), None if method == "GET" else {}, by="nobody")
        assert (answer.status_code, answer.json()["code"]) == (401, "api_key"), (method, path)


async def test_every_operation_has_an_example_a_summary_and_its_problems(service: Inventory) -> None:
    described = service.service.app.openapi()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            if path in OPEN:
                continue
            assert "application/problem+json" in operation["responses"]["401"]["content"], (method, path)
            if "requestBody" in operation:
                assert "examples" in json.dumps(operation["requestBody"]), (method, path)
