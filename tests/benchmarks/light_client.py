"""An HTTP client that takes next to nothing of the cores which it shares with the services that are measured. Knows only what these say: a
status, and a body of a length that is told."""

import asyncio
import re
from dataclasses import dataclass
from typing import cast

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS = slice(len("HTTP/1.1 "), len("HTTP/1.1 202"))


class HungUp(Exception):
    """The service ended a connection while it owed an answer. Its log says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class Client:
    """Posts to one service, every request on a connection that no other uses meanwhile. `lines`: of every request's head."""

    def __init__(self, port: int, *lines: str) -> None:
        self._port, self._lines = port, lines
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: object, *lines: str) -> Answer:
        """The answer to this body, as JSON. Raises HungUp, OSError."""
        said = msgspec.json.encode(body)
        about = ("Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(said)}")
        head = "\r\n".join((f"POST {path} HTTP/1.1", *about, *self._lines, *lines, "", ""))
        connection = await self._connection()
        answer = await connection.ask(head.encode("latin-1") + said)
        self._idle.append(connection)
        return answer

    async def _connection(self) -> "_Connection":
        while self._idle:
            if not (connection := self._idle.pop()).is_closed:
                return connection
        _, made = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return made

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._idle:
            connection.hang_up()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._heard = b""
        self._told: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        self._told = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._told

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing()

    def hang_up(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # the loop's promise for TCP; uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, ended, body = self._heard.partition(b"\r\n\r\n")
        if not ended:
            return
        length = _LENGTH.search(head + b"\r\n")
        assert length is not None, head
        if len(body) == int(length[1]):
            assert self._told is not None, "an answer that nobody asked for"
            self._heard = b""
            self._told.set_result(Answer(int(head[_STATUS]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._told is not None and not self._told.done():
            self._told.set_exception(HungUp(HungUp.__doc__))
