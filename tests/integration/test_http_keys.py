"""API keys: shown once, kept as a hash, bound to one merchant."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.api_keys import MerchantRefused, NewKey, create_api_key, revoke_api_key
from shared.http.keys import Keys
from shared.http.problems import Problem
from tests.support.http_service import PEPPER, Service, notes_service

pytestmark = pytest.mark.integration


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with notes_service(database) as running:
        yield running


async def make(service: Service, merchant: str = "acme", **more: Any) -> NewKey:
    async with service.platform.engine.begin() as connection:
        return await create_api_key(connection, merchant, pepper=PEPPER.encode(), **more)


async def status(service: Service, authorization: str, method: str = "GET") -> int:
    answer = await service.nobody.request(method, "/numbers" if method == "GET" else "/notes/a", headers={"Authorization": authorization})
    return answer.status_code


async def test_a_key_opens_the_door_for_its_merchant(service: Service) -> None:
    key = await make(service, "bolt")
    caller = await service.platform.keys.identify(f"Bearer {key.token}", "read")
    assert (caller.merchant, caller.key_id) == ("bolt", key.id)


async def test_the_secret_is_nowhere_but_with_its_owner(service: Service) -> None:
    key = await make(service)
    async with service.platform.reading() as connection:
        row = (
            await connection.execute(text("SELECT row_to_json(api_key)::text FROM access.api_key WHERE id = :id"), {"id": key.id})
        ).scalar_one()
    secret = key.token.partition(".")[2]
    assert secret not in row
    assert secret.encode().hex() not in row
    assert secret not in repr(key)


SPOILED: dict[str, Callable[[str], str]] = {
    "nothing": lambda token: "",
    "no token": lambda token: "Bearer",
    "another scheme": lambda token: f"Basic {token}",
    "no scheme": lambda token: token,
    "longer": lambda token: f"Bearer {token}x",
    "shorter": lambda token: f"Bearer {token[:-1]}",
    "one letter": lambda token: f"Bearer {token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
    "another id": lambda token: f"Bearer em_{'0' * 16}.{token.partition('.')[2]}",
    "upper case": lambda token: f"Bearer {token.upper()}",
    "hostile": lambda token: f"Bearer {token.replace('em_', 'em_%00')}",
}


async def test_what_is_not_exactly_a_key_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    key = await make(service)
    for name, spoil in SPOILED.items():
        with subtests.test(name):
            answer = await service.nobody.get("/numbers", headers={"Authorization": spoil(key.token)})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "earmark key" in answer.json()["remedy"]


async def test_the_secret_of_one_key_does_not_fit_another(service: Service) -> None:
    one, other = await make(service), await make(service, "bolt")
    assert await status(service, f"Bearer em_{one.id}.{other.token.partition('.')[2]}") == 401


async def test_a_key_made_under_another_pepper_is_worthless(service: Service) -> None:
    async with service.platform.engine.begin() as connection:
        key = await create_api_key(connection, "acme", pepper=b"another pepper that is long enough")
    assert await status(service, f"Bearer {key.token}") == 401


async def test_an_expired_or_revoked_key_is_refused_and_its_sibling_goes_on(service: Service) -> None:
    expired = await make(service, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked, sibling = await make(service), await make(service, expires_at=datetime.now(UTC) + timedelta(days=1))
    async with service.platform.engine.begin() as connection:
        assert await revoke_api_key(connection, revoked.id)
        assert not await revoke_api_key(connection, revoked.id)
    assert [await status(service, f"Bearer {key.token}") for key in (expired, revoked, sibling)] == [401, 401, 200]


async def test_a_revoked_key_that_was_just_seen_ends_within_seconds(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.http.keys.CACHED_SECONDS", 0.2)
    key = await make(service)
    assert await status(service, f"Bearer {key.token}") == 200
    async with service.platform.engine.begin() as connection:
        await revoke_api_key(connection, key.id)
    await asyncio.sleep(0.3)
    assert await status(service, f"Bearer {key.token}") == 401


async def test_a_key_that_may_only_read_can_not_command(service: Service) -> None:
    key = await make(service, scopes=("read",))
    assert await status(service, f"Bearer {key.token}") == 200
    answer = await service.nobody.post("/notes/a", headers={"Authorization": f"Bearer {key.token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope")


async def test_the_use_of_a_key_is_noted(service: Service) -> None:
    key = await make(service)
    used = text("SELECT last_used_at FROM access.api_key WHERE id = :id")
    async with service.platform.reading() as connection:
        assert (await connection.scalar(used, {"id": key.id})) is None
        await status(service, f"Bearer {key.token}")
        assert (await connection.scalar(used, {"id": key.id})) is not None


async def test_a_key_for_something_that_is_no_merchant_is_not_made(service: Service, subtests: pytest.Subtests) -> None:
    for merchant in ("", "a/b", "a b", "ä", "-a", "a" * 65, "a\n"):
        with subtests.test(merchant), pytest.raises(MerchantRefused, match="Choose such a name"):
            await make(service, merchant)


async def test_guessing_does_not_fill_the_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.http.keys.MAX_CACHED", 5)
    keys = Keys(service.platform.engine, PEPPER.encode())
    for number in range(20):
        with pytest.raises(Problem):
            await keys.identify(f"Bearer em_{number:016d}.{'a' * 43}", "read")
    assert len(keys._seen) <= 5
