"""What must hold of every decoder, whatever it is given: it takes what the strict schema takes and says the same, or refuses with field and
reason; nothing else is ever raised, and no input costs more than its length allows.

Each function judges one input: it returns the verdict, `taken` or the refused field, and raises AssertionError where the promise is broken.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter, ValidationError

from shared.http import cursors
from shared.http.bodies import Json
from shared.http.keys import token_in
from shared.http.problems import Problem
from shared.schemas import wire
from shared.schemas.message import Part
from shared.schemas.wire import MAX_VALUE_BYTES, OF_THE_ALLOCATOR, BadRecord, Envelope

Header = tuple[str, bytes | None]
Answer = TypeVar("Answer")
TAKEN = "taken"
KINDS = (*wire.ADAPTERS, *(f"{name}.pack" for name in wire.PACKS))
LEFT_TO_THE_ALLOCATOR = {"string_pattern_mismatch", "string_too_long", "greater_than_equal", "less_than"}
"""Of what it alone writes, patterns, lengths of texts and years are not looked at where it is read quickly."""
SECONDS, SECONDS_A_MEGABYTE = 0.5, 3.0
"""Of CPU: far more than anything takes, far less than what grows faster than its input."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`word`: `taken`, or the field. `class_of`: inputs of one class tell the decoder's reader the same."""

    word: str
    class_of: str


def timed(decode: Callable[[], Answer], size: int) -> Answer:
    """What a decoder answers. Fails where it took more CPU than an input of that size may."""
    began = time.process_time()
    answer = decode()
    took = time.process_time() - began
    assert took < SECONDS + SECONDS_A_MEGABYTE * size / 2**20, f"{took:.1f} s for {size} bytes"
    return answer


# ---------------------------------------------------------------- records


def record(kind: str, value: bytes | None) -> Verdict:
    """One record whose header says that it is of this kind."""
    strict, types = strictly(kind, value)
    answer = decoded(kind, value)
    if isinstance(answer, BadRecord):
        require_sound(answer)
        assert strict is None, f"refused ({answer}), but the strict schema takes it"
        return Verdict(answer.field, f"{kind} refused: {_kind_of_words(answer.reason)}")
    assert all(map(is_storable, answer)), "holds what Postgres does not take"
    if strict is None:
        assert kind in OF_THE_ALLOCATOR, f"taken, but the strict schema refuses: {types}"
        assert set(types) <= LEFT_TO_THE_ALLOCATOR, f"taken quickly, and not only for what is left to the allocator: {types}"
    else:
        assert answer == strict, "read as something else than the strict schema reads"
        assert decoded(kind, _written(kind, answer)) == answer, "not read again as it was written"
    quickly = value is not None and wire._quickly(kind, value) is not None
    return Verdict(TAKEN, f"{kind} taken {'quickly' if quickly else 'slowly'}{'' if strict else ', strictly not'}")


def decoded(kind: str, value: bytes | None) -> tuple[Any, ...] | BadRecord:
    """What our reader makes of it, in its time."""
    return timed(lambda: _decoded(kind, value), len(value or b""))


def _decoded(kind: str, value: bytes | None) -> tuple[Any, ...] | BadRecord:
    try:
        return wire.decode(value, {"ce_type": f"earmark.{kind}.v1"}, {kind})
    except BadRecord as refused:
        return refused


def strictly(kind: str, value: bytes | None) -> tuple[tuple[Any, ...] | None, list[str]]:
    """What pydantic reads, or None and what it finds wrong."""
    if value is None or len(value) > 2 * MAX_VALUE_BYTES:
        return None, ["size"]
    adapter: TypeAdapter[Any] = wire.PACKS[kind.removesuffix(".pack")] if kind.endswith(".pack") else wire.ADAPTERS[kind]
    try:
        message = adapter.validate_json(value)
    except ValidationError as error:
        return None, [found["type"] for found in error.errors(include_url=False, include_context=False, include_input=False)]
    if kind not in OF_THE_ALLOCATOR and has_doubled_name(value):
        return None, ["twice"]
    return message if isinstance(message, tuple) else (message,), []


def has_doubled_name(value: bytes | str) -> bool:
    """Whether a name stands twice in one object of it, read by Python's own parser."""
    sizes: list[tuple[int, int]] = []
    json.loads(value, object_pairs_hook=lambda pairs: sizes.append((len(pairs), len(dict(pairs)))))
    return any(pairs != names for pairs, names in sizes)


def _written(kind: str, found: tuple[Any, ...]) -> bytes:
    return msgspec.json.encode(found) if kind.endswith(".pack") else wire.value_of(found[0])


def require_sound(refused: BadRecord) -> None:
    """A refusal names field and reason, in words that can be stored, logged and shown."""
    assert refused.field, f"names no field: {refused}"
    assert refused.reason
    assert all(is_storable(text) and text.isprintable() and len(text) < 5_100 for text in (refused.reason, refused.field, str(refused)))


def is_storable(value: Any) -> bool:
    """Whether Postgres takes every text and number in it."""
    if isinstance(value, str):
        return "\x00" not in value and value.encode("utf-8", "ignore").decode() == value
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, tuple):
        return all(map(is_storable, value))
    if isinstance(value, Part):
        return all(is_storable(getattr(value, name)) for name in value.__struct_fields__)
    return True


def _kind_of_words(reason: str) -> str:
    return re.sub(r"'[^']*'|[0-9]+", "#", reason)[:60]


# ---------------------------------------------------------------- headers


def headers(raw: Sequence[Header]) -> Verdict:
    """The headers of one record: read one by one as they are read together."""
    together = wire.header_map(raw)
    one = wire.type_header(raw)
    assert one.get("ce_type") == together.get("ce_type"), "the type is read differently"
    assert wire.traceparent_in(raw) == wire.traceparent_of(together), "the trace is read differently"
    try:
        envelope = wire.envelope_of(together)
    except BadRecord as refused:
        require_sound(refused)
        return _type(one)
    assert envelope == Envelope(together["earmark_source"], int(together["earmark_sequence"]))
    assert is_storable(envelope.source)
    assert is_storable(envelope.sequence)
    return _type(one)


def _type(found: dict[str, str]) -> Verdict:
    try:
        wire.decode(b"null", found, set(KINDS))
    except BadRecord as refused:
        require_sound(refused)
        return Verdict(refused.field, f"headers refused: {refused.field} {refused.newer}")
    raise AssertionError("null is no message")


# ---------------------------------------------------------------- HTTP


def body(raw: bytes) -> Verdict:
    """The body of a request, before any model of it."""
    found = read(raw)
    if isinstance(found, Problem):
        return _refused(found, 400)
    assert not has_doubled_name(raw), "a name stands twice"
    assert _is_sound_json(found.parsed), "holds what Postgres does not take"
    assert json.loads(found.canonical()) == found.parsed, "the canonical form says something else"
    assert TypeAdapter(Any).validate_json(raw) == found.parsed, "pydantic reads it differently"
    return Verdict(TAKEN, "body taken")


def read(raw: bytes) -> Json | Problem:
    """What our reader makes of it, in its time."""
    return timed(lambda: _read(raw), len(raw))


def _read(raw: bytes) -> Json | Problem:
    try:
        return Json(raw)
    except Problem as refused:
        return refused


def _is_sound_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_sound_json, (*value, *value.values())))
    if isinstance(value, list):
        return all(map(_is_sound_json, value))
    return not isinstance(value, str) or is_storable(value)


def api_key(text: str) -> Verdict:
    """An Authorization header."""
    found = token_in(text)
    if found is None:
        return Verdict("authorization", "key refused")
    assert re.fullmatch(r"[a-z0-9]{16}", found.id, re.ASCII)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", found.secret, re.ASCII)
    assert re.fullmatch(rf"\s*bearer\s+em_{found.id}\.{found.secret}\s*", text, re.IGNORECASE), "read out of something else"
    return Verdict(TAKEN, "key taken")


CURSOR_KEY, SCOPE = b"k" * 32, "orders/acme"


def cursor(text: str) -> Verdict:
    """A cursor that comes back."""
    try:
        values = cursors.decode(CURSOR_KEY, SCOPE, text)
    except Problem as refused:
        return _refused(refused, 422)
    again = cursors.encode(CURSOR_KEY, SCOPE, values)
    assert text.rstrip("=")[:-1] == again[:-1], "taken, and not of our making"
    return Verdict(TAKEN, "cursor taken")


def _refused(refused: Problem, status: int) -> Verdict:
    assert (refused.status, bool(refused.field), bool(refused.remedy)) == (status, True, True)
    document = json.dumps(refused.document("r"))
    assert len(document) < 2_000
    assert is_storable(document)
    return Verdict(refused.field or "", f"{refused.code} {_kind_of_words(refused.detail)}")
