"""A TCP proxy in front of Postgres that loses a COMMIT or the answer to it, as a broken network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Cut = Literal["before", "after"]
"""Whether the connection breaks before COMMIT reaches the server, or after it took effect and before its answer comes back."""


class CuttingProxy:
    """Passes bytes on until it is armed and a COMMIT comes."""

    def __init__(self, dsn: str) -> None:
        self._there = urlsplit(dsn)
        self._armed: Cut | None = None
        self._swallowing = False
        self.dsn = dsn
        self.clients: set[asyncio.Task[None]] = set()

    def arm(self, cut: Cut) -> None:
        """Break the connection at the next COMMIT."""
        self._armed = cut

    def disarm(self) -> None:
        """Pass everything on again, for connections made from now on."""
        self._armed, self._swallowing = None, False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either end hangs up."""
        task = asyncio.current_task()
        assert task is not None
        self.clients.add(task)
        task.add_done_callback(self.clients.discard)
        there = await asyncio.open_connection(self._there.hostname, self._there.port or 5432)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._to_server(reader, there[1]))
                both.create_task(self._to_client(there[0], writer))
        except* (ConnectionError, _Cut):
            pass
        finally:
            writer.close()
            there[1].close()

    async def _to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._armed and b"COMMIT" in data:
                if self._armed == "before":
                    raise _Cut
                self._swallowing = True
            writer.write(data)
            await writer.drain()
        raise _Cut

    async def _to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._swallowing:
                raise _Cut
            writer.write(data)
            await writer.drain()
        raise _Cut


class _Cut(Exception):
    """Both directions end."""


@asynccontextmanager
async def cutting_proxy(dsn: str) -> AsyncIterator[CuttingProxy]:
    """A proxy to the server of `dsn`; connect to its own `dsn`, and hang up before the end."""
    proxy = CuttingProxy(dsn)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    there = urlsplit(dsn)
    login = there.netloc.rpartition("@")[0]
    proxy.dsn = urlunsplit(there._replace(netloc=f"{login}@127.0.0.1:{port}" if login else f"127.0.0.1:{port}"))
    try:
        yield proxy
    finally:
        server.close()
        if proxy.clients:
            await asyncio.wait(proxy.clients, timeout=5)
