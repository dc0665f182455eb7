"""Cursor pagination: stable under inserts, unlike pages by number. A cursor is signed, so that what comes back is what was sent."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from shared.http.problems import Problem

MAX_LIMIT = 200
_TAG_BYTES = 16


def encode(key: bytes, scope: str, values: Sequence[str | int | None]) -> str:
    """The cursor after a row with these sort values. `scope` names merchant, route, filters and sort: elsewhere it is refused."""
    body = json.dumps(list(values), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_tag(key, scope, body) + body).rstrip(b"=").decode()


def decode(key: bytes, scope: str, cursor: str) -> list[Any]:
    """The values again. Raises Problem 422 for anything that we did not make for this scope."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _strange() from None
    tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, scope, body)):
        raise _strange()
    values: list[Any] = json.loads(body)
    return values


@dataclass(frozen=True, slots=True)
class Paging:
    """One page of a list: at most `limit` items, after `cursor`."""

    limit: int
    cursor: str | None
    key: bytes

    def after(self, scope: str) -> list[Any] | None:
        """The sort values of the last row of the page before; None for the first page."""
        return decode(self.key, scope, self.cursor) if self.cursor else None

    def reply(self, scope: str, items: Sequence[Any], last: Sequence[str | int | None] | None) -> dict[str, Any]:
        """The body of the answer. `last`: sort values of the last item where more may follow, else None."""
        return {"items": list(items), "next_cursor": encode(self.key, scope, last) if last is not None else None}


async def _of(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many at most")] = 50,
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")] = None,
) -> Paging:
    return Paging(limit, cursor, request.app.state.platform.cursor_key)


Page = Annotated[Paging, Depends(_of)]


def _tag(key: bytes, scope: str, body: bytes) -> bytes:
    return hmac.new(key, scope.encode() + b"\x00" + body, hashlib.sha256).digest()[:_TAG_BYTES]


def _strange() -> Problem:
    remedy = "begin again without a cursor; keep filters and sort the same from page to page"
    return Problem(422, "cursor", "this cursor was not made for this list", field="cursor", remedy=remedy)
