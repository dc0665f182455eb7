"""Whole arrays as Postgres reads them in text. The driver looks at every element of a binary array three times; a text is one value."""

from collections.abc import Sequence
from datetime import datetime

NULL = "NULL"
_BETWEEN = "\x00"
"""No text that Postgres stores holds it."""


def texts(names: Sequence[str]) -> str:
    """An array of identifiers, which need no escape. In quotes: a warehouse may be named NULL."""
    return '{"' + '","'.join(names) + '"}' if names else "{}"


def array(numbers: Sequence[int]) -> str:
    """An array of numbers."""
    return "{" + ",".join(map(str, numbers)) + "}"


def any_texts(values: Sequence[str]) -> str:
    """An array of any texts. At least one."""
    joined = _BETWEEN.join(values)
    assert joined.count(_BETWEEN) == len(values) - 1, "a text holds no NUL"
    return '{"' + joined.replace("\\", "\\\\").replace('"', '\\"').replace(_BETWEEN, '","') + '"}'


def nullable_texts(values: Sequence[str | None]) -> str:
    """The same, of which some are missing."""
    return "{" + ",".join([NULL if value is None else any_texts([value])[1:-1] for value in values]) + "}"


def nullable_numbers(numbers: Sequence[int | None]) -> str:
    """An array of numbers of which some are missing."""
    return "{" + ",".join([NULL if number is None else str(number) for number in numbers]) + "}"


def flags(values: Sequence[bool]) -> str:
    """An array of truth values."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def nullable_times(moments: Sequence[datetime | None]) -> str:
    """An array of times of which some are missing."""
    return "{" + ",".join([NULL if moment is None else f'"{moment.isoformat()}"' for moment in moments]) + "}"
