"""Every endpoint of every service against every kind of bad input, found from the description that the service itself publishes: a
problem document that names field and remedy, never a fault; a neighbour is served as before."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.allocator.api.routes import read_only_api
from tests.support.http_service import KAFKA_AWAY, Service, running_app, settings_for
from tests.support.inventory_service import inventory
from tests.support.orders_service import orders_service

pytestmark = pytest.mark.integration

HOSTILE: list[Any] = [None, True, 0, -1, 2**63, 10**400, 1.5, "", "\x00", "\ud800", "x" * 1000, [], {}, [[[[]]]], {"a": {"b": None}}]
UNITS = [0, -1, 2**63, 10**400, 1.5, "1", True, None, [1], {}]
UNREADABLE = {
    "no UTF-8": b'{"name": "\xff"}',
    "a name twice": b'{"a": 1, "a": 2}',
    "no number": b'{"a": NaN}',
    "too many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "too deep": b"[" * 100_000,
    "half": b'{"a": ',
    "two documents": b"{} {}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}
PLACES = [
    "%00",
    "%ED%A0%80",
    "%FF",
    "x" * 1000,
    "..%2F..",
    "%0A",
    "-1",
    "0",
    "99999999999999999999999",
    "1e3",
    "%F0%9F%92%A9",
    "'; --",
    "%25",
]
Operation = tuple[str, str, dict[str, Any]]


class Visitor:
    """Sends requests and keeps what was answered wrongly."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sent = 0
        self.wrong: list[str] = []

    async def operations(self) -> list[Operation]:
        """Method, path and description of every operation that needs a key."""
        described = (await self._service.nobody.get("/openapi.json")).json()
        return [
            (method.upper(), path, operation)
            for path, operations in described["paths"].items()
            for method, operation in operations.items()
            if "security" in operation
        ]

    async def send(self, method: str, path: str, raw: bytes | None = None) -> httpx.Response:
        """One request with a key of its own."""
        self._sent += 1
        headers = {"Idempotency-Key": f"bad-{self._sent}"} | ({"Content-Type": "application/json"} if raw is not None else {})
        return await self._service.acme.request(method, path, content=raw, headers=headers)

    def judge(self, answer: httpx.Response, what: str, *, refused: bool = False, field: str = "") -> None:
        """A refusal is a problem document with its remedy, and names the field. `refused`: nothing else is right."""
        found = answer.json() if answer.headers.get("content-type") == "application/problem+json" else {}
        sound = bool(found.get("code") and found.get("detail") and found.get("remedy")) or answer.status_code < 400
        named = answer.status_code not in {400, 422} or bool(found.get("field"))
        blamed = not refused or any(field in error["field"] for error in found.get("errors", [found]))
        fault = answer.status_code >= 500 and found.get("code") != "allocator_away"  # inventory is visited alone
        if fault or not sound or not named or not blamed or (refused and answer.status_code < 400):
            self.wrong.append(f"{what}: {answer.status_code} {answer.text[:200]}")


def _filled(path: str) -> str:
    """Something in every place of an address."""
    return re.sub(r"\{[^}]+\}", "1", path.replace("{merchant}", "acme"))


def _example(operation: dict[str, Any]) -> Any:
    """The body that the description gives as an example; None where there is none to send."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema = content["schema"]
    found = [*schema.get("examples", []), *(one for each in schema.get("anyOf", []) for one in each.get("examples", []))]
    assert found, f"{operation['summary']} has no example"
    return found[0]


def _spoiled(body: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every part of the body, replaced by every hostile value; and every object with a field that nobody knows. JSON paths and bodies."""
    for value in HOSTILE:
        yield at, value
    inside = body.items() if isinstance(body, dict) else enumerate(body[:1]) if isinstance(body, list) else ()
    for name, part in inside:
        for place, spoiled in _spoiled(part, (*at, name)):
            whole = copy.deepcopy(body)
            whole[name] = spoiled
            yield place, whole
    if isinstance(body, dict):
        yield (*at, "unknown_field"), body | {"unknown_field": 1}


def _wrong_units(body: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    inside = body.items() if isinstance(body, dict) else enumerate(body[:1]) if isinstance(body, list) else ()
    for name, part in inside:
        replaced = [(name, value) for value in UNITS] if name == "units" else _wrong_units(part)
        for field, spoiled in replaced:
            whole = copy.deepcopy(body)
            whole[name] = spoiled
            yield str(field), whole


async def _visit_bodies(visitor: Visitor) -> int:
    visited = 0
    for method, path, operation in await visitor.operations():
        body = _example(operation)
        if body is None:
            continue
        visited += 1
        what = f"{method} {path}"
        for place, spoiled in _spoiled(body):
            visitor.judge(await visitor.send(method, _filled(path), json.dumps(spoiled).encode()), f"{what} {place} {str(spoiled)[:80]}")
        for field, spoiled in _wrong_units(body):
            if ":bulk" not in path:  # there each order is judged on its own, in the answer
                answer = await visitor.send(method, _filled(path), json.dumps(spoiled).encode())
                visitor.judge(answer, f"{what} {str(spoiled)[:120]}", refused=True, field=field)
        for name, raw in UNREADABLE.items():
            visitor.judge(await visitor.send(method, _filled(path), raw), f"{what} {name}", refused=True)
    return visited


async def _visit_places(visitor: Visitor) -> None:
    """What stands in addresses: path and query."""
    for method, path, operation in await visitor.operations():
        for parameter in operation.get("parameters", []):
            for value in PLACES:
                where, name = parameter["in"], parameter["name"]
                if where == "path":
                    target = _filled(re.sub(rf"\{{{name}(:path)?\}}", value, path))
                elif where == "query":
                    target = f"{_filled(path)}?{name}={value}"
                else:
                    continue
                visitor.judge(await visitor.send(method, target), f"{method} {target[:120]}")


async def _visit_repeated(visitor: Visitor) -> set[bool]:
    """Every parameter of an address twice; whether there were some that take several values, and some that take one."""
    kinds: set[bool] = set()
    for method, path, operation in await visitor.operations():
        for parameter in [one for one in operation.get("parameters", []) if one["in"] == "query"]:
            name, takes_many = parameter["name"], parameter["schema"].get("type") == "array"
            kinds.add(takes_many)
            answer = await visitor.send(method, f"{_filled(path)}?{name}=1&{name}=2")
            if (f"the parameter '{name}' stands 2 times" in answer.text) is takes_many:
                visitor.wrong.append(f"{method} {path} {name} twice: {answer.text[:200]}")
            visitor.judge(answer, f"{method} {path} {name} twice", refused=not takes_many, field=name)
    return kinds


async def test_a_parameter_that_takes_one_value_is_given_once(database: str) -> None:
    async with orders_service(database) as orders, inventory(database) as service:
        for one, kinds in ((orders.service, {True, False}), (service.service, {False})):
            visitor = Visitor(one)
            assert await _visit_repeated(visitor) == kinds
            assert visitor.wrong == []


async def test_no_body_of_orders_is_answered_by_a_fault(database: str) -> None:
    async with orders_service(database) as orders:
        visitor = Visitor(orders.service)
        assert await _visit_bodies(visitor) == 6
        await _visit_places(visitor)
        assert visitor.wrong == []
        assert (await orders.made("GOOD"))["number"] == "GOOD"


async def test_no_body_of_inventory_is_answered_by_a_fault(database: str) -> None:
    async with inventory(database) as service:
        visitor = Visitor(service.service)
        assert await _visit_bodies(visitor) == 12
        await _visit_places(visitor)
        assert visitor.wrong == []
        await service.furnish("GOOD")


async def test_no_address_of_the_allocator_is_answered_by_a_fault(database: str) -> None:
    app = read_only_api(settings_for(database, KAFKA_AWAY))
    async with running_app(app, app.state.platform) as service:
        visitor = Visitor(service)
        await _visit_places(visitor)
        assert visitor.wrong == []


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("method", "path", "one", "name"),
    [
        ("POST", "/orders", {"sku": "CUP", "units": 1}, "lines"),
        ("PATCH", "/orders/A-1", {"sku": "CUP", "units": 1}, "lines"),
        ("POST", "/orders:bulk", {"lines": [{"sku": "CUP", "units": 1}]}, "orders"),
        ("POST", "/allocation-runs", "A-1", "orders"),
    ],
    ids=["make", "edit", "bulk", "run"],
)
async def test_a_hundred_thousand_of_anything_are_too_many_and_none_is_too_few(
    database: str, method: str, path: str, one: Any, name: str
) -> None:
    async with orders_service(database) as orders:
        more = {"action": "allocate"} if "runs" in path else {}
        many = await orders.command(method, path, {name: [one] * 100_000} | more)
        assert many.status_code in {413, 422}
        assert many.json()["field"] in {"body", name}
        assert many.json()["remedy"]
        none = await orders.command(method, path, {name: []} | more)
        assert (none.status_code, none.json()["field"]) == (422, name)
        assert await orders.events() == []


async def test_a_hundred_thousand_lines_within_a_bulk_request_are_refused_alone(database: str) -> None:
    async with orders_service(database) as orders:
        huge = {"number": "HUGE", "lines": [{"sku": f"S{n}", "units": 1} for n in range(100_000)]}
        answer = await orders.post("/orders:bulk", {"orders": [huge, {"number": "GOOD", "lines": [{"sku": "CUP", "units": 1}]}]})
        assert answer.status_code == 202, answer.text[:300]
        refused, made = answer.json()["results"]
        assert (refused["problem"]["status"], refused["problem"]["field"], made["number"]) == (413, "lines", "GOOD")


async def test_the_same_line_twice_the_same_number_twice_and_the_same_id_for_something_else_are_refused(database: str) -> None:
    async with orders_service(database) as orders:
        line = {"sku": "CUP", "units": 1}
        twice = await orders.post("/orders", {"number": "A-1", "lines": [line, line]})
        assert (twice.status_code, twice.json()["field"]) == (422, "lines.1.sku")
        first = {"number": "A-1", "lines": [line]}
        both = (await orders.post("/orders:bulk", {"orders": [first, first | {"receiver": "Ada"}]})).json()["results"]
        assert (both[0]["number"], both[1]["problem"]["code"], both[1]["problem"]["field"]) == ("A-1", "number_taken", "number")
        other = await orders.post("/orders", {"number": "A-1", "lines": [{"sku": "CUP", "units": 2}]})
        assert (other.status_code, other.json()["code"], bool(other.json()["remedy"])) == (409, "number_taken", True)
        assert [event.number for event in await orders.events()] == ["A-1"]


async def test_names_that_can_not_be_are_refused_in_addresses(database: str) -> None:
    async with inventory(database) as service:
        for hostile in ("\u0000", "\ud800", "x" * 201, "", " "):
            place = quote(hostile.encode("utf-8", "surrogatepass"))
            for path in (f"/products/{place}", f"/stock/{place}", f"/warehouses/{place}", f"/commands/{place}"):
                answer = await service.send("GET", path)
                assert answer.status_code in {404, 422}, (path, answer.text)
                assert answer.json()["remedy"]
