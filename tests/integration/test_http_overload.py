"""More commands at once than there are connections: they share transactions, wait in line, and are sent away only when it is long."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from shared.http import Reply, Unit
from shared.http.commands import Runner
from shared.http.gathering import Shared
from shared.http.keys import Identity
from shared.http.prefer import Preference
from shared.http.problems import Problem
from shared.http.turns import Turns, overloaded
from tests.support.http_service import Service, notes_service
from tests.support.orders_service import Orders, lines, orders_service

pytestmark = pytest.mark.integration


@pytest.fixture
async def orders(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Orders]:
    for place in ("turns", "gathering"):
        monkeypatch.setattr(f"shared.http.{place}.WAIT_SECONDS", 60.0)  # a slow machine sends nobody away
    async with orders_service(database, pool_size=5) as running:
        yield running


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with notes_service(database) as running:
        yield running


def _runner(service: Service, key: str) -> Runner:
    return Runner(service.platform, Identity("acme", "id", frozenset({"write"})), "POST /test", key, b"h" * 32)


async def _transactions(orders: Orders, where: str = "") -> int:
    """How many transactions wrote the orders that there are."""
    async with orders.platform.reading() as connection:
        return int(await connection.scalar(text(f"SELECT count(DISTINCT xmin::text) FROM orders.sales_order {where}")) or 0)


async def _waiting_together(orders: Orders, posts: Sequence[Coroutine[Any, Any, httpx.Response]]) -> list[httpx.Response]:
    """Send all while the only turn is taken, and give it back when all wait."""
    platform = orders.platform
    async with platform.turns.one():
        sent = [asyncio.create_task(post) for post in posts]
        async with asyncio.timeout(60):
            while sum(len(gathering._waiting) for gathering in platform.gatherings.values()) < len(posts):
                await asyncio.sleep(0.01)
    return await asyncio.gather(*sent)


async def test_a_hundred_orders_at_once_over_a_pool_of_five_are_all_made_in_a_few_transactions(orders: Orders) -> None:
    posted = [orders.post("/orders", {"number": f"A-{n}", "lines": lines({f"S{n}": n + 1})}, key=f"k{n}") for n in range(100)]
    answers = await _waiting_together(orders, posted)
    assert [(one.status_code, one.json()["number"]) for one in answers] == [(202, f"A-{n}") for n in range(100)]
    assert sorted(event.number for event in await orders.events()) == sorted(f"A-{n}" for n in range(100))
    assert await _transactions(orders) == 2
    again = await orders.post("/orders", {"number": "A-7", "lines": lines({"S7": 8})}, key="k7")
    assert (again.content, again.headers["idempotent-replayed"]) == (answers[7].content, "true")


async def test_orders_without_a_number_that_are_posted_at_once_get_numbers_of_their_own_in_a_few_transactions(orders: Orders) -> None:
    used = (await orders.post("/orders", {"lines": lines({"CUP": 1})})).json()["number"]
    await orders.made(f"{used[:-1]}9")  # the ninth is taken: it is passed over
    asked = [orders.post("/orders", {"lines": lines({"CUP": 1})}, by=by) for by in ("acme", "bolt") for _ in range(40)]
    answers = await _waiting_together(orders, asked)
    assert {one.status_code for one in answers} == {202}
    assert [len({one.json()["number"] for one in part}) for part in (answers[:40], answers[40:])] == [40, 40]
    assert f"{used[:-1]}9" not in {one.json()["number"] for one in answers[:40]}
    assert await _transactions(orders) == 4


async def test_commands_to_one_order_that_wait_together_are_given_one_after_the_other(orders: Orders) -> None:
    await orders.made("A-1", {"CUP": 5})
    edits = [orders.command("PATCH", "/orders/A-1", {"lines": lines({"CUP": units})}) for units in range(6, 26)]
    cancels = [orders.post("/orders/A-1/cancel") for _ in range(2)]
    answers = await asyncio.gather(*edits, *cancels)
    assert [one.status_code for one in answers] == [202] * 21 + [409]
    assert [event.demand.version for event in await orders.events()] == list(range(1, 23))


async def test_what_one_of_those_that_share_a_transaction_does_wrong_harms_no_other(orders: Orders) -> None:
    await orders.made("TAKEN")
    bodies: list[Any] = [{"number": f"A-{n}", "lines": lines({"CUP": 1})} for n in range(20)]
    bodies[5] = {"number": "TAKEN", "lines": lines({"CUP": 3})}
    bodies[9] = {"number": "TWICE", "lines": [*lines({"CUP": 1}), *lines({"CUP": 2})]}
    answers = await asyncio.gather(*(orders.post("/orders", body) for body in bodies))
    assert [one.status_code for one in answers] == [202] * 5 + [409] + [202] * 3 + [422] + [202] * 10
    assert len(await orders.events()) == 19


async def test_a_fault_in_a_shared_transaction_is_the_fault_of_one(service: Service) -> None:
    asked: list[int] = []

    async def place(shared: Shared, items: Sequence[int]) -> list[Reply | Exception]:
        asked.append(len(items))
        await shared.connection.execute(text("SELECT 1 / :n").bindparams(n=1 if 3 not in items else 0))
        return [Reply(200, {"item": item}) for item in items]

    answers = await asyncio.gather(*(_runner(service, f"k{n}").share(place, n) for n in range(8)), return_exceptions=True)
    assert [one.body["item"] if isinstance(one, Reply) else None for one in answers] == [0, 1, 2, None, 4, 5, 6, 7]
    assert "division by zero" in str(answers[3])
    assert max(asked) > 1
    assert (await _runner(service, "k2").share(place, 2)).replayed


async def test_two_at_once_with_one_key_are_one_command_also_where_they_share_a_transaction(service: Service) -> None:
    done: list[str] = []

    async def place(_: Shared, items: Sequence[str]) -> list[Reply | Exception]:
        done.extend(items)
        return [Reply(200, {}) for _ in items]

    answers = await asyncio.gather(*(_runner(service, "k").share(place, "x") for _ in range(6)), return_exceptions=True)
    fresh = [one for one in answers if isinstance(one, Reply) and not one.replayed]
    assert (len(fresh), done) == (1, ["x"])
    assert all(one.code == "in_flight" for one in answers if isinstance(one, Problem))


async def test_a_deadlock_that_the_driver_reports_by_itself_is_tried_again(service: Service) -> None:
    """asyncpg below SQLAlchemy raises its own errors."""
    runs = 0

    async def work(unit: Unit) -> Reply:
        nonlocal runs
        runs += 1
        raw: Any = (await unit.connection.get_raw_connection()).driver_connection
        if runs < 3:
            await raw.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$")
        return Reply(200, {"runs": runs})

    assert (await _runner(service, "k").run(work)).body == {"runs": 3}


async def test_who_waits_for_a_decision_goes_on_waiting_while_the_line_is_too_long_to_look(service: Service) -> None:
    looks: list[Reply | Problem] = [overloaded("many"), Reply(200, {"status": "allocated"})]

    async def probe() -> Reply | None:
        found = looks.pop(0)
        if isinstance(found, Problem):
            raise found
        return found

    runner = _runner(service, "k")
    assert (await runner.wait(Reply(202, {}), Preference(10.0), "so-1", probe)).body == {"status": "allocated"}


# ---------------------------------------------------------------- the line


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    turns = Turns(at_once=1, most_waiting=10)
    served: list[int] = []

    async def work(number: int) -> None:
        async with turns.one():
            await asyncio.sleep(0)
            served.append(number)

    await asyncio.gather(*(work(number) for number in range(10)))
    assert served == list(range(10))


async def test_whoever_comes_to_a_line_that_is_too_long_is_sent_away_at_once_and_told_when_to_come_again() -> None:
    turns = Turns(at_once=1, most_waiting=2)
    async with turns.one():
        waiting = [asyncio.create_task(_turn(turns)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await _turn(turns)
    assert (refused.value.status, refused.value.code, refused.value.headers["Retry-After"]) == (503, "overloaded", "5")
    await asyncio.gather(*waiting)
    await _turn(turns)


async def test_nobody_waits_for_a_turn_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.http.turns.WAIT_SECONDS", 0.02)
    turns = Turns(at_once=1, most_waiting=2)
    async with turns.one():
        with pytest.raises(Problem, match="waited"):
            await _turn(turns)
    await _turn(turns)


async def _turn(turns: Turns) -> None:
    async with turns.one():
        pass


async def test_while_all_turns_are_taken_health_still_answers(database: str) -> None:
    async with notes_service(database, pool_size=1, max_waiting_requests=1) as service, service.platform.turns.one():
        waiting = asyncio.create_task(service.acme.get("/numbers"))
        async with asyncio.timeout(5):
            while not service.platform.turns.waiting:
                await asyncio.sleep(0.01)
        refused = await service.acme.get("/numbers")
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "5")
        assert (await service.nobody.get("/health/ready")).status_code == 200
        waiting.cancel()
        await asyncio.wait({waiting})
