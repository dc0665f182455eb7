"""Any message of the published language: Hypothesis strategies made from the messages' own types, so that a new field or a new
message is tried without a line here."""

from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import strategies as st
from msgspec.structs import fields
from pydantic import AwareDatetime, StringConstraints
from pydantic.fields import FieldInfo

from shared.schemas import wire
from shared.schemas.commands import ReserveChain
from shared.schemas.message import Part

Strategy = st.SearchStrategy[Any]
MOST_ITEMS = 4
"""Of a tuple: long ones show nothing that short ones do not."""


@cache
def messages(kind: str) -> Strategy:
    """Any message of a kind that the language allows."""
    return _value(wire.ADAPTERS[kind]._type)  # pydantic keeps the adapted type nowhere else


def _value(kind: Any) -> Strategy:
    if get_origin(kind) is Annotated:
        return _constrained(get_args(kind)[0], _constraints(kind.__metadata__))
    return _constrained(kind, [])


def _constraints(metadata: tuple[Any, ...]) -> list[Any]:
    flat: list[Any] = []
    for one in metadata:
        flat.extend(one.metadata if isinstance(one, FieldInfo) else [one])
    return flat


def _constrained(kind: Any, constraints: list[Any]) -> Strategy:
    if kind is AwareDatetime or kind is datetime:
        return st.datetimes(datetime(1970, 1, 2), datetime(2999, 12, 30), timezones=st.just(UTC))
    if kind is date:
        return st.dates()
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(_bound(constraints, Ge, "ge"), _bound(constraints, Le, "le"))
    if kind is str:
        return _text(constraints)
    if get_origin(kind) is tuple:
        shortest = next((one.min_length for one in constraints if isinstance(one, MinLen)), 0)
        longest = next((one.max_length for one in constraints if isinstance(one, MaxLen)), MOST_ITEMS)
        return st.lists(_value(get_args(kind)[0]), min_size=shortest, max_size=min(longest, MOST_ITEMS)).map(tuple)
    return _composed(kind)


def _composed(kind: Any) -> Strategy:
    if kind is NoneType:
        return st.none()
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) in {Union, UnionType}:
        return st.one_of(*map(_value, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, Part), f"no strategy for {kind}"
    return _message(kind)


def _message(kind: Any) -> Strategy:
    hints = get_type_hints(kind, include_extras=True)
    made = st.fixed_dictionaries({field.name: _value(hints[field.name]) for field in fields(kind)})
    return made.map(lambda given: kind(**_agreeing(kind, given)))


def _agreeing(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Fields that a rule binds to each other: a chain stands at one of its stops."""
    return given | {"stop": given["stop"] % len(given["stops"])} if kind is ReserveChain else given


def _text(constraints: list[Any]) -> Strategy:
    given = next((one for one in constraints if isinstance(one, StringConstraints)), StringConstraints())
    if given.pattern is None:
        return st.text()
    longest = given.max_length or 500
    return st.from_regex(str(given.pattern).removesuffix("$") + r"\Z").filter(lambda text: len(text) <= longest)


def _bound(constraints: list[Any], kind: type, name: str) -> int | None:
    return next((getattr(one, name) for one in constraints if isinstance(one, kind)), None)
