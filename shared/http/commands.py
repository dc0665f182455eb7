"""Idempotent commands: one transaction holds the command's effect, its events and its stored reply, so that a repeat changes nothing.

Scoped to merchant and route. The same key with another body is refused; one that is under way is told so; a stored reply is replayed.
Nothing is stored for a refusal: nothing has happened then, and the same key may be tried again.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from shared import metrics
from shared.database import constraint, sqlstate
from shared.http.bodies import StrictRequest
from shared.http.keys import Identity
from shared.http.platform import Platform
from shared.http.prefer import Preference
from shared.http.problems import Problem, unavailable
from shared.partitions.crash import crash_point
from shared.relay import Outgoing

KEPT_DAYS = 7
MAX_KEY = 255
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command. `body`: anything JSON; times may stand in it. `replayed`: it was stored before, nothing was done now."""

    status: int
    body: Any
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False

    def response(self) -> Response:
        """As HTTP."""
        named = self.headers | ({"Location": self.location} if self.location else {})
        named |= {"Idempotent-Replayed": "true"} if self.replayed else {}
        return Response(_dump(self.body), self.status, named, "application/json")


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

    async def emit(self, *outgoing: Outgoing) -> None:
        """Write events into the outbox. Lock the entity's row before: the ids are drawn here. Raises MessageTooLarge."""
        await self.platform.outbox.append(self.connection, self.now, *outgoing)


@dataclass(frozen=True, slots=True)
class Runner:
    """One request that is a command."""

    platform: Platform
    caller: Identity
    route: str
    key: str
    request_hash: bytes

    async def run(self, work: Callable[[Unit], Awaitable[Reply]]) -> Reply:
        """Do `work` in one transaction with its stored reply, or replay that. `work` may run again after a deadlock: it must keep
        nothing outside the unit. Never cancelled in the middle of a commit."""
        if self.platform.outbox_is_full:
            raise unavailable("too many events wait for Kafka; commands are taken again when it is back")
        for _ in range(_ATTEMPTS):
            try:
                return await asyncio.shield(self._once(work))
            except DBAPIError as error:
                if (sqlstate(error) or "")[:2] != "40" and constraint(error) != "idempotency_key_pkey":
                    raise
        raise unavailable("others keep changing the same thing")

    async def wait(
        self, reply: Reply, prefer: Preference, subject: str | Collection[str], probe: Callable[[], Awaitable[Reply | None]]
    ) -> Reply:
        """The decision itself, where `probe` finds it in time, else `reply`. For replayed replies too. Several subjects: the answer to
        many commands at once."""
        if prefer.wait_seconds <= 0:
            return reply
        decided = await self.platform.waiting.until([subject] if isinstance(subject, str) else subject, prefer.wait_seconds, probe)
        if decided is None:
            return reply
        applied = decided.headers | {"Preference-Applied": f"wait={prefer.wait_seconds:g}"}
        return replace(decided, headers=applied, location=decided.location or reply.location, replayed=reply.replayed)

    async def _once(self, work: Callable[[Unit], Awaitable[Reply]]) -> Reply:
        async with self.platform.engine.begin() as connection:
            row = await self._look(connection)
            if row.request_hash is not None:
                return self._stored(row)
            if not row.mine:
                detail = "a request with this Idempotency-Key is under way"
                raise Problem(409, "in_flight", detail, field="Idempotency-Key", remedy="wait a second, then send it again", retry_after=1)
            reply = await work(Unit(connection, self.caller, row.now, self.platform))
            await self._store(connection, reply)
            crash_point("command_written")
        crash_point("command_committed")
        return reply

    async def _look(self, connection: AsyncConnection) -> Any:
        """Lock the key and look for its reply in one round trip. Between the two another may commit: the primary key finds that."""
        return (await connection.execute(_look_up(self.platform.service), self._id() | {"lock": self._lock()})).one()

    def _stored(self, row: Any) -> Reply:
        if row.request_hash != self.request_hash:
            detail = "this Idempotency-Key was used for another request"
            raise Problem(422, "key_reused", detail, field="Idempotency-Key", remedy="use a new key for a new request")
        metrics.COMMANDS_REPLAYED.labels(service=self.platform.service).inc()
        headers = dict(row.headers)
        return Reply(row.status, json.loads(row.body), headers.pop("Location", None), headers, replayed=True)

    async def _store(self, connection: AsyncConnection, reply: Reply) -> None:
        headers = reply.headers | ({"Location": reply.location} if reply.location else {})
        row = {"request_hash": self.request_hash, "status": reply.status, "headers": json.dumps(headers), "body": _dump(reply.body)}
        await connection.execute(_keep(self.platform.service), self._id() | row)

    def _id(self) -> dict[str, Any]:
        return {"merchant": self.caller.merchant, "route": self.route, "key": self.key}

    def _lock(self) -> int:
        name = "\x00".join((self.platform.service, self.caller.merchant, self.route, self.key))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@cache
def _look_up(schema: str) -> TextClause:
    return text(f"""
        SELECT pg_try_advisory_xact_lock(:lock) AS mine, now() AS now, found.request_hash, found.status, found.headers, found.body
        FROM (SELECT 1) AS one LEFT JOIN {schema}.idempotency_key AS found
          ON found.merchant = :merchant AND found.route = :route AND found.key = :key""")


@cache
def _keep(schema: str) -> TextClause:
    return text(f"""
        INSERT INTO {schema}.idempotency_key (merchant, route, key, request_hash, status, headers, body)
        VALUES (:merchant, :route, :key, :request_hash, :status, CAST(:headers AS jsonb), :body)""")


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
    return Runner(request.app.state.platform, request.state.caller, route, key, hashlib.sha256(content).digest())


Command = Annotated[Runner, Depends(_runner)]


def _dump(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> str:
    """Times as the queries' answers have them: UTC, with a Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")
