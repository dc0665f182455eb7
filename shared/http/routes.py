"""Routes that are authenticated, limited and strict by construction: who is calling is settled before a byte of the body is read."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, get_origin

from fastapi import APIRouter, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.responses import Response

from shared.http.bodies import StrictRequest, require_json
from shared.http.keys import Identity, scope_of
from shared.http.limits import subject_of
from shared.http.platform import Platform
from shared.http.problems import Problem, problems

BODY_SECONDS = 15.0
_SEVERAL = (list, tuple, set, frozenset)
_BEARER = HTTPBearer(auto_error=False, description="`em_<id>.<secret>`, made by `earmark key create`")


def router(*, max_body_bytes: int | None = None, **more: Any) -> APIRouter:
    """A router whose endpoints need an API key and take JSON up to a limit (default: `max_body_bytes` of the settings)."""

    class Route(_Route):
        limit = max_body_bytes

    answers = problems(400, 401, 403, 408, 413, 415, 422, 429, 431, 503) | more.pop("responses", {})
    return APIRouter(route_class=Route, dependencies=[Security(_BEARER)], responses=answers, **more)


class _Route(APIRoute):
    limit: int | None = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer, known = super().get_route_handler(), dict(_query_names(self.dependant))

        async def handler(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            platform: Platform = request.app.state.platform
            strict.state.caller = await _admitted(platform, request)
            _refuse_nul(request)
            _refuse_unknown(request, known)
            _refuse_repeated(request, known)
            await _read(strict, self.limit or platform.settings.max_body_bytes)
            require_json(strict)
            if await strict.body():
                await strict.json()  # here, because the framework makes a bare 400 of what is raised while it reads the body
            return await answer(strict)

        return handler


async def _admitted(platform: Platform, request: Request) -> Identity:
    """Who is calling, within the limits: of the key, or of the address where the key is refused. A key that is in use is let in also
    from an address that others have used up."""
    authorization = request.headers.get("authorization", "")
    address = subject_of(request.client.host if request.client else "")
    if platform.strangers.is_spent(address) and not platform.keys.knows(authorization):
        raise platform.strangers.refusal()
    try:
        caller = await platform.keys.identify(authorization, scope_of(request.method))
    except Problem:
        await platform.strangers.spend(address)
        raise
    await platform.callers.spend(caller.key_id)
    return caller


def _refuse_nul(request: Request) -> None:
    """Postgres stores every character but this one, so that it is in no name; bodies are searched when they are read."""
    if "\x00" not in request.scope["path"] and b"%00" not in request.scope["query_string"]:
        return
    named = [*request.path_params.items(), *request.query_params.multi_items()]
    field = next((name for name, value in named if "\x00" in str(value)), "query")
    raise Problem(422, "validation", "the address holds NUL", field=field[:64], remedy=f"take %00 out of {field[:64]}")


def _query_names(dependant: Any) -> Iterator[tuple[str, bool]]:  # FastAPI's own tree of an endpoint and what it depends on
    """Every parameter's name, and whether it takes several values."""
    yield from ((parameter.alias, get_origin(parameter.field_info.annotation) in _SEVERAL) for parameter in dependant.query_params)
    for one in dependant.dependencies:
        yield from _query_names(one)


def _refuse_unknown(request: Request, known: Mapping[str, bool]) -> None:
    """A filter that is misspelled would else be no filter: the whole list would come, and look like the answer."""
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        remedy = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise Problem(422, "validation", f"the address has no parameter {unknown[:64]!r}", field=unknown[:64], remedy=remedy)


def _refuse_repeated(request: Request, known: Mapping[str, bool]) -> None:
    """The framework would take the last value and say nothing of the others."""
    counted = Counter(name for name, _ in request.query_params.multi_items())
    repeated = next((name for name, times in counted.items() if times > 1 and not known[name]), None)
    if repeated is not None:
        detail = f"the parameter {repeated!r} stands {counted[repeated]} times in the address"
        raise Problem(422, "validation", detail, field=repeated, remedy=f"give {repeated} once: it takes one value")


async def _read(request: StrictRequest, limit: int) -> None:
    """Read the body, at most `limit` bytes of it, and keep it on the request."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:g} seconds"
        raise Problem(
            408, "slow_body", detail, remedy="send it again, with the same Idempotency-Key", headers={"Connection": "close"}
        ) from None
    request._body = b"".join(chunks)


def _too_large(limit: int) -> Problem:
    detail = f"the body has more than {limit} bytes"
    return Problem(413, "body_too_large", detail, field="body", remedy="send it in several requests", headers={"Connection": "close"})
