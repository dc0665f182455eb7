"""Commands over HTTP on the real Postgres: one effect for each Idempotency-Key, whatever happens on the way."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from shared.http import Reply, Unit
from shared.http.commands import Runner
from shared.http.keys import Identity
from shared.http.problems import Problem
from tests.support.http_service import Service, notes_service

pytestmark = pytest.mark.integration
NOTE: dict[str, Any] = {"name": "n1", "items": [{"sku": "A", "units": 1}]}
OUTBOX = "inventory.outbox"
REPLIES = "inventory.idempotency_key"


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with notes_service(database) as running:
        yield running


async def post(client: httpx.AsyncClient, body: Any = NOTE, key: str | None = "k1", path: str = "/notes/here") -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key is not None else {})
    return await client.post(path, content=body if isinstance(body, bytes) else json.dumps(body), headers=headers)


async def test_a_repeat_gets_the_first_reply_and_changes_nothing(service: Service) -> None:
    first = await post(service.acme)
    again = await post(service.acme)
    assert (first.status_code, first.json()["ran"], first.headers["location"]) == (202, 1, "/notes/here")
    assert (again.status_code, again.content, again.headers["location"]) == (first.status_code, first.content, first.headers["location"])
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert await service.rows(OUTBOX) == 1


async def test_the_order_of_names_and_blanks_does_not_make_another_command(service: Service) -> None:
    await post(service.acme, b'{"name":"n1","items":[{"sku":"A","units":1}]}')
    again = await post(service.acme, b'{ "items": [ {"units": 1, "sku": "A"} ], "name": "n1" }')
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "path"),
    [(NOTE | {"name": "n2"}, "/notes/here"), (NOTE, "/notes/there"), (NOTE, "/notes/here?more=1")],
    ids=["another body", "another entity", "another query"],
)
async def test_the_same_key_for_something_else_is_refused_with_the_remedy(service: Service, body: Any, path: str) -> None:
    await post(service.acme)
    refused = await post(service.acme, body, path=path)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "key_reused", "Idempotency-Key")
    assert refused.json()["remedy"]
    assert await service.rows(OUTBOX) == 1


async def test_a_key_belongs_to_one_merchant_and_one_route(service: Service) -> None:
    assert (await post(service.acme)).json()["merchant"] == "acme"
    assert (await post(service.bolt)).json()["merchant"] == "bolt"
    assert (await post(service.acme, path="/bulk")).status_code == 200
    assert await service.rows(REPLIES) == 3


async def test_twenty_at_once_with_one_key_are_one_command(service: Service) -> None:
    answers = await asyncio.gather(*(post(service.acme) for _ in range(20)))
    fresh = [one for one in answers if one.status_code == 202 and "idempotent-replayed" not in one.headers]
    others = [one for one in answers if one not in fresh]
    assert len(fresh) == 1
    assert all((one.status_code == 409 and one.headers["retry-after"] == "1") or one.content == fresh[0].content for one in others)
    assert await service.rows(OUTBOX) == 1


def _runner(service: Service, key: str = "k", merchant: str = "acme") -> Runner:
    return Runner(service.platform, Identity(merchant, "id", frozenset({"write"})), "POST /test", key, b"h" * 32)


async def test_a_second_request_while_the_first_is_under_way_is_told_so_and_replays_afterwards(service: Service) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_: Unit) -> Reply:
        entered.set()
        await leave.wait()
        return Reply(200, {"first": True})

    first = asyncio.create_task(_runner(service).run(slow))
    await entered.wait()
    with pytest.raises(Problem) as refused:
        await _runner(service).run(slow)
    assert (refused.value.status, refused.value.code, refused.value.headers["Retry-After"]) == (409, "in_flight", "1")
    leave.set()
    await first
    assert (await _runner(service).run(slow)).replayed


async def test_nothing_is_stored_for_a_refusal_so_that_the_same_key_may_be_tried_again(service: Service) -> None:
    refused = await post(service.acme, NOTE | {"name": "refused"})
    assert (refused.status_code, refused.json()["remedy"]) == (409, "use another name")
    assert (await service.rows(OUTBOX), await service.rows(REPLIES)) == (0, 0)
    assert (await post(service.acme)).status_code == 202


async def test_a_fault_of_ours_leaves_nothing_behind_and_tells_nothing(service: Service) -> None:
    failed = await post(service.acme, NOTE | {"name": "broken"})
    assert (failed.status_code, failed.json()["code"]) == (500, "fault")
    assert "secret" not in failed.text
    assert failed.json()["request_id"] == failed.headers["x-request-id"]
    assert (await service.rows(OUTBOX), await service.rows(REPLIES)) == (0, 0)


KEYS = {"missing": (None, 400), "empty": ("", 422), "256": ("k" * 256, 422), "blank": ("a b", 422), "control": ("k\x7f", 422)}


async def test_a_command_needs_a_key_of_1_to_255_visible_letters(service: Service, subtests: pytest.Subtests) -> None:
    for name, (key, status) in KEYS.items():
        with subtests.test(name):
            answer = await post(service.acme, key=key)
            assert (answer.status_code, answer.json()["field"], bool(answer.json()["remedy"])) == (status, "Idempotency-Key", True)
            assert await service.rows(OUTBOX) == 0
    assert (await post(service.acme, key="k" * 255)).status_code == 202
    assert await service.rows(OUTBOX) == 1


async def test_a_client_that_hangs_up_does_not_tear_its_command(service: Service) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_: Unit) -> Reply:
        entered.set()
        await leave.wait()
        return Reply(200, {"done": True})

    request = asyncio.create_task(_runner(service).run(slow))
    await entered.wait()
    request.cancel()
    await asyncio.wait({request})
    leave.set()
    async with asyncio.timeout(5):
        while not await service.rows(REPLIES):
            await asyncio.sleep(0.02)
    assert (await _runner(service).run(slow)).replayed


async def test_two_commands_that_lock_crosswise_both_succeed(service: Service) -> None:
    """Postgres ends one of them; it is run again."""
    both = asyncio.Barrier(2)
    runs = {"a": 0, "b": 0}

    def crosswise(name: str, first: int, second: int) -> Any:
        async def work(unit: Unit) -> Reply:
            runs[name] += 1
            await unit.connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": first})
            if runs[name] == 1:
                await both.wait()
            await unit.connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": second})
            return Reply(200, {"name": name})

        return work

    replies = await asyncio.gather(_runner(service, "a").run(crosswise("a", 1, 2)), _runner(service, "b").run(crosswise("b", 2, 1)))
    assert [reply.body["name"] for reply in replies] == ["a", "b"]
    assert sorted(runs.values()) == [1, 2]


async def test_a_connection_that_is_cut_in_the_middle_is_a_503_and_the_same_key_does_it_once(service: Service, database: str) -> None:
    async def cut(unit: Unit) -> Reply:
        pid = await unit.connection.scalar(text("SELECT pg_backend_pid()"))
        other = await asyncpg.connect(database)
        await other.execute("SELECT pg_terminate_backend($1)", pid)
        await other.close()
        await unit.connection.execute(text("SELECT 1"))
        raise AssertionError("the connection still answers")

    async def whole(unit: Unit) -> Reply:
        return Reply(200, {"now": unit.now})

    from shared.database import Fault, classify

    with pytest.raises(Exception) as lost:  # noqa: PT011  (what matters is how it is classified)
        await _runner(service).run(cut)
    assert classify(lost.value) is Fault.RETRY
    assert not (await _runner(service).run(whole)).replayed
    assert (await _runner(service).run(whole)).replayed


async def test_while_too_many_events_wait_for_kafka_no_command_is_taken(database: str) -> None:
    async with notes_service(database, max_outbox_rows=100) as service:
        async with service.platform.engine.begin() as connection:
            fill = (
                "INSERT INTO inventory.outbox (shard, topic, headers, record_count, records)"
                " SELECT 0, '', '[]', 10, '' FROM generate_series(1, 10)"
            )
            await connection.execute(text(fill))
        async with asyncio.timeout(20):
            while not service.platform.outbox_is_full:
                await asyncio.sleep(0.05)
        refused = await post(service.acme)
        assert (refused.status_code, refused.headers["retry-after"], refused.json()["code"]) == (503, "2", "unavailable")
        assert (await service.acme.get("/numbers")).status_code == 200


async def test_replies_are_forgotten_after_seven_days(database: str) -> None:
    async with notes_service(database) as service:
        await post(service.acme, key="old")
        await post(service.acme, key="new")
        async with service.platform.engine.begin() as connection:
            await connection.execute(text(f"UPDATE {REPLIES} SET created_at = now() - interval '8 days' WHERE key = 'old'"))
    async with notes_service(database) as service, asyncio.timeout(5):
        while await service.rows(REPLIES) != 1:
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------- waiting


async def test_who_waits_is_woken_by_the_transaction_that_decides_in_every_process(service: Service) -> None:
    from shared.http import notify
    from shared.http.waiting import Waiting

    decided: list[str] = []

    async def probe() -> str | None:
        return decided[0] if decided else None

    other_process = Waiting(service.platform.settings.dsn, service.platform.decisions)
    listening = asyncio.create_task(other_process.run())
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.3)
    names = [f"so-{n}" for n in range(2_000)]  # more than one notification carries
    first, last = service.platform.waiting.until([names[0]], 10, probe), other_process.until(["so-x", names[-1]], 10, probe)
    waiters = [asyncio.create_task(first), asyncio.create_task(last)]
    await asyncio.sleep(0.05)
    started = loop.time()
    async with service.platform.engine.begin() as connection:
        decided.append("allocated")
        await notify(connection, service.platform.decisions, *names)
    assert await asyncio.gather(*waiters) == ["allocated", "allocated"]
    assert loop.time() - started < 0.5
    listening.cancel()
    await asyncio.wait({listening})


async def test_a_notification_that_is_lost_is_made_up_for_by_looking(service: Service) -> None:
    looked = 0

    async def probe() -> str | None:
        nonlocal looked
        looked += 1
        return "allocated" if looked == 2 else None

    assert await service.platform.waiting.until(["so-1"], 10, probe) == "allocated"


async def test_waiting_ends_and_leaves_nobody_behind(service: Service) -> None:
    async def probe() -> str | None:
        return None

    assert await service.platform.waiting.until(["so-1", "so-2"], 0.05, probe) is None
    assert not service.platform.waiting._waiters


async def test_a_replayed_command_waits_like_a_fresh_one(service: Service) -> None:
    from shared.http.prefer import Preference

    async def work(_: Unit) -> Reply:
        return Reply(202, {"status": "pending"}, location="/orders/1")

    async def decided() -> Reply | None:
        return Reply(200, {"status": "allocated"})

    for replayed in (False, True):
        runner = _runner(service)
        reply = await runner.wait(await runner.run(work), Preference(1.0), "so-1", decided)
        assert replace(reply, headers={}) == Reply(200, {"status": "allocated"}, "/orders/1", replayed=replayed)
        assert reply.headers == {"Preference-Applied": "wait=1"}
