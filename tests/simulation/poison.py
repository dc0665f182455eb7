"""Records that nobody can read, in every way that was met or thought of. Their neighbours must not notice."""

import json
from collections.abc import Callable
from random import Random

from shared.schemas.wire import Record

Spoiler = Callable[[Random, Record], Record]


def poison(random: Random, good: Record) -> Record:
    """A spoiled copy of a good record. Never one that could be understood."""
    return random.choice(_WAYS)(random, good)


def _garbage(random: Random, good: Record) -> Record:
    return good.but(value=random.randbytes(20))


def _cut(random: Random, good: Record) -> Record:
    return good.but(value=good.value[: len(good.value) // 2])


def _not_utf8(random: Random, good: Record) -> Record:
    return good.but(value=good.value[:-1] + b"\xff}")


def _field(name: str, value: object) -> Spoiler:
    def spoil(random: Random, good: Record) -> Record:
        message = json.loads(good.value)
        message.get("demand", message)[name] = value
        return good.but(value=json.dumps(message).encode())

    return spoil


def _header(name: str, value: bytes | None) -> Spoiler:
    def spoil(random: Random, good: Record) -> Record:
        kept = tuple(header for header in good.headers if header[0] != name)
        return good.but(headers=kept if value is None else (*kept, (name, value)))

    return spoil


def _deep(random: Random, good: Record) -> Record:
    return good.but(value=b"[" * 100_000)


def _doubled(random: Random, good: Record) -> Record:
    return good.but(value=b'{"merchant":"acme",' + good.value[1:])


_WAYS = (
    _garbage,
    _cut,
    _not_utf8,
    _deep,
    _doubled,
    _field("merchant", "no such\x00merchant"),
    _field("merchant", True),
    _field("surprise", 1),
    _header("ce_type", b"earmark.order_changed.v2"),
    _header("ce_type", b"earmark.outcomes.pack.v1"),
    _header("ce_type", b"\xff\xfe"),
    _header("ce_type", None),
)
