"""The benchmark's HTTP client: whole answers however they come, a connection for each request that is under way, and no silence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.benchmarks.light_client import Answer, Client, HungUp

Answers = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
TAKEN = b'HTTP/1.1 202 Accepted\r\nserver: x\r\nContent-Length: 12\r\nx-y: z\r\n\r\n{"number":1}'


class Service:
    """Hears requests on a port, answers each as it was told to, and counts connections."""

    def __init__(self, answer: Answers) -> None:
        self._answer = answer
        self.heard: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while not reader.at_eof() and (heard := await reader.read(65_536)):
            self.heard.append(heard)
            await self._answer(heard, writer)
        writer.close()


@asynccontextmanager
async def serving(answer: Answers) -> AsyncIterator[tuple[Service, Client]]:
    service = Service(answer)
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
        client = Client(server.sockets[0].getsockname()[1], "Authorization: Bearer k")
        yield service, client
        client.close()


async def takes(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(TAKEN)


async def test_a_request_says_who_asks_and_how_long_its_body_is() -> None:
    async with serving(takes) as (service, client):
        assert await client.post("/orders", {"number": "A-1"}, "Idempotency-Key: 7") == Answer(202, b'{"number":1}')
    head, _, body = service.heard[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert (first, body) == ("POST /orders HTTP/1.1", b'{"number":"A-1"}')
    assert {"Authorization: Bearer k", "Idempotency-Key: 7", f"Content-Length: {len(body)}", "Content-Type: application/json"} < set(lines)


@pytest.mark.parametrize("cut", range(1, len(TAKEN), 7))
async def test_an_answer_in_two_pieces_is_one(cut: int) -> None:
    async def halting(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(TAKEN[:cut])
        await asyncio.sleep(0.002)
        writer.write(TAKEN[cut:])

    async with serving(halting) as (_, client):
        assert await client.post("/orders", {}) == Answer(202, b'{"number":1}')


async def test_a_connection_is_used_again_and_never_by_two_at_once() -> None:
    async with serving(takes) as (service, client):
        for _ in range(3):
            await client.post("/orders", {})
        assert service.connections == 1
        await asyncio.gather(*[client.post("/orders", {}) for _ in range(3)])
        assert service.connections == 3


async def test_a_refusal_is_an_answer() -> None:
    async def refuses(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n")

    async with serving(refuses) as (_, client):
        assert await client.post("/orders", {}) == Answer(429, b"")


async def test_a_service_that_hangs_up_is_no_answer_and_its_connection_is_not_used_again() -> None:
    async def hangs_up(heard: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/first" in heard:
            writer.write(TAKEN[:30])
            writer.close()
        else:
            writer.write(TAKEN)

    async with serving(hangs_up) as (service, client):
        with pytest.raises(HungUp):
            await client.post("/first", {})
        assert (await client.post("/second", {})).status == 202
        assert service.connections == 2


async def test_a_connection_that_was_cut_while_it_rested_is_not_used_again() -> None:
    async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(TAKEN)
        writer.close()

    async with serving(once) as (service, client):
        for _ in range(2):
            assert (await client.post("/orders", {})).status == 202
            await asyncio.sleep(0.01)
        assert service.connections == 2
