"""Rate limits on the real Postgres: one key or one address that asks too much is told so, and nobody else feels it."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from shared.database import engine
from shared.http.limits import Limit, forget_spent, subject_of
from tests.support.http_service import KAFKA_AWAY, Service, notes_service, settings_for

pytestmark = pytest.mark.integration
UNKNOWN = {"Authorization": f"Bearer em_{'0' * 16}.{'a' * 43}"}


async def _later(service: Service, interval: str) -> None:
    """As if everybody had last asked so long ago; negative: as if they had spent what the coming time gives."""
    async with service.platform.engine.begin() as connection:
        await connection.execute(text(f"UPDATE access.request_allowance SET spent_until = now() - interval '{interval}'"))
    service.platform.callers._buckets.clear()
    service.platform.strangers._buckets.clear()


async def _until_refused(client: httpx.AsyncClient, **more: Any) -> list[int]:
    codes = [(await client.get("/numbers", **more)).status_code]
    while codes[-1] != 429 and len(codes) < 200:
        codes.append((await client.get("/numbers", **more)).status_code)
    return codes


async def test_a_key_that_asks_too_much_is_told_limit_remedy_and_time_and_its_neighbour_is_served(database: str) -> None:
    async with notes_service(database, requests_per_second=2) as service:
        codes = await _until_refused(service.acme)
        assert codes[:4] == [200] * 4
        assert codes[-1] == 429
        await _later(service, "-1 minute")
        refused = await service.acme.get("/numbers")
        problem = refused.json()
        assert (refused.status_code, problem["code"], refused.headers["retry-after"]) == (429, "rate_limit", "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "one API key may make 2 requests a second" in problem["detail"]
        assert "EARMARK_REQUESTS_PER_SECOND" in problem["remedy"]
        assert (await service.bolt.get("/numbers")).status_code == 200
        await _later(service, "1 minute")
        assert (await service.acme.get("/numbers")).status_code == 200


async def test_a_refused_command_is_not_read_and_may_be_sent_again(database: str) -> None:
    async with notes_service(database) as service:
        assert (await service.acme.get("/numbers")).status_code == 200
        await _later(service, "-1 minute")
        command: dict[str, Any] = {"content": b"not JSON", "headers": {"Idempotency-Key": "k", "Content-Type": "application/json"}}
        assert (await service.acme.post("/notes/a", **command)).status_code == 429
        await _later(service, "1 minute")
        assert (await service.acme.post("/notes/a", **command)).status_code == 400


async def test_all_processes_of_a_service_count_together(database: str) -> None:
    async with notes_service(database) as one:
        key_id = (await one.platform.keys.identify(one.acme.headers["authorization"], "read")).key_id
        elsewhere = Limit(one.platform.engine, "inventory/key", 1_000, "one API key", "EARMARK_REQUESTS_PER_SECOND")
        await elsewhere.spend(key_id)
        await _later(one, "-1 minute")
        assert (await one.acme.get("/numbers")).status_code == 429


async def test_an_address_without_a_key_is_limited_but_not_those_who_bring_one_nor_health(database: str) -> None:
    async with notes_service(database, unknown_requests_per_second=2) as service:
        assert (await service.acme.get("/numbers")).status_code == 200
        codes = await _until_refused(service.nobody, headers=UNKNOWN)
        assert codes[:4] == [401] * 4
        assert codes[-1] == 429
        await _later(service, "-1 minute")
        assert (await service.nobody.get("/numbers")).status_code == 429
        refused = await service.nobody.get("/numbers")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit")
        assert "one address without a valid API key may make 2 requests a second" in refused.json()["detail"]
        async with service.platform.engine.begin() as connection:
            await connection.execute(text("DELETE FROM access.request_allowance WHERE subject LIKE '%/key/%'"))
        assert (await service.acme.get("/numbers")).status_code == 200
        assert (await service.nobody.get("/health/ready")).status_code == 200


async def test_every_route_that_needs_a_key_says_that_it_may_answer_429_and_when_to_come_again(database: str) -> None:
    async with notes_service(database) as service:
        described = (await service.nobody.get("/openapi.json")).json()["paths"]
    for path in ("/notes/{place}", "/bulk", "/numbers"):
        for operation in described[path].values():
            assert operation["responses"]["429"]["headers"]["Retry-After"]["schema"]["type"] == "integer"
            assert "application/problem+json" in operation["responses"]["429"]["content"]


async def test_without_postgres_nobody_is_limited_by_mistake() -> None:
    away = engine(settings_for("postgresql://nobody:x@127.0.0.1:1/nothing", KAFKA_AWAY))
    limit = Limit(away, "inventory/key", 10, "one API key", "X")
    for _ in range(30):
        await limit.spend("k")
    await away.dispose()


async def test_many_addresses_do_not_fill_the_memory_and_quiet_ones_are_forgotten(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.http.limits.MAX_REMEMBERED", 5)
    async with notes_service(database) as service:
        for number in range(12):
            await service.platform.strangers.spend(f"10.0.0.{number}")
        assert len(service.platform.strangers._buckets) <= 5
        async with service.platform.engine.begin() as connection:
            await connection.execute(text("UPDATE access.request_allowance SET spent_until = now() - interval '2 hours'"))
        await forget_spent(service.platform.engine)
        assert await service.rows("access.request_allowance") == 0


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::99", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
    ids=["IPv4", "IPv6", "its neighbour", "IPv4 in IPv6", "none", "no address"],
)
def test_an_address_counts_by_what_one_customer_has(address: str, subject: str) -> None:
    assert subject_of(address) == subject
