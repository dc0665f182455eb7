"""What messages are made of: structs of msgspec, which makes, writes and reads them in a third of the time that dataclasses take.

pydantic knows them as well. It judges whatever others write, says what is wrong with it, and makes the JSON Schemas.
"""

import re
from dataclasses import field, make_dataclass
from functools import cache
from typing import Any, Literal, Self, get_type_hints

import msgspec
from pydantic import ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

STRICT = ConfigDict(strict=True, extra="forbid")
"""pydantic configuration of every message: no coercion (`true` is not 1, `5.0` is not 5), no unknown field."""


def _kind(name: str) -> str:
    """`ReserveLine` travels as `reserve_line`."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


class Value(msgspec.Struct, frozen=True):
    """Something that is what its fields say, and stays so. Made in a sixth of the time that a frozen dataclass takes."""

    def but(self, **changes: Any) -> Self:
        """The same with these fields changed."""
        return msgspec.structs.replace(self, **changes)


class Part(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A value within messages. What is as its default says is not written."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """That of a dataclass of the same fields, whose instances become ours."""
        twin, names = _twin(cls), cls.__struct_fields__

        def made(judged: Any) -> Any:
            return cls(**{name: getattr(judged, name) for name in names})

        def shown(message: Any, show: core_schema.SerializerFunctionWrapHandler) -> Any:
            return show(twin(**{name: getattr(message, name) for name in names}))

        like = handler.generate_schema(twin)
        return core_schema.no_info_after_validator_function(
            made, like, serialization=core_schema.wrap_serializer_function_ser_schema(shown, schema=like)
        )


class Message(Part, frozen=True, kw_only=True, tag_field="type", tag=_kind):
    """A message: its JSON says first of which kind it is."""

    @property
    def type(self) -> str:
        """Its kind, as JSON and headers name it."""
        return kind_of(type(self))


def kind_of(message: "type[Message]") -> str:
    """The kind of all messages of a class."""
    tag = message.__struct_config__.tag
    assert isinstance(tag, str), "every message has one"
    return tag


@cache
def _twin(message: type[Part]) -> Any:
    hints = get_type_hints(message, include_extras=True)
    fields: list[Any] = [
        (one.name, hints[one.name], field() if one.default is msgspec.NODEFAULT else field(default=one.default))
        for one in msgspec.structs.fields(message)
    ]
    if issubclass(message, Message):
        kind = kind_of(message)
        fields.insert(0, ("type", Literal[kind], field(default=kind)))
    namespace = {"__pydantic_config__": STRICT, "__doc__": message.__doc__, "__module__": message.__module__}
    return make_dataclass(message.__name__, fields, frozen=True, slots=True, kw_only=True, namespace=namespace)
