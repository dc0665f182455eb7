"""Whole arrays as Postgres reads them in text. The driver looks at every element of a binary array three times; a text is one value."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

_BETWEEN = "\x00"
"""No text that Postgres stores holds it."""
_to_json = msgspec.json.Encoder().encode


def texts(names: Sequence[str]) -> str:
    """An array of identifiers, which need no escape. In quotes: a warehouse may be named NULL."""
    return '{"' + '","'.join(names) + '"}' if names else "{}"


def array(values: Sequence[int | bool | datetime | None]) -> str:
    """An array of numbers, truth values or times, of which some may be missing: within the brackets Postgres and JSON write them alike."""
    return "{" + _to_json(values)[1:-1].decode() + "}"


def any_texts(values: Sequence[str | None]) -> str:
    """An array of any texts, of which some may be missing."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
