"""The allocator's read-only HTTP: stock records, who holds them, how they moved. The allocator knows; inventory passes it on.

The caller's API key goes along, so the allocator itself sees to it that no merchant reads another's.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import Request

from shared.http import Problem

TIMEOUT_SECONDS = 5.0


class Records:
    """A client for one allocator address."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=10)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, limits=limits, transport=transport)

    async def listed(self, request: Request, query: Mapping[str, str]) -> Any:
        """Stock records with on hand, held, allocated and available; filters in the query."""
        return await self._get(request, [], query)

    async def holders(self, request: Request, sku: str, record: int, query: Mapping[str, str]) -> Any:
        """The demands that hold units of the record now."""
        return await self._get(request, [sku, str(record), "holders"], query)

    async def movements(self, request: Request, sku: str, record: int, query: Mapping[str, str]) -> Any:
        """How the record came to what it is."""
        return await self._get(request, [sku, str(record), "movements"], query)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _get(self, request: Request, parts: list[str], query: Mapping[str, str]) -> Any:
        path = "/".join(["/records", *(quote(part, safe="") for part in parts)])
        sent = {"Authorization": request.headers["authorization"], "X-Request-Id": request.state.request_id}
        try:
            answer = await self._client.get(path, params=dict(query), headers=sent)
            document = answer.json()
        except (httpx.HTTPError, ValueError):
            raise _away("the allocator does not answer") from None
        if answer.status_code == 200:
            return document
        if answer.status_code in {404, 422}:
            raise _passed_on(answer.status_code, document)
        raise _away(f"the allocator answers with {answer.status_code}")


def _passed_on(status: int, document: Mapping[str, Any]) -> Problem:
    """The allocator's own problem document, under our request id."""
    return Problem(status, document["code"], document["detail"], remedy=document["remedy"], field=document.get("field"))


def _away(detail: str) -> Problem:
    remedy = "try again after the time in Retry-After; GET /stock answers meanwhile"
    return Problem(503, "allocator_away", detail, remedy=remedy, retry_after=2)
