"""Frozen messages made on the hot path.

The constructor of a frozen dataclass sets every field through `object.__setattr__`: 7 us for the 17 fields of an `Outcome` where plain
assignment takes 1. A twin with the same slots that is not frozen is filled and then becomes the message.
"""

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar, cast

Message = TypeVar("Message")


def quick(message: type[Message]) -> type[Message]:
    """A constructor of `message`, which must be a frozen, slotted dataclass of keywords: same keywords, same result, same errors."""

    def become(made: Any) -> None:
        made.__class__ = message

    twins = [
        (one.name, object) if one.default is MISSING else (one.name, object, field(default=one.default))
        for one in fields(message)  # type: ignore[arg-type]  # a type cannot be bound to "dataclass"
    ]
    made = make_dataclass(message.__name__, twins, namespace={"__post_init__": become}, slots=True, kw_only=True)
    return cast(type[Message], made)  # what it makes is a `message`
