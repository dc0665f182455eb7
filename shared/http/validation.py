"""From pydantic's findings to a problem document: every field by its name, every finding with what to send instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.http.problems import MAX_ERRORS, Problem

_REMEDIES = {
    "missing": "send this field",
    "extra_forbidden": "take the field out; the API's description at /openapi.json lists those there are",
    "int_type": "send a whole number, without quotes or decimals",
    "int_from_float": "send a whole number, without decimals",
    "int_parsing": "send a whole number",
    "string_type": "send text in quotes",
    "bool_type": "send true or false",
    "json_type": "send JSON",
    "enum": "send one of the values that are listed",
    "literal_error": "send one of the values that are listed",
    "string_pattern_mismatch": "send letters, digits and . _ - only, beginning with a letter or digit, at most 64 characters",
    "string_too_long": "send a shorter text",
    "string_too_short": "send a longer text",
    "too_long": "send fewer, in several requests",
    "too_short": "send at least one",
    "timezone_aware": "send a time with its zone, such as 2026-11-21T12:00:00Z",
}
_BY_PREFIX = {
    "greater_than": "send a larger number",
    "less_than": "send a smaller number",
    "datetime": "send a time such as 2026-11-21T12:00:00Z",
    "date": "send a date such as 2026-11-21",
    "model": "send a JSON object",
    "dataclass": "send a JSON object",
    "dict": "send a JSON object",
    "tuple": "send a JSON array",
    "list": "send a JSON array",
}


def refused(findings: Sequence[Mapping[str, Any]]) -> Problem:
    """422 that lists the first twenty findings and leads with the first."""
    errors = [_described(finding) for finding in findings[:MAX_ERRORS]]
    first = errors[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return Problem(
        422,
        "validation",
        f"{first['field']}: {first['detail']}{more}",
        field=first["field"],
        remedy=first["remedy"],
        errors=errors,
    )


def _described(finding: Mapping[str, Any]) -> dict[str, str]:
    place = [str(part)[:64] for part in finding["loc"] if part not in ("body", "query", "path", "header")]
    kind = str(finding["type"])
    detail = str(finding["msg"]).removeprefix("Value error, ")
    return {"field": ".".join(place) or str(finding["loc"][0]), "detail": detail[:300], "remedy": _remedy(kind, detail)}


def _remedy(kind: str, detail: str) -> str:
    if kind in _REMEDIES:
        return _REMEDIES[kind]
    found = (remedy for prefix, remedy in _BY_PREFIX.items() if kind.startswith(prefix))
    return next(found, f"correct it: {detail[:1].lower()}{detail[1:300]}")
