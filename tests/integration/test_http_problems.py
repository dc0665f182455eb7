"""Every way to be wrong over HTTP ends in a problem document with the remedy, on the real Postgres."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.database import dispose
from tests.support.http_service import Service, notes_service

pytestmark = pytest.mark.integration
NOTE = {"name": "n1", "items": [{"sku": "A", "units": 1}]}
JSON = {"Content-Type": "application/json", "Idempotency-Key": "k1"}
LARGE = json.dumps(NOTE | {"at": "x" * 300_000}).encode()


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with notes_service(database) as running:
        yield running


TABLE: list[tuple[str, str, str, dict[str, str], bytes | None, int, str, str | None]] = [
    ("an address that is not there", "GET", "/nothing", {}, None, 404, "no_such_address", None),
    ("a slash too many", "GET", "/numbers/", {}, None, 404, "no_such_address", None),
    ("a method that is not taken", "DELETE", "/numbers", {}, None, 405, "method", None),
    (
        "a form",
        "POST",
        "/notes/a",
        JSON | {"Content-Type": "application/x-www-form-urlencoded"},
        b"a=1",
        415,
        "content_type",
        "Content-Type",
    ),
    ("no type", "POST", "/notes/a", {"Idempotency-Key": "k"}, b"{}", 415, "content_type", "Content-Type"),
    ("text", "POST", "/notes/a", JSON | {"Content-Type": "text/plain"}, b"{}", 415, "content_type", "Content-Type"),
    ("gzip", "POST", "/notes/a", JSON | {"Content-Encoding": "gzip"}, b"\x1f\x8b", 415, "content_encoding", "Content-Encoding"),
    ("no JSON", "POST", "/notes/a", JSON, b"{", 400, "unreadable", "body"),
    ("no body", "POST", "/notes/a", JSON, b"", 422, "validation", "body"),
    ("a list", "POST", "/notes/a", JSON, b"[]", 422, "validation", "body"),
    ("a field missing", "POST", "/notes/a", JSON, b'{"name": "n"}', 422, "validation", "items"),
    ("a field unknown", "POST", "/notes/a", JSON, json.dumps(NOTE | {"merchant": "bolt"}).encode(), 422, "validation", "merchant"),
    ("too large", "POST", "/notes/a", JSON, LARGE, 413, "body_too_large", "body"),
    ("a limit of zero", "GET", "/numbers?limit=0", {}, None, 422, "validation", "limit"),
    ("a limit too large", "GET", "/numbers?limit=201", {}, None, 422, "validation", "limit"),
    ("a limit in words", "GET", "/numbers?limit=many", {}, None, 422, "validation", "limit"),
    ("a parameter misspelled", "GET", "/numbers?limits=5", {}, None, 422, "validation", "limits"),
    ("a parameter of another endpoint", "POST", "/notes/a?wait=5", JSON, json.dumps(NOTE).encode(), 422, "validation", "wait"),
    ("a cursor made up", "GET", "/numbers?cursor=AAAA", {}, None, 422, "cursor", "cursor"),
    ("a cursor too long", "GET", "/numbers?cursor=" + "A" * 1001, {}, None, 422, "validation", "cursor"),
]


async def test_a_bad_request_is_answered_with_a_problem_document(service: Service, subtests: pytest.Subtests) -> None:
    for name, method, path, headers, body, status, code, field in TABLE:
        with subtests.test(name):
            answer = await service.acme.request(method, path, headers=headers, content=body)
            document = answer.json()
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert (document["status"], document["code"], document.get("field")) == (status, code, field)
            assert document["remedy"]
            assert document["type"] == f"urn:earmark:problem:{code}"
            assert await service.rows("inventory.outbox") == 0


async def test_the_neighbours_of_a_bad_field_are_not_blamed_and_all_bad_ones_are(service: Service) -> None:
    body = {"name": "n", "items": [{"sku": "A", "units": 1}, {"sku": "", "units": "2"}, {"sku": "A", "units": 0}]}
    answer = await service.acme.post("/notes/a", json=body, headers=JSON)
    assert {error["field"] for error in answer.json()["errors"]} == {"items.1.sku", "items.1.units", "items.2.units"}
    assert all(error["remedy"] for error in answer.json()["errors"])


async def test_a_bulk_route_takes_what_is_too_large_elsewhere(service: Service) -> None:
    assert (await service.acme.post("/bulk", content=LARGE, headers=JSON)).json()["field"] == "at"


async def test_every_answer_has_a_request_id_and_the_security_headers(service: Service) -> None:
    for path in ("/numbers", "/nothing", "/health/live", "/openapi.json"):
        headers = (await service.acme.get(path)).headers
        assert len(headers["x-request-id"]) == 32
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


async def test_a_request_id_is_kept_when_it_is_harmless(service: Service) -> None:
    for given, kept in {"order-42.a_b": True, "a" * 64: True, "a" * 65: False, "a b": False, "": False}.items():
        answer = await service.acme.get("/nothing", headers={"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) is kept, given
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_pages_follow_each_other_and_the_last_has_no_cursor(service: Service) -> None:
    first = (await service.acme.get("/numbers?limit=2")).json()
    second = (await service.acme.get(f"/numbers?limit=2&cursor={first['next_cursor']}")).json()
    third = (await service.acme.get(f"/numbers?limit=2&cursor={second['next_cursor']}")).json()
    assert [page["items"] for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    assert third["next_cursor"] is None
    assert (await service.bolt.get(f"/numbers?cursor={first['next_cursor']}")).json()["code"] == "cursor"


async def test_while_postgres_is_away_the_answer_is_503_with_retry_after_and_live_stays_live(service: Service) -> None:
    object.__setattr__(service.platform, "engine", _pool_to_nowhere(service))
    try:
        for answer in (await service.acme.get("/numbers"), await service.acme.post("/notes/a", json=NOTE, headers=JSON)):
            assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "2", "unavailable")
            assert "5432" not in answer.text
        ready = await service.nobody.get("/health/ready")
        assert (ready.status_code, ready.json()["postgres"]) == (503, "does not answer")
        assert (await service.nobody.get("/health/live")).status_code == 200
    finally:
        await dispose(service.platform.engine)


def _pool_to_nowhere(service: Service) -> Any:
    from shared.database import engine
    from shared.settings import settings

    return engine(settings(postgres="postgresql://earmark:earmark@127.0.0.1:1/earmark"))


async def test_ready_tells_of_kafka_and_metrics_count_requests_by_route(service: Service) -> None:
    await service.acme.post("/notes/secret-place", json=NOTE, headers=JSON)
    ready = (await service.nobody.get("/health/ready")).json()
    assert (ready["status"], ready["postgres"]) == ("ready", "answers")
    metrics = (await service.nobody.get("/metrics")).text
    assert 'earmark_http_request_seconds_count{method="POST",route="/notes/{place}",service="inventory",status="202"}' in metrics
    assert "secret-place" not in metrics


async def test_the_description_names_every_header_body_and_problem(service: Service) -> None:
    described = (await service.nobody.get("/openapi.json")).json()
    route = described["paths"]["/notes/{place}"]["post"]
    assert {"Idempotency-Key", "prefer"} <= {parameter["name"] for parameter in route["parameters"]}
    assert route["security"]
    assert all("application/problem+json" in route["responses"][status]["content"] for status in ("408", "409", "422", "431"))
    body = route["requestBody"]["content"]["application/json"]["schema"]
    assert (set(body["properties"]), body["additionalProperties"]) == ({"name", "items", "fill", "due_on", "at"}, False)


async def test_background_work_that_ends_by_a_fault_of_ours_makes_the_process_say_that_it_is_dead(service: Service) -> None:
    assert (await service.nobody.get("/health/live")).json() == {"status": "live"}
    service.platform.relay.partitions = {}
    await service.acme.post("/notes/a", json=NOTE, headers=JSON)
    async with asyncio.timeout(10):
        while (await service.nobody.get("/health/live")).status_code == 200:
            await asyncio.sleep(0.02)
    assert (await service.nobody.get("/health/live")).json()["ended"] == ["inventory relay"]
