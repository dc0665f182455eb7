"""Whether the process lives, whether it can serve, and its metrics. No API key: orchestrators have none. Nothing secret in it."""

import asyncio
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from shared.http.platform import Serving

READY_SECONDS = 2.0
routes, metrics_routes = APIRouter(tags=["operations"]), APIRouter(tags=["operations"])
_ENDED: dict[int | str, dict[str, Any]] = {503: {"description": "Background work has ended by a fault: start the process anew"}}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Postgres does not answer"}}


@routes.get("/health/live", summary="The process answers", responses=_ENDED)
async def live(platform: Serving) -> JSONResponse:
    """Restart the process when this does not answer for long, or with 503: background work has ended by a fault."""
    return JSONResponse({"status": "dead", "ended": platform.dead}, 503) if platform.dead else JSONResponse({"status": "live"})


@routes.get("/health/ready", summary="The service can take requests", responses=_NOT_READY)
async def ready(platform: Serving) -> JSONResponse:
    """503 while Postgres does not answer. Kafka away is not a reason: commands wait in the outbox; `kafka` and `outbox_rows` tell."""
    answers = await _postgres_answers(platform)
    state = {
        "status": "ready" if answers else "not ready",
        "postgres": "answers" if answers else "does not answer",
        "kafka": "answers" if platform.relay.healthy else "does not take events; they wait in the outbox",
        "outbox_rows": platform.relay.backlog_rows,
    } | {name: tell() for name, tell in platform.conditions.items()}
    return JSONResponse(state, 200 if answers else 503, None if answers else {"Retry-After": "2"})


@metrics_routes.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST.partition(";")[0]: {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """Every metric of `shared.metrics`."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _postgres_answers(platform: Serving) -> bool:
    try:
        async with asyncio.timeout(READY_SECONDS), platform.engine.connect() as connection:  # out of turn
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True
