"""API keys from the command line: made and shown once, listed, revoked. Works on the database itself: the first key is made before any
request can be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.errors import ConsoleError
from shared import database
from shared.api_keys import READ, WRITE, MerchantRefused, NewKey, create_api_key, revoke_api_key
from shared.settings import Settings

_FIRST = 0x6B657931  # one at a time: two `earmark up` at once make one first key


class KeyRefused(ConsoleError):
    """No such key can be made. The message says what is wrong with the name."""


@dataclass(frozen=True, slots=True)
class Known:
    """A key as it may be shown: never its secret."""

    id: str
    merchant: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def state(self) -> str:
        """`revoked`, `expired` or `usable`."""
        if self.revoked_at is not None:
            return "revoked"
        over = self.expires_at is not None and self.expires_at <= datetime.now(self.expires_at.tzinfo)
        return "expired" if over else "usable"


async def first_key(settings: Settings, merchant: str) -> str | None:
    """The token of a new key where there is no key at all yet, else None. It is shown once and kept nowhere."""
    async with _changing(settings) as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FIRST})
        if await connection.scalar(text("SELECT EXISTS (SELECT FROM access.api_key)")):
            return None
        made = await create_api_key(connection, merchant, pepper=settings.pepper, name="made by earmark up")
        return made.token


async def create(settings: Settings, merchant: str, name: str = "", *, read_only: bool = False) -> NewKey:
    """A new key of the merchant. Raises KeyRefused."""
    async with _changing(settings) as connection:
        scopes = (READ,) if read_only else (READ, WRITE)
        try:
            return await create_api_key(connection, merchant, pepper=settings.pepper, name=name, scopes=scopes)
        except MerchantRefused as error:
            raise KeyRefused(str(error)) from error


async def revoke(settings: Settings, key_id: str) -> bool:
    """End a key, within five seconds everywhere. False where none with this id is in use."""
    async with _changing(settings) as connection:
        return await revoke_api_key(connection, key_id)


async def known(settings: Settings, merchant: str | None = None) -> list[Known]:
    """All keys, or those of one merchant, the oldest first."""
    sql = text("""
        SELECT id, merchant, name, scopes, created_at, expires_at, revoked_at, last_used_at FROM access.api_key
        WHERE CAST(:merchant AS text) IS NULL OR merchant = :merchant ORDER BY created_at, id""")
    async with _changing(settings) as connection:
        rows = await connection.execute(sql, {"merchant": merchant})
        return [Known(**{**row._mapping, "scopes": tuple(row.scopes)}) for row in rows]


@asynccontextmanager
async def _changing(settings: Settings) -> AsyncIterator[AsyncConnection]:
    pool = database.engine(settings, "earmark-keys")
    try:
        await database.require_schema(pool)
        async with pool.begin() as connection:
            yield connection
    finally:
        await database.dispose(pool)
