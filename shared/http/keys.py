"""Who is calling: the API key of a request, checked against the table of `shared.api_keys`."""

import hmac
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.api_keys import READ, WRITE, secret_hash
from shared.http.problems import Problem

CACHED_SECONDS = 5.0
"""A revoked key may work for this long in a process that has just seen it."""
MAX_CACHED = 10_000
_TOKEN = re.compile(r"em_([a-z0-9]{16})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling."""

    merchant: str
    key_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """The two parts of a key: which row, and what only its owner knows."""

    id: str
    secret: str = field(repr=False)


def token_in(authorization: str) -> Token | None:
    """The key in an Authorization header, if it has the form of one."""
    kind, _, token = authorization.strip().partition(" ")
    found = _TOKEN.fullmatch(token.strip()) if kind.lower() == "bearer" else None
    return Token(found[1], found[2]) if found else None


class Keys:
    """Checks keys against the table, and remembers each answer for five seconds."""

    def __init__(self, pool: AsyncEngine, pepper: bytes) -> None:
        self._pool, self._pepper = pool, pepper
        self._seen: dict[str, tuple[float, Any]] = {}

    async def identify(self, authorization: str, scope: str) -> Identity:
        """The caller named by an Authorization header. Raises Problem 401, or 403 where the key lacks the scope."""
        token = token_in(authorization)
        if token is None:
            raise _who("there is no API key in the request" if not authorization else "this is not an API key")
        row = await self._row(token.id)
        kept = row.secret_hash if row else bytes(32)
        if not hmac.compare_digest(kept, secret_hash(self._pepper, token.secret)) or row is None:
            raise _who("this API key is not known")
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
            raise _who("this API key was revoked or has expired")
        if scope not in row.scopes:
            remedy = f"use a key with the scope {scope}"
            raise Problem(403, "scope", f"this API key may not {scope}", field="Authorization", remedy=remedy)
        return Identity(row.merchant, token.id, frozenset(row.scopes))

    def knows(self, authorization: str) -> bool:
        """Whether this process has seen this very key before. It may be revoked by now."""
        token = token_in(authorization)
        row = self._seen.get(token.id, (0.0, None))[1] if token else None
        return token is not None and row is not None and hmac.compare_digest(row.secret_hash, secret_hash(self._pepper, token.secret))

    async def _row(self, key_id: str) -> Any:
        seen_at, row = self._seen.get(key_id, (0.0, None))
        now = time.monotonic()
        if seen_at and now - seen_at < CACHED_SECONDS:
            return row
        row = await self._load(key_id)
        if len(self._seen) >= MAX_CACHED:
            self._seen.clear()
        self._seen[key_id] = (now, row)
        return row

    async def _load(self, key_id: str) -> Any:
        """The row, and a note of its use, at most once a minute."""
        sql = text("""
            WITH used AS (
                UPDATE access.api_key SET last_used_at = now()
                WHERE id = :id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
            SELECT secret_hash, merchant, scopes, expires_at, revoked_at FROM access.api_key WHERE id = :id""")
        async with self._pool.begin() as connection:
            return (await connection.execute(sql, {"id": key_id})).one_or_none()


def scope_of(method: str) -> str:
    """What a request of this method needs."""
    return READ if method in {"GET", "HEAD", "OPTIONS"} else WRITE


async def _caller(request: Request) -> Identity:
    identity: Identity = request.state.caller
    return identity


Caller = Annotated[Identity, Depends(_caller)]


def _who(detail: str) -> Problem:
    remedy = "send Authorization: Bearer em_…; `earmark key create MERCHANT` makes a key and prints it once"
    return Problem(401, "api_key", detail, field="Authorization", remedy=remedy, headers={"WWW-Authenticate": "Bearer"})
