"""The allocator's read-only HTTP: stock records, who holds them, how they moved. The allocator knows; inventory passes it on."""

from typing import Any
from urllib.parse import quote

import httpx

from shared.http import Problem
from shared.http.problems import not_found

TIMEOUT_SECONDS = 5.0


class Records:
    """A client for one allocator address. The merchant always comes from the API key of the request that is served."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=10)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, limits=limits, follow_redirects=False)

    async def of_sku(self, merchant: str, sku: str, query: dict[str, str]) -> Any:
        """Every stock record of the SKU with on hand, held, allocated and available."""
        return await self._get([merchant, sku], query, "sku")

    async def holders(self, merchant: str, sku: str, record: int, query: dict[str, str]) -> Any:
        """The demands that hold units of the record now."""
        return await self._get([merchant, sku, str(record), "holders"], query, "record")

    async def movements(self, merchant: str, sku: str, record: int, query: dict[str, str]) -> Any:
        """How the record came to what it is."""
        return await self._get([merchant, sku, str(record), "movements"], query, "record")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _get(self, parts: list[str], query: dict[str, str], field: str) -> Any:
        path = "/records/" + "/".join(quote(part, safe="") for part in parts)
        try:
            answer = await self._client.get(path, params=query)
        except httpx.HTTPError:
            raise _away("the allocator does not answer") from None
        if answer.status_code == 404:
            raise not_found("such stock record", field)
        if answer.status_code == 422:
            raise Problem(422, "query", "the allocator refuses these parameters", field="query", remedy="correct limit and cursor")
        if answer.status_code != 200:
            raise _away(f"the allocator answers with {answer.status_code}")
        return answer.json()


def _away(detail: str) -> Problem:
    return Problem(
        503, "allocator_away", detail, remedy="try again after the time in Retry-After; GET /stock answers meanwhile", retry_after=2
    )
