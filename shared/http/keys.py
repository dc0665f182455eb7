"""API keys: who is calling. A key names its merchant, so no body ever does.

A key is `em_<id>.<secret>`: the id finds the row, the secret is compared with its hash under the pepper. Keys have 256 random bits, so
a quick keyed hash is right: a slow password hash per request would only invite floods.
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.http.problems import Problem
from shared.schemas.values import Merchant

READ, WRITE = "read", "write"
CACHED_SECONDS = 5.0
"""A revoked key may work for this long in a process that has just seen it."""
MAX_CACHED = 10_000
_TOKEN = re.compile(r"^em_([a-z0-9]{16})\.([A-Za-z0-9_-]{43})$")
_MERCHANT: TypeAdapter[str] = TypeAdapter(Merchant)


class MerchantRefused(ValueError):
    """A merchant's name has 1 to 64 letters, digits, `_`, `.` or `-` and begins with a letter or digit. Choose such a name."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `token` is shown once and kept nowhere."""

    id: str
    merchant: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling."""

    merchant: str
    key_id: str
    scopes: frozenset[str]


async def create_api_key(
    connection: AsyncConnection,
    merchant: str,
    *,
    pepper: bytes,
    name: str = "",
    scopes: tuple[str, ...] = (READ, WRITE),
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key for the merchant. A merchant may have several, so that one can be replaced without a gap. Raises MerchantRefused."""
    try:
        _MERCHANT.validate_python(merchant)
    except ValidationError:
        raise MerchantRefused(f"{merchant[:80]!r}: {MerchantRefused.__doc__}") from None
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    sql = text("""
        INSERT INTO access.api_key (id, secret_hash, merchant, name, scopes, expires_at)
        VALUES (:id, :secret_hash, :merchant, :name, :scopes, :expires_at)""")
    row = {"id": key_id, "secret_hash": _hash(pepper, secret), "merchant": merchant, "name": name, "scopes": list(scopes)}
    await connection.execute(sql, row | {"expires_at": expires_at})
    return NewKey(key_id, merchant, f"em_{key_id}.{secret}")


async def revoke_api_key(connection: AsyncConnection, key_id: str) -> bool:
    """End the key, within five seconds everywhere. False where there is none or it was revoked before."""
    sql = text("UPDATE access.api_key SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")
    return (await connection.execute(sql, {"id": key_id})).rowcount == 1


class Keys:
    """Checks keys against the table, and remembers each answer for five seconds."""

    def __init__(self, pool: AsyncEngine, pepper: bytes) -> None:
        self._pool, self._pepper = pool, pepper
        self._seen: dict[str, tuple[float, Any]] = {}

    async def identify(self, authorization: str, scope: str) -> Identity:
        """The caller named by an Authorization header. Raises Problem 401, or 403 where the key lacks the scope."""
        kind, _, token = authorization.partition(" ")
        found = _TOKEN.match(token.strip()) if kind.lower() == "bearer" else None
        if found is None:
            raise _who("there is no API key in the request" if not authorization else "this is not an API key")
        row = await self._row(found[1])
        secret_hash = row.secret_hash if row else bytes(32)
        if not hmac.compare_digest(secret_hash, _hash(self._pepper, found[2])) or row is None:
            raise _who("this API key is not known")
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
            raise _who("this API key was revoked or has expired")
        if scope not in row.scopes:
            remedy = f"use a key with the scope {scope}"
            raise Problem(403, "scope", f"this API key may not {scope}", field="Authorization", remedy=remedy)
        return Identity(row.merchant, found[1], frozenset(row.scopes))

    def knows(self, authorization: str) -> bool:
        """Whether this process has seen this very key before. It may be revoked by now."""
        found = _TOKEN.match(authorization.partition(" ")[2].strip())
        row = self._seen.get(found[1], (0.0, None))[1] if found else None
        return found is not None and row is not None and hmac.compare_digest(row.secret_hash, _hash(self._pepper, found[2]))

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


def _hash(pepper: bytes, secret: str) -> bytes:
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()


def _who(detail: str) -> Problem:
    remedy = "send Authorization: Bearer em_…; `earmark key create MERCHANT` makes a key and prints it once"
    return Problem(401, "api_key", detail, field="Authorization", remedy=remedy, headers={"WWW-Authenticate": "Bearer"})
