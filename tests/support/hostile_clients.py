"""Everything that a hostile client can do to an HTTP service of ours, at once and for as long as it is let."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.beside import beside
from tests.support.raw_http import Wire, head, wire

MEGABYTE = 2**20
IDLE, SLOW = 400, 40
_BROKEN = [
    b"\x16\x03\x01\x02\x00" + bytes(100),
    b"G" * 70_000,
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    b"POST /orders HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"GET /orders/%00 HTTP/1.1\r\nHost: s\r\n\r\n" * 50,
    b"GET /orders\x00 HTTP/1.1\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    bytes(range(256)) * 40,
]


@dataclass
class Hostiles:
    """Clients of one port, some of whom have a key. `loud`: also those who cost both sides much work. `answers`: how often each status
    came."""

    port: int
    key: str
    loud: bool = True
    answers: dict[int, int] = field(default_factory=dict)
    cut: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    def work(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Who they are; each goes on until cancelled."""
        slow = [self._slow_head, self._slow_body, self._idle] * SLOW
        loud = [self._floods, self._huge, self._hugely_named] if self.loud else []
        return [*slow, *[self._idle] * (IDLE - SLOW), self._broken, self._breaks_off, *loud]

    def _post(self, *more: str) -> bytes:
        named = [f"Authorization: Bearer {self.key}", f"Idempotency-Key: hostile-{next(self._numbers)}", "Content-Type: application/json"]
        return head("POST /orders HTTP/1.1", "Host: s", *named, *more)

    async def _hear(self, client: Wire) -> None:
        answer = await client.hear(seconds=60)
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1

    async def _idle(self) -> None:
        client = await wire(self.port)
        await client.is_cut(seconds=60)
        self.cut += 1

    async def _slow_head(self) -> None:
        client = await wire(self.port)
        listening = asyncio.create_task(self._hear(client))
        while not listening.done():
            await client.say(b"G", pause=0.5)
        self.cut += 1

    async def _slow_body(self) -> None:
        client = await wire(self.port)
        await client.say(self._post("Content-Length: 1000"))
        listening = asyncio.create_task(self._hear(client))
        while not listening.done():
            await client.say(b" ", pause=0.5)

    async def _broken(self) -> None:
        for said in itertools.cycle(_BROKEN):
            client = await wire(self.port)
            await client.say(said)
            await self._hear(client)
            client.hang_up()
            await asyncio.sleep(0.02)

    async def _breaks_off(self) -> None:
        chance, whole = random.Random(1), self._post("Content-Length: 2") + b"{}"
        while True:
            client = await wire(self.port)
            await client.say(whole[: chance.randrange(len(whole))])
            client.reset()
            await asyncio.sleep(0.01)

    async def _floods(self) -> None:
        """Requests without a key, faster than they are answered."""
        while True:
            client = await wire(self.port)
            await client.say(head("GET /orders HTTP/1.1", "Host: s") * 20)
            for _ in range(20):
                await self._hear(client)
            client.hang_up()
            await asyncio.sleep(0.1)

    async def _huge(self) -> None:
        """Twenty megabytes, with and without saying so before."""
        pieces = {"Content-Length: 20971520": b" " * MEGABYTE, "Transfer-Encoding: chunked": b"100000\r\n" + b" " * MEGABYTE + b"\r\n"}
        for said in itertools.cycle(pieces):
            client = await wire(self.port)
            await client.say(self._post(said), *[pieces[said]] * 20)
            await self._hear(client)
            client.hang_up()
            await asyncio.sleep(1)

    async def _hugely_named(self) -> None:
        """As many names as a body has room for, one of them twice."""
        body = b"{" + b",".join(b'"%x":1' % number for number in range(20_000)) + b',"x":1,"x":2}'
        while True:
            client = await wire(self.port)
            await client.say(self._post(f"Content-Length: {len(body)}"), body)
            await self._hear(client)
            client.hang_up()
            await asyncio.sleep(0.5)


async def attack(hostiles: Hostiles) -> None:
    """Until cancelled. Whoever is cut off stays away."""
    async with beside(*map(_undaunted, hostiles.work())) as tasks:
        await asyncio.gather(*tasks)
        await asyncio.Event().wait()


async def _undaunted(one: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with suppress(ConnectionError):
        await one()
