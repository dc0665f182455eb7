"""Puts an HTTP service together: error answers, health, metrics, lifespan."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.http import health
from shared.http.envelope import Envelope
from shared.http.platform import Platform
from shared.http.problems import SCHEMA, TITLES, Problem, problems
from shared.http.validation import refused

Background = Callable[[], AbstractAsyncContextManager[None]]


def create_app(
    platform: Platform,
    *routers: APIRouter,
    title: str,
    description: str = "",
    background: Background | None = None,
    health_routes: APIRouter = health.routes,
) -> FastAPI:
    """The application. `background` runs beside it, inside the lifespan: subscribers and projections. `health_routes`: of a process that
    knows more of its health than its platform does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(platform.running())
            if background is not None:
                await stack.enter_async_context(background())
            yield

    app = FastAPI(title=title, description=description, version="1", lifespan=lifespan, redirect_slashes=False, redoc_url=None)
    app.state.platform = platform
    app.include_router(health_routes)
    app.include_router(health.metrics_routes)
    for each in routers:
        app.include_router(each)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Envelope, service=platform.service)
    describe = app.openapi
    app.openapi = lambda: _with_problem(describe())  # type: ignore[method-assign]  # the documented way to extend it
    return app


def _with_problem(description: dict[str, Any]) -> dict[str, Any]:
    """Every route refers to one description of problem documents; FastAPI's own of its validation errors is never sent. Every command may
    be told that the same one is under way."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = SCHEMA
    for operations in description["paths"].values():
        for operation in operations.values():
            if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
                operation["responses"].setdefault("409", problems(409)[409])
    return description


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response(request.state.request_id)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    findings = error.errors()
    key = next((finding for finding in findings if finding["loc"][:2] == ("header", "Idempotency-Key")), None)
    if key is not None and key["type"] == "missing":
        remedy = "send any text that is new for a new command, such as a UUID, and the same again on a repeat"
        problem = Problem(400, "idempotency_key", "commands need an Idempotency-Key", field="Idempotency-Key", remedy=remedy)
        return problem.response(request.state.request_id)
    return refused(findings).response(request.state.request_id)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown address, a method that the address does not take."""
    assert isinstance(error, HTTPException)
    remedy = "see /openapi.json for the addresses and their methods" if error.status_code in {404, 405} else "correct the request"
    code = {404: "no_such_address", 405: "method"}.get(error.status_code, "refused")
    detail = TITLES.get(error.status_code, str(error.detail))
    return Problem(error.status_code, code, detail, remedy=remedy, headers=error.headers).response(request.state.request_id)
