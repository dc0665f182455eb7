"""Around every request: its id, security headers, one metric, and an answer even to what nobody foresaw. Plain ASGI: no extra task."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics
from shared.database import Fault, classify
from shared.http.problems import Problem, unavailable
from shared.relay import MessageTooLarge

log = logging.getLogger(__name__)

_ID = re.compile(r"^[A-Za-z0-9_.\-]{1,64}$")
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""What is counted by name: every other word is a client's own, and every count is kept for ever."""
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; frame-ancestors 'none'; "
    "style-src https://cdn.jsdelivr.net; script-src 'unsafe-inline' https://cdn.jsdelivr.net"
)


class Envelope:
    """The outermost layer that is ours."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Errors that reach this place become problem documents: 503 where a repeat may help, else 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, time.monotonic())
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # nobody is left to be answered, and it is no fault of ours
        except Exception as error:
            if exchange.status:
                raise
            await _answer(error, exchange.request_id)(scope, receive, exchange.send)
        finally:
            self._measure(scope, exchange)

    def _measure(self, scope: Scope, exchange: "_Exchange") -> None:
        route = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        labels = metrics.REQUEST_SECONDS.labels(self._service, method, route, str(exchange.status or 499))
        labels.observe(time.monotonic() - exchange.started)


class _Exchange:
    def __init__(self, scope: Scope, send: Send, started: float) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given if _ID.match(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.request_id
        self._send, self.started, self.status = send, started, 0
        self._docs = scope["path"] == "/docs"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            if self._docs:
                headers["Content-Security-Policy"] = _DOCS_POLICY
            headers["X-Request-Id"] = self.request_id
        await self._send(message)


def _answer(error: Exception, request_id: str) -> ASGIApp:
    if isinstance(error, MessageTooLarge):
        remedy = "send fewer lines in one document"
        return Problem(413, "event_too_large", str(error), remedy=remedy).response(request_id)
    if classify(error) is Fault.RETRY:
        log.warning("request %s: the database did not serve it: %s", request_id, type(error).__name__)
        return unavailable("the database does not answer at the moment").response(request_id)
    log.error("request %s failed", request_id, exc_info=error)
    remedy = f"report it with the request id {request_id}; a repeat with the same Idempotency-Key does no harm"
    return Problem(500, "fault", "the service failed on this request", remedy=remedy).response(request_id)
