"""Replies to commands as they are stored, so that a repeat changes nothing: looked for and kept for many commands in one statement."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, BigInteger, LargeBinary, SmallInteger, Text, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from shared import metrics
from shared.http.problems import Problem


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
class Asked:
    """By what a command and its repeat are known."""

    merchant: str
    route: str
    key: str
    request_hash: bytes

    @property
    def name(self) -> tuple[str, str, str]:
        """What the reply is stored under."""
        return self.merchant, self.route, self.key

    def lock(self, service: str) -> int:
        """The number of its advisory lock."""
        return int.from_bytes(hashlib.sha256("\x00".join((service, *self.name)).encode()).digest()[:8], "big", signed=True)


async def look(connection: AsyncConnection, service: str, asked: Sequence[Asked]) -> tuple[datetime, list[Reply | Problem | None]]:
    """The database's time, and per command its stored reply, why it is refused, or None: it is new and locked by this transaction.

    The keys are locked and their replies looked for in one round trip. Between the two another may commit: the primary key finds that.
    """
    columns = {
        "locks": [one.lock(service) for one in asked],
        "merchants": [one.merchant for one in asked],
        "routes": [one.route for one in asked],
        "keys": [one.key for one in asked],
        # Many rows are planned anew: a plan kept from when a table was empty reads all of it for every key.
        "plans": "auto" if len(asked) == 1 else "force_custom_plan",
    }
    rows = (await connection.execute(_looking(service), columns)).all()
    seen: set[tuple[str, str, str]] = set()
    found = []
    for one, row in zip(asked, rows, strict=True):
        found.append(_verdict(service, one, row, row.mine and one.name not in seen))
        seen.add(one.name)
    return rows[0].now, found


async def keep(connection: AsyncConnection, service: str, replies: Sequence[tuple[Asked, Reply]]) -> None:
    """Store the replies with what they are about."""
    if replies:
        columns = {
            "merchants": [asked.merchant for asked, _ in replies],
            "routes": [asked.route for asked, _ in replies],
            "keys": [asked.key for asked, _ in replies],
            "hashes": [asked.request_hash for asked, _ in replies],
            "statuses": [reply.status for _, reply in replies],
            "headers": [json.dumps(_headers(reply)) for _, reply in replies],
            "bodies": [_dump(reply.body) for _, reply in replies],
        }
        await connection.execute(_keeping(service), columns)


def _verdict(service: str, asked: Asked, row: Any, mine: bool) -> Reply | Problem | None:
    if row.request_hash is None:
        return None if mine else _in_flight()
    if row.request_hash != asked.request_hash:
        detail = "this Idempotency-Key was used for another request"
        return Problem(422, "key_reused", detail, field="Idempotency-Key", remedy="use a new key for a new request")
    metrics.COMMANDS_REPLAYED.labels(service=service).inc()
    headers = dict(row.headers)
    return Reply(row.status, json.loads(row.body), headers.pop("Location", None), headers, replayed=True)


def _in_flight() -> Problem:
    detail = "a request with this Idempotency-Key is under way"
    return Problem(409, "in_flight", detail, field="Idempotency-Key", remedy="wait a second, then send it again", retry_after=1)


@cache
def _looking(schema: str) -> TextClause:
    # OFFSET 0 keeps the planner from joining the table as a whole: the key's row is read by its index, whatever the plan was made for.
    return text(f"""
        SELECT pg_try_advisory_xact_lock(one.lock) AS mine, now() AS now, found.request_hash, found.status, found.headers, found.body,
               set_config('plan_cache_mode', :plans, true)
        FROM unnest(:locks, :merchants, :routes, :keys) WITH ORDINALITY AS one(lock, merchant, route, key, place)
        LEFT JOIN LATERAL (
            SELECT kept.request_hash, kept.status, kept.headers, kept.body FROM {schema}.idempotency_key AS kept
            WHERE kept.merchant = one.merchant AND kept.route = one.route AND kept.key = one.key OFFSET 0) AS found ON true
        ORDER BY one.place""").bindparams(
        bindparam("locks", type_=ARRAY(BigInteger)), *(bindparam(name, type_=ARRAY(Text)) for name in ("merchants", "routes", "keys"))
    )


@cache
def _keeping(schema: str) -> TextClause:
    return text(f"""
        INSERT INTO {schema}.idempotency_key (merchant, route, key, request_hash, status, headers, body)
        SELECT merchant, route, key, request_hash, status, headers::jsonb, body
        FROM unnest(:merchants, :routes, :keys, :hashes, :statuses, :headers, :bodies)
          AS new(merchant, route, key, request_hash, status, headers, body)""").bindparams(
        *(bindparam(name, type_=ARRAY(Text)) for name in ("merchants", "routes", "keys", "headers")),
        *(bindparam(name, type_=ARRAY(LargeBinary)) for name in ("hashes", "bodies")),
        bindparam("statuses", type_=ARRAY(SmallInteger)),
    )


def _headers(reply: Reply) -> dict[str, str]:
    return reply.headers | ({"Location": reply.location} if reply.location else {})


def _dump(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> str:
    """Times as the queries' answers have them: UTC, with a Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")
