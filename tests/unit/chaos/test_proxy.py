"""The network of chaos does what it is told: passes on, cuts, delays, goes silent, loses a COMMIT or the answer to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.chaos.proxy import Proxy

BRIEFLY = 0.2


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1_000):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection to an echo, through a proxy."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    proxy = Proxy(Random(1), server.sockets[0].getsockname()[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.start())
    try:
        await _say(reader, writer, b"first")
        yield proxy, reader, writer
    finally:
        writer.transport.abort()
        await proxy.stop()
        server.close()


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
    writer.write(text)
    assert await asyncio.wait_for(reader.readexactly(len(text)), 5) == text


async def test_a_cut_connection_is_reset() -> None:
    async with connection() as (proxy, reader, _):
        assert proxy.cut(1.0) == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)


async def test_a_delay_holds_up_both_ways() -> None:
    async with connection() as (proxy, reader, writer):
        proxy.delay_seconds = (0.1, 0.1)
        began = time.monotonic()
        await _say(reader, writer, b"late")
        assert time.monotonic() - began >= BRIEFLY


async def test_a_silent_connection_stays_open_until_the_silence_ends() -> None:
    async with connection() as (proxy, reader, writer):
        silence = proxy.silence(1.0)
        assert silence.count == 1
        writer.write(b"anybody there?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), BRIEFLY)
        silence.end()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)


async def test_a_commit_is_lost_as_often_as_asked_and_then_passed_on() -> None:
    async with connection() as (proxy, reader, writer):
        proxy.commits_to_lose = 1
        writer.write(b"COMMIT")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(1), 5)
        assert proxy.commits_to_lose == 0
    async with connection() as (_, reader, writer):
        await _say(reader, writer, b"COMMIT")
