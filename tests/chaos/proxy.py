"""A TCP proxy in front of a server that does what networks do: cuts, delays, goes silent, loses COMMIT or the answer to it."""

import asyncio
import socket
import struct
from random import Random

CHUNK = 65_536
AT_ONCE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes on to 127.0.0.1:`server_port`, which may be told later. Every fault hits a random share of the connections, so that one
    process suffers and another does not."""

    def __init__(self, random: Random, server_port: int = 0) -> None:
        self.server_port, self._random = server_port, random
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.delay_seconds = (0.0, 0.0)
        """The shortest and longest time that a piece of data is held up."""
        self.commits_to_lose = 0

    async def start(self) -> int:
        """Listen on a port of 127.0.0.1, which is returned."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for link in self._links:
            link.abort()

    # ---------------------------------------------------------------- faults

    def cut(self, share: float) -> int:
        """Reset a share of the connections; returns how many."""
        hit = self._some(share)
        for link in hit:
            link.abort()
        return len(hit)

    def silence(self, share: float) -> "Silence":
        """A share of the connections swallows what is sent and stays open, until the silence is ended."""
        return Silence(self._some(share))

    def loses_commit(self) -> bool:
        """Whether this COMMIT is one of those to lose."""
        if self.commits_to_lose == 0:
            return False
        self.commits_to_lose -= 1
        return True

    def _some(self, share: float) -> "list[_Link]":
        links = sorted(self._links, key=lambda link: link.number)
        return [link for link in links if self._random.random() < share]

    # ---------------------------------------------------------------- connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, self._random, writer, there[1])
        self._links.add(link)
        try:
            await link.run(reader, there[0])
        finally:
            self._links.discard(link)


class Silence:
    """Connections that are half open."""

    def __init__(self, links: "list[_Link]") -> None:
        self._links = links
        for link in links:
            link.is_silent = True

    @property
    def count(self) -> int:
        return len(self._links)

    def end(self) -> None:
        """Whoever still believes in them learns that they are gone: bytes were lost, so they can not go on."""
        for link in self._links:
            link.abort()


class _Link:
    """One connection."""

    _made = 0

    def __init__(self, proxy: Proxy, random: Random, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        _Link._made += 1
        self.number = _Link._made
        self.is_silent = False
        self._swallows_answer = False
        self._proxy, self._random, self._client, self._server = proxy, random, client, server

    async def run(self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        """Until either end hangs up."""
        both = [asyncio.create_task(self._to_server(from_client)), asyncio.create_task(self._to_client(from_server))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.abort()
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def abort(self) -> None:
        """Reset both halves: without lingering, so that the other side is not told of an end but of a break."""
        for writer in (self._client, self._server):
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    async def _to_server(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            if b"COMMIT" in data and self._proxy.loses_commit():
                if self._random.random() < 0.5:
                    return  # before it took effect
                self._swallows_answer = True
            await self._pass_on(data, self._server)

    async def _to_client(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            if self._swallows_answer:
                return
            await self._pass_on(data, self._client)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._proxy.delay_seconds[1]:
            await asyncio.sleep(self._random.uniform(*self._proxy.delay_seconds))
        if not self.is_silent:
            writer.write(data)
            await writer.drain()
