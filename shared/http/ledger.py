"""The allocator's read-only HTTP, passed on by the services that people ask: the allocator knows, they show.

The caller's API key goes along, so the allocator itself sees to it that no merchant reads another's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from fastapi import Depends
from starlette.requests import Request

from shared.http.problems import Problem

TIMEOUT_SECONDS = 5.0


class Ledger:
    """A client for one allocator address. `meanwhile`: what answers while the allocator is away."""

    def __init__(self, url: str, meanwhile: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=10)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, limits=limits, transport=transport)
        self._meanwhile = meanwhile

    async def get(self, request: Request, *path: str, query: Mapping[str, str]) -> Any:
        """What GET on the path answers. Raises Problem: the allocator's own 404 and 422 under our request id, 503 while it is away."""
        sent = {"Authorization": request.headers["authorization"], "X-Request-Id": request.state.request_id}
        try:
            answer = await self._client.get("/" + "/".join(quote(part, safe="") for part in path), params=dict(query), headers=sent)
            document = answer.json()
        except (httpx.HTTPError, ValueError):
            raise self._away("the allocator does not answer") from None
        if answer.status_code == 200:
            return document
        if answer.status_code in {404, 422}:
            raise Problem(answer.status_code, document["code"], document["detail"], remedy=document["remedy"], field=document.get("field"))
        raise self._away(f"the allocator answers with {answer.status_code}")

    def _away(self, detail: str) -> Problem:
        remedy = f"try again after the time in Retry-After; {self._meanwhile} answers meanwhile"
        return Problem(503, "allocator_away", detail, remedy=remedy, retry_after=2)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


@dataclass(frozen=True, slots=True)
class Asking:
    """The ledger that the service was given at `app.state.ledger`, asked in the name of one request."""

    ledger: Ledger
    request: Request

    async def get(self, *path: str, **query: object) -> Any:
        """See `Ledger.get`. What is None is not asked for."""
        return await self.ledger.get(self.request, *path, query={name: str(value) for name, value in query.items() if value is not None})


async def _in_the_name_of(request: Request) -> Asking:
    return Asking(request.app.state.ledger, request)


PassedOn = Annotated[Asking, Depends(_in_the_name_of)]
