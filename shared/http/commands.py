"""Idempotent commands: one transaction holds the command's effect, its events and its stored reply, so that a repeat changes nothing.

Scoped to merchant and route. The same key with another body is refused; one that is under way is told so; a stored reply is replayed.
Nothing is stored for a refusal: nothing has happened then, and the same key may be tried again.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.http.bodies import StrictRequest
from shared.http.gathering import Item, Place, Shared, retried
from shared.http.keys import Identity
from shared.http.platform import Platform
from shared.http.prefer import Preference
from shared.http.problems import Problem, unavailable
from shared.http.replies import Asked, Reply, keep, look
from shared.partitions.crash import crash_point
from shared.relay import Outgoing
from shared.schemas.wire import traceparent_of

KEPT_DAYS = 7
MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Unit:
    """One command's transaction. `now` is the database's time, the same for everything in it."""

    connection: AsyncConnection
    caller: Identity
    now: datetime
    platform: Platform

    @property
    def merchant(self) -> str:
        """Whose command it is, from the API key."""
        return self.caller.merchant

    @property
    def shared(self) -> Shared:
        """As those have it who work for many commands at once."""
        return Shared(self.connection, self.platform.outbox, self.now)

    async def emit(self, *outgoing: Outgoing) -> None:
        """Write events into the outbox. Lock the entity's row before: the ids are drawn here. Raises MessageTooLarge."""
        await self.platform.outbox.append(self.connection, self.now, *outgoing)


@dataclass(frozen=True, slots=True)
class Runner:
    """One request that is a command. `traceparent`: the trace (W3C) that it belongs to, for the events that it causes."""

    platform: Platform
    caller: Identity
    route: str
    key: str
    request_hash: bytes
    traceparent: str | None = None

    async def run(self, work: Callable[[Unit], Awaitable[Reply]]) -> Reply:
        """Do `work` in one transaction with its stored reply, or replay that. `work` may run again after a deadlock: it must keep
        nothing outside the unit. Never cancelled in the middle of a commit."""
        self._refuse_when_full()
        return await asyncio.shield(retried(lambda: self._once(work)))

    async def share(self, place: Place[Item], item: Item) -> Reply:
        """As `run`, in one transaction with the commands of the same kind that wait at this moment. Never cancelled once begun."""
        self._refuse_when_full()
        return await self.platform.gathering(place).ask(self._asked(), item)

    async def wait(
        self, reply: Reply, prefer: Preference, subject: str | Collection[str], probe: Callable[[], Awaitable[Reply | None]]
    ) -> Reply:
        """The decision itself, where `probe` finds it in time, else `reply`. For replayed replies too. Several subjects: the answer to
        many commands at once. Where the line is too long for a look, it is looked again later: the command itself is done."""
        if prefer.wait_seconds <= 0:
            return reply

        async def look_now() -> Reply | None:
            try:
                return await probe()
            except Problem as refused:
                if refused.status != 503:
                    raise
                return None

        decided = await self.platform.waiting.until([subject] if isinstance(subject, str) else subject, prefer.wait_seconds, look_now)
        if decided is None:
            return reply
        applied = decided.headers | {"Preference-Applied": f"wait={prefer.wait_seconds:g}"}
        return replace(decided, headers=applied, location=decided.location or reply.location, replayed=reply.replayed)

    async def _once(self, work: Callable[[Unit], Awaitable[Reply]]) -> Reply:
        async with self.platform.turns.one(), self.platform.engine.begin() as connection:
            now, (found,) = await look(connection, self.platform.service, [self._asked()])
            if isinstance(found, Problem):
                raise found
            if found is not None:
                return found
            reply = await work(Unit(connection, self.caller, now, self.platform))
            await keep(connection, self.platform.service, [(self._asked(), reply)])
            crash_point("command_written")
        crash_point("command_committed")
        return reply

    def _asked(self) -> Asked:
        return Asked(self.caller.merchant, self.route, self.key, self.request_hash)

    def _refuse_when_full(self) -> None:
        if self.platform.outbox_is_full:
            raise unavailable("too many events wait for Kafka; commands are taken again when it is back")


async def _runner(
    request: Request,
    key: Annotated[
        str,
        Header(
            alias="Idempotency-Key", min_length=1, max_length=MAX_KEY, pattern=r"^[\x21-\x7e]+$",
            description="any text that is new for a new command; a repeat with the same key changes nothing and gets the same answer",
        ),
    ],
) -> Runner:  # fmt: skip
    assert isinstance(request, StrictRequest), "commands live on routes made by router()"
    body = (await request.json()).canonical() if await request.body() else b""
    content = f"{request.url.path}?{request.url.query}\n".encode() + body
    route = f"{request.method} {request.scope['route'].path_format}"
    trace = traceparent_of(request.headers)
    return Runner(request.app.state.platform, request.state.caller, route, key, hashlib.sha256(content).digest(), trace)


Command = Annotated[Runner, Depends(_runner)]
