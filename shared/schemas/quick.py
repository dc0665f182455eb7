"""Frozen messages made on the hot path.

The constructor of a frozen dataclass sets every field through `object.__setattr__`: 7 us for the 17 fields of an `Outcome` where plain
assignment takes 1. A twin with the same slots that is not frozen is filled and then becomes the message.
"""

from dataclasses import MISSING, fields
from typing import Any, TypeVar, cast

Message = TypeVar("Message")


def quick(message: type[Message]) -> type[Message]:
    """A constructor of `message`, which must be a frozen, slotted dataclass: same keywords, same result, same errors.

    Written out as `dataclasses` writes its own: one call that assigns. As a class with `__init__` it took half as long again.
    """
    found = fields(message)  # type: ignore[arg-type]  # a type cannot be bound to "dataclass"
    names: dict[str, Any] = {f"_{one.name}": one.default for one in found}
    names |= {
        "_new": object.__new__,
        "_message": message,
        "_twin": type(message.__name__, (), {"__slots__": tuple(one.name for one in found)}),
    }
    taken = [one.name if one.default is MISSING else f"{one.name}=_{one.name}" for one in found]
    lines = (
        f"def {message.__name__}(*, {', '.join(taken)}):",
        "_made = _new(_twin)",
        *(f"_made.{one.name} = {one.name}" for one in found),
        "_made.__class__ = _message",
        "return _made",
    )
    exec("\n    ".join(lines), names)  # noqa: S102  # of the names of a class of ours
    return cast(type[Message], names[message.__name__])  # what it makes is a `message`
