"""RFC 9457 problem documents: every error of every endpoint, with the field it is about and the remedy."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
RETRY_SECONDS = 2

TITLES = {
    400: "The request can not be read",
    401: "An API key is needed",
    403: "The API key does not allow this",
    404: "There is no such thing",
    405: "This address does not take that method",
    406: "Only JSON is spoken here",
    408: "The request did not arrive in time",
    409: "The present state does not allow this",
    412: "It has changed meanwhile",
    413: "The body is too large",
    415: "Only JSON is taken",
    422: "The request is not right",
    429: "Too many requests",
    431: "The headers are too large",
    500: "A fault of ours",
    501: "Not supported",
    503: "Not available at the moment",
}
_DESCRIBED = {
    429: "Too many requests of this API key, or of this address without a valid one; the document names the limit",
    503: "Not available at the moment, or more requests than are served",
}
_WAIT = {429, 503}
_LATER = {"Retry-After": {"description": "try again after so many seconds", "schema": {"type": "integer", "minimum": 1}}}


class Problem(Exception):
    """The request is refused; the answer says why, which field is meant and what helps."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        remedy: str,
        field: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.remedy, self.field = status, code, detail, remedy, field
        self.errors = tuple(errors)[:MAX_ERRORS]
        self.headers = dict(headers or {}) | ({"Retry-After": str(retry_after)} if retry_after is not None else {})

    def document(self, request_id: str) -> dict[str, Any]:
        """The members of the document; `errors` lists every field that was refused, up to twenty."""
        document: dict[str, Any] = {
            "type": f"urn:earmark:problem:{self.code}",
            "title": TITLES.get(self.status, "The request failed"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "remedy": self.remedy,
            "request_id": request_id,
        }
        if self.field is not None:
            document["field"] = self.field
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        return document

    def response(self, request_id: str) -> Response:
        """The document as an answer."""
        body = json.dumps(self.document(request_id), ensure_ascii=True).encode()
        return Response(body, self.status, self.headers, MEDIA_TYPE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: which problem documents it may answer, beyond those that every route has."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _DESCRIBED.get(status, TITLES[status]), "content": content}
        | ({"headers": _LATER} if status in _WAIT else {})
        for status in statuses
    }


def unavailable(detail: str) -> Problem:
    """503 with Retry-After: nothing was done, or it was done and the same Idempotency-Key will say so."""
    remedy = "try again after the time in Retry-After, with the same Idempotency-Key"
    return Problem(503, "unavailable", detail, remedy=remedy, retry_after=RETRY_SECONDS)


def not_found(what: str, field: str) -> Problem:
    """404 for something of this merchant that is not there: the same answer whether it does not exist or is another merchant's."""
    return Problem(404, "not_found", f"there is no {what}", field=field, remedy=f"check {field}, or list what there is")


SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "code", "remedy", "request_id"],
    "properties": {
        "type": {"type": "string", "example": "urn:earmark:problem:validation"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable word for programs"},
        "field": {"type": "string", "description": "what the problem is about", "example": "lines.0.sku"},
        "remedy": {"type": "string", "description": "what helps"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {name: {"type": "string"} for name in ("field", "detail", "remedy")}},
        },
    },
}
