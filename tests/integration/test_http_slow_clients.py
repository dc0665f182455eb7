"""Clients that keep us waiting: each is cut off in its time, told why where that is possible, and nobody else waits for them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.http_service import Service, notes_service
from tests.support.raw_http import Wire, complaints, head, listening, wire

pytestmark = pytest.mark.integration
NOTE = b'{"name": "n1", "items": [{"sku": "A", "units": 1}]}'
SHORT = 0.4
"""Instead of the seconds that the product allows."""


@pytest.fixture
async def service(database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    for name in ("connection.HEAD_SECONDS", "connection.LINGER_SECONDS", "connection.FETCH_SECONDS", "routes.BODY_SECONDS"):
        monkeypatch.setattr(f"shared.http.{name}", SHORT)
    monkeypatch.setattr("shared.http.serving.KEEP_ALIVE_SECONDS", SHORT)
    async with notes_service(database, pool_size=5, unknown_requests_per_second=10_000) as running:
        yield running
    assert complaints(caplog.records) == []


def get(service: Service, target: str = "/numbers") -> bytes:
    return head(f"GET {target} HTTP/1.1", "Host: s", f"Authorization: {service.acme.headers['authorization']}")


def post(service: Service, *more: str, path: str = "/notes/a", key: str | None = None) -> bytes:
    named = key or service.acme.headers["authorization"]
    return head(
        f"POST {path} HTTP/1.1", "Host: s", f"Authorization: {named}", "Idempotency-Key: k", "Content-Type: application/json", *more
    )


async def drip(client: Wire, said: bytes) -> None:
    """One byte, and again one, for as long as somebody listens."""
    while not client.is_closed:
        await client.say(said, pause=SHORT / 20)


async def answered(service: Service, port: int) -> None:
    """Somebody else is served, at once."""
    client = await wire(port)
    async with asyncio.timeout(5):
        await client.say(get(service))
        assert (await client.hear()).status == 200
    client.hang_up()


async def _slow(port: int, first: bytes, ever: bytes) -> tuple[list[tuple[int, str]], bool]:
    """Say the first at once and the other for ever: the answers that came, and whether the connection was cut."""
    client = await wire(port)
    await client.say(first)
    dripping = asyncio.create_task(drip(client, ever))
    answers = []
    while (answer := await client.hear()).status:
        answers.append((answer.status, answer.code))
    cut = await client.is_cut()
    dripping.cancel()
    client.hang_up()
    return answers, cut


async def test_whoever_is_slow_is_cut_off_in_time_and_told_why(service: Service) -> None:
    async with listening(service.app) as port:
        whole = get(service)
        nobody = "Bearer nothing"
        wanted = {
            "says nothing": (_slow(port, b"", b""), []),
            "a head without end": (_slow(port, b"GET /numbers HTTP/1.1\r\nX-A: ", b"x"), [(408, "slow_head")]),
            "blank lines without end": (_slow(port, b"", b"\r\n"), [(400, "no_http")]),
            "quiet after an answer": (_slow(port, whole, b""), [(200, "")]),
            "a second head without end": (_slow(port, whole + b"GET ", b"x"), [(200, ""), (408, "slow_head")]),
            "a body without end": (_slow(port, post(service, "Content-Length: 9999"), b" "), [(408, "slow_body")]),
            "chunks without end": (_slow(port, post(service, "Transfer-Encoding: chunked"), b"1\r\n \r\n"), [(408, "slow_body")]),
            "a body that stops": (_slow(port, post(service, "Content-Length: 9999") + b"{", b""), [(408, "slow_body")]),
            "a body that nobody reads": (_slow(port, post(service, "Content-Length: 99999", key=nobody), b" "), [(401, "api_key")]),
            "chunks that nobody reads": (
                _slow(port, post(service, "Transfer-Encoding: chunked", path="/"), b"1\r\n \r\n"),
                [(404, "no_such_address")],
            ),
        }
        slow = asyncio.gather(*(asked for asked, _ in wanted.values()))
        while not slow.done():
            await answered(service, port)
            await asyncio.sleep(SHORT / 10)
        found = dict(zip(wanted, await slow, strict=True))
        assert found == {name: (answers, True) for name, (_, answers) in wanted.items()}


async def test_answers_that_nobody_fetches_are_thrown_away_with_their_connection(service: Service) -> None:
    async with listening(service.app) as port:
        before = await _never_fetched(service)
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            held.setblocking(False)
            await asyncio.get_running_loop().sock_connect(held, ("127.0.0.1", port))
            held.send(get(service, "/openapi.json") * 300)
            async with asyncio.timeout(20):
                while await _never_fetched(service) == before:
                    await answered(service, port)
                    await asyncio.sleep(SHORT / 4)


async def test_a_server_that_stops_lets_an_answer_arrive_that_is_on_its_way(service: Service) -> None:
    loop, server = asyncio.get_running_loop(), AsyncExitStack()
    port = await server.enter_async_context(listening(service.app, send_buffer=4_096))
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        held.setblocking(False)
        await loop.sock_connect(held, ("127.0.0.1", port))
        await loop.sock_sendall(held, get(service, "/openapi.json"))
        await asyncio.sleep(SHORT / 4)
        stopping, said = asyncio.create_task(server.aclose()), b""
        await asyncio.sleep(SHORT / 4)
        while part := await loop.sock_recv(held, 65_536):
            said += part
        assert json.loads(said.partition(b"\r\n\r\n")[2])["paths"]
        await stopping


async def _never_fetched(service: Service) -> str:
    told = (await service.nobody.get("/metrics")).text
    return next((line for line in told.splitlines() if "connections_cut_total" in line and "not fetched" in line), "none")


async def test_a_client_that_sends_its_body_in_its_time_is_served(service: Service) -> None:
    async with listening(service.app) as port:
        client = await wire(port)
        said = post(service, f"Content-Length: {len(NOTE)}") + NOTE
        await client.say(*(said[at : at + 40] for at in range(0, len(said), 40)), pause=0.01)
        assert (await client.hear()).status == 202
        client.hang_up()


# ---------------------------------------------------------------- more than there may be


async def test_where_there_are_too_many_connections_the_one_that_has_kept_us_waiting_longest_makes_room(service: Service) -> None:
    async with listening(service.app, most=40) as port:
        first = await wire(port)
        await first.say(get(service))
        assert (await first.hear()).status == 200
        crowd = [await wire(port) for _ in range(100)]
        for client in crowd[::2]:
            await client.say(post(service, "Content-Length: 9999"))
        await answered(service, port)
        assert await first.is_cut()
        assert all([await client.is_cut() for client in crowd[:50]])
        for client in crowd:
            client.hang_up()


async def test_while_we_work_for_all_there_may_be_the_next_is_told_to_come_again(service: Service) -> None:
    async with listening(service.app, most=1) as port:
        served, late = await wire(port), None
        async with service.platform.turns.one():
            await served.say(get(service))
            async with asyncio.timeout(5):
                while not service.platform.turns.waiting:
                    await asyncio.sleep(0.01)
            late = await wire(port)
            refused = await late.hear()
            assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "unavailable", "2")
            assert await late.is_cut()
        assert (await served.hear()).status == 200, "and who was there is served"
        served.hang_up()
