"""API keys as they are made and kept. A key names its merchant, so no body ever does.

A key is `em_<id>.<secret>`: the id finds the row, the secret is compared with its hash under the pepper. `shared.http.keys` checks them.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.schemas.values import Merchant

READ, WRITE = "read", "write"
_MERCHANT: TypeAdapter[str] = TypeAdapter(Merchant)


class MerchantRefused(ValueError):
    """A merchant's name has 1 to 64 letters, digits, `_`, `.` or `-` and begins with a letter or digit. Choose such a name."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `token` is shown once and kept nowhere."""

    id: str
    merchant: str
    token: str = field(repr=False)


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
    row = {"id": key_id, "secret_hash": secret_hash(pepper, secret), "merchant": merchant, "name": name, "scopes": list(scopes)}
    await connection.execute(sql, row | {"expires_at": expires_at})
    return NewKey(key_id, merchant, f"em_{key_id}.{secret}")


async def revoke_api_key(connection: AsyncConnection, key_id: str) -> bool:
    """End the key, within five seconds everywhere. False where there is none or it was revoked before."""
    sql = text("UPDATE access.api_key SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")
    return (await connection.execute(sql, {"id": key_id})).rowcount == 1


def secret_hash(pepper: bytes, secret: str) -> bytes:
    """What is kept of a secret. It has 256 random bits, so a quick keyed hash is right: a slow one per request would only invite floods."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()
