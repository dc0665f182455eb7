"""Rate limits: how many requests a second one API key, or one address that brings none, may make, over all processes of a service.

A token bucket in Postgres, of which every process draws a share at a time, so that a thousand requests cost ten round trips and not a
thousand. No library fits: `limits` and `slowapi` share their counts by Redis or Memcached, pyrate-limiter's Postgres bucket keeps a row
for every request.
"""

import asyncio
import ipaddress
import logging
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import Fault, classify
from shared.http.problems import Problem

log = logging.getLogger(__name__)

BURST_SECONDS = 2.0
"""Whoever was quiet may send what this many seconds allow, at once."""
SHARES_A_SECOND = 10
MAX_REMEMBERED = 10_000
_DRAW = text("""
    INSERT INTO access.request_allowance AS kept (subject, spent_until)
    VALUES (:subject, now() - make_interval(secs => :burst) + make_interval(secs => :share))
    ON CONFLICT ON CONSTRAINT request_allowance_pkey
    DO UPDATE SET spent_until = greatest(kept.spent_until, now() - make_interval(secs => :burst)) + make_interval(secs => :share)
    WHERE greatest(kept.spent_until, now() - make_interval(secs => :burst)) + make_interval(secs => :share) <= now()
    RETURNING subject""")
_FORGET = text("DELETE FROM access.request_allowance WHERE spent_until < now() - interval '1 hour'")


@dataclass(slots=True)
class _Bucket:
    """What one subject has left of the share that this process drew."""

    left: int = 0
    empty_until: float = 0.0
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limit:
    """`who` is what is counted, as the refusal names it; `setting` the environment variable that raises the limit."""

    def __init__(self, engine: AsyncEngine, name: str, per_second: int, who: str, setting: str) -> None:
        self._engine, self._name, self._per_second, self._who, self._setting = engine, name, per_second, who, setting
        self._share = max(1, per_second // SHARES_A_SECOND)
        self._buckets: dict[str, _Bucket] = {}

    async def spend(self, subject: str) -> None:
        """Count one request. Raises Problem 429."""
        bucket = self._bucket(subject)
        while bucket.left < 1:
            if self.is_spent(subject):
                raise self.refusal()
            async with bucket.drawing:
                if bucket.left < 1 and _now() >= bucket.empty_until:
                    await self._draw(subject, bucket)
        bucket.left -= 1

    def is_spent(self, subject: str) -> bool:
        """Whether nothing is left, as far as this process knows without asking the database."""
        bucket = self._buckets.get(subject)
        return bucket is not None and bucket.left < 1 and _now() < bucket.empty_until

    def refusal(self) -> Problem:
        """429 that names limit, remedy and time."""
        detail = f"{self._who} may make {self._per_second} requests a second"
        remedy = f"send less; put many orders or receipts into one request; or let the operator raise {self._setting}"
        return Problem(429, "rate_limit", detail, remedy=remedy, retry_after=1)

    def _bucket(self, subject: str) -> _Bucket:
        if subject not in self._buckets and len(self._buckets) >= MAX_REMEMBERED:
            self._buckets.clear()  # what was drawn and not spent is lost: a tenth of a second's worth
        return self._buckets.setdefault(subject, _Bucket())

    async def _draw(self, subject: str, bucket: _Bucket) -> None:
        seconds = self._share / self._per_second
        row = {"subject": f"{self._name}/{subject}", "burst": BURST_SECONDS, "share": seconds}
        try:
            async with self._engine.begin() as connection:
                granted = (await connection.execute(_DRAW, row)).first() is not None
        except Exception as error:
            if classify(error) is not Fault.RETRY:
                raise
            granted = True  # the database is away: the request will be told so, and a limit is not what it needs to hear
        if granted:
            bucket.left += self._share
        else:
            bucket.empty_until = _now() + seconds


async def forget_spent(engine: AsyncEngine) -> None:
    """Drop the rows of subjects that have been quiet for an hour."""
    async with engine.begin() as connection:
        await connection.execute(_FORGET)


def subject_of(address: str) -> str:
    """What is counted for an address: an IPv6 network of 64 bits is one customer's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _now() -> float:
    return asyncio.get_running_loop().time()
