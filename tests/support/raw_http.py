"""A client that says bytes, not requests; and the product's own server around an application that runs already."""

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from shared.http.serving import server

PATIENCE_SECONDS = 20.0
"""For what should happen in a fraction of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0: not a word."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    document: Any = None

    @property
    def code(self) -> str:
        """The problem's word; empty where it is no problem."""
        return str(self.document.get("code", "")) if isinstance(self.document, dict) else ""


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send the pieces, with a pause behind each; stops where the other side has hung up."""
        for piece in pieces:
            if self.is_closed:
                await asyncio.sleep(pause)
                return
            with contextlib.suppress(ConnectionError):
                self._writer.write(piece)
                await self._writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> Answer:
        """The next answer."""
        try:
            async with asyncio.timeout(seconds):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                status, *lines = head.split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0)
        kind = headers.get("content-type", "")
        return Answer(int(status.split()[1]), headers, json.loads(body) if "json" in kind else body.decode())

    async def is_cut(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for the other side to hang up; what it says before is not looked at."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be said any more."""
        return self._writer.is_closing()

    def hang_up(self) -> None:
        """As a client does that wants no more."""
        self._writer.close()

    def reset(self) -> None:
        """As one does that has crashed."""
        held: socket.socket = self._writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


async def wire(port: int, **how: Any) -> Wire:
    """A new connection."""
    return Wire(*await asyncio.open_connection("127.0.0.1", port, **how))


async def ask(port: int, *pieces: bytes, pause: float = 0.0) -> tuple[Answer, bool]:
    """Say this on a new connection, all of it; what came back, and whether the other side hung up behind it."""
    client = await wire(port)
    await client.say(*pieces, pause=pause)
    answer = await client.hear()
    cut = await client.is_cut() if answer.headers.get("connection") == "close" or not answer.status else False
    client.hang_up()
    return answer, cut


def complaints(records: Iterable[logging.LogRecord]) -> list[str]:
    """What a server said of itself: faults of ours, which no client may bring about. That Kafka is away is none."""
    least = {"uvicorn": logging.WARNING, "shared": logging.WARNING, "asyncio": logging.ERROR}
    ours = [one for one in records if one.levelno >= least.get(one.name.partition(".")[0], logging.CRITICAL)]
    return [f"{one.name}: {one.getMessage()}" for one in ours if not one.name.startswith("shared.relay")]


def head(*lines: str) -> bytes:
    """The head of a request, its end included."""
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@asynccontextmanager
async def listening(app: FastAPI, most: int = 1_000, send_buffer: int | None = None) -> AsyncIterator[int]:
    """The port where the product's server serves an application whose lifespan runs already. `send_buffer`: bytes that the system takes off
    the server's hands, for each connection."""
    found = server(app, "inventory", host="127.0.0.1", port=0, most=most)
    found.config.lifespan = "off"
    serving = asyncio.create_task(found.serve())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not found.started:
            await asyncio.sleep(0.01)
    if send_buffer is not None:
        found.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    try:
        yield found.servers[0].sockets[0].getsockname()[1]
    finally:
        found.should_exit = True
        await serving
