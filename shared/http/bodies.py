"""Request bodies: JSON only, read strictly, once. What two readers could understand differently is refused."""

import json
import re
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from starlette.requests import Request

from shared.http.problems import Problem
from shared.schemas.wire import most_frequent

MAX_NAMES = 100
"""Of one object: five times what any has. Each that is not known is a finding, and a body has room for 600,000."""
_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")


class Json:
    """A body that is sound JSON: its bytes, and what they say."""

    __slots__ = ("parsed", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw, self.parsed = raw, _parse(raw)

    def canonical(self) -> bytes:
        """The same for bodies that say the same: the order of names and blanks do not count."""
        return json.dumps(self.parsed, sort_keys=True, separators=(",", ":")).encode()


class Body(BaseModel):
    """The body of a request: strict types, no unknown field, frozen.

    Validated from the JSON itself: in pydantic's strict mode a date or an enum is text in JSON and nothing else in Python.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In JSON as it is; in Python, `Json` is read as JSON."""
        schema = handler(source)

        def from_json(value: Any, in_python: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return cls.model_validate_json(value.raw) if isinstance(value, Json) else in_python(value)

        return core_schema.json_or_python_schema(schema, core_schema.no_info_wrap_validator_function(from_json, schema))


class StrictRequest(Request):
    """A request whose JSON is checked before anything reads it."""

    async def json(self) -> Json:
        """The body; Problem where it is not sound JSON."""
        if not hasattr(self, "_sound"):
            self._sound = Json(await self.body())
        return self._sound


def require_json(request: Request) -> None:
    """Raise Problem 415 for a body that is not plain JSON: compressed bodies hide their size, other types their meaning."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "content_encoding", "compressed bodies are not taken", field="Content-Encoding", remedy="send the JSON as it is")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and _has_body(request):
        detail = f"the body is {kind[:80] or 'of no named type'}"
        raise Problem(415, "content_type", detail, field="Content-Type", remedy="send JSON with Content-Type: application/json")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _parse(raw: bytes) -> Any:
    try:
        parsed = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        _unreadable("it is not UTF-8", "send JSON in UTF-8")
    except RecursionError:
        _unreadable("it is nested too deeply", "send the document that /openapi.json describes")
    except ValueError as error:
        _unreadable(str(error)[:200], "send one JSON document; most libraries can make it for you")
    if raw[:3] == b"\xef\xbb\xbf" or raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in raw[:4]:
        _unreadable("it begins with a byte order mark or is not UTF-8", "send JSON in UTF-8 without a mark")
    if _SUSPECT.search(raw):
        _refuse_unstorable(parsed)
    return parsed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(pairs) > MAX_NAMES:
        _unreadable(f"an object has {len(pairs)} names", f"send the fields that /openapi.json describes, never more than {MAX_NAMES}")
    if len(made) != len(pairs):
        doubled = most_frequent(pairs)[:64].encode("ascii", "backslashreplace").decode()
        _unreadable(f"the name {doubled} stands twice in one object", "send every name once", doubled or "body")
    return made


def _no_number(word: str) -> NoReturn:
    _unreadable(f"{word} is not a number in JSON", "send a whole number")


def _refuse_unstorable(parsed: Any) -> None:
    """NUL passes JSON and fails in Postgres; a lone surrogate is no character at all."""
    waiting = [parsed]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and any(letter == "\x00" or "\ud800" <= letter <= "\udfff" for letter in value):
            _unreadable("a text holds NUL or half of a surrogate pair", "take these characters out")


def _unreadable(detail: str, remedy: str, field: str = "body") -> NoReturn:
    raise Problem(400, "unreadable", f"the body can not be read: {detail}", field=field, remedy=remedy)
