"""Commands that share transactions: none is forgotten between two lanes that end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shared.http.gathering import LANES, Gathering
from shared.http.replies import Asked, Reply
from shared.http.turns import Turns

DONE = Reply(202, {})


class Transactions(Gathering[str]):
    """Every one waits to be let go, then refuses what is asked for the first time. No database."""

    def __init__(self) -> None:
        nothing: Any = None
        super().__init__("orders", nothing, nothing, Turns(8, 8), nothing)
        self.begun = 0
        self.go = asyncio.Event()

    async def _once(self, together: Sequence[Any]) -> list[Reply | Exception]:
        self.begun += 1
        await self.go.wait()
        return [KeyError("taken") if one.item == "first" else DONE for one in together]


def asked(key: str) -> Asked:
    return Asked("acme", "POST /orders", key, b"")


async def stubborn(gathering: Transactions) -> Reply:
    """Asks again the moment it is refused, as a request does whose number is taken."""
    with pytest.raises(KeyError):
        await gathering.ask(asked("first"), "first")
    return await gathering.ask(asked("again"), "again")


async def test_who_asks_again_while_every_lane_ends_is_served() -> None:
    gathering = Transactions()
    asking = [asyncio.create_task(stubborn(gathering))]
    for begun in range(1, LANES + 1):
        while gathering.begun < begun:
            await asyncio.sleep(0)
        if begun < LANES:
            asking.append(asyncio.create_task(gathering.ask(asked(f"other-{begun}"), "other")))
    gathering.go.set()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*asking) == [DONE] * LANES
