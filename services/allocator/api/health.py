"""The health of an allocator's process: not its HTTP's, but that of its state partitions."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import PlainTextResponse

_TROUBLES: dict[int | str, dict[str, Any]] = {
    503: {"description": "What is halted or stuck, one state partition on a line; see docs/runbooks.md"}
}
_TAKING_OVER: dict[int | str, dict[str, Any]] = {503: {"description": "State partitions are being taken over"}}


def health_routes(troubles: Callable[[], list[str]], is_ready: Callable[[], bool]) -> APIRouter:
    """GET /health/live and /health/ready, without an API key, as plain text."""
    routes = APIRouter(tags=["operations"], default_response_class=PlainTextResponse)

    @routes.get("/health/live", summary="No state partition is halted or stuck", responses=_TROUBLES)
    async def live() -> PlainTextResponse:
        """Whether the process should be left alone."""
        found = troubles()
        return PlainTextResponse("\n".join(found) or "ok", 503 if found else 200)

    @routes.get("/health/ready", summary="Every state partition that the group gave us has been taken over", responses=_TAKING_OVER)
    async def ready() -> PlainTextResponse:
        """Whether it serves."""
        return PlainTextResponse("ok") if is_ready() else PlainTextResponse("taking over", 503)

    return routes
