"""Messages on the wire: CloudEvents in Kafka's binary mode, JSON values, our own partitioner.

`encode` makes a record of one message; `pack` makes one of many, for the internal topics, where every message of a batch for one
destination travels together. `decode` is the only way in: it validates everything once and raises `BadRecord`, which names the field
and the remedy. Headers and keys are treated as hostile.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from shared.schemas import commands, events, intake
from shared.schemas.message import Message, Value, kind_of
from shared.schemas.values import EARLIEST, LATEST, MAX_TEXT, DemandId, Identifier, Line, Sku, pattern_of, sku_key

MAX_VALUE_BYTES = 900_000
"""A record may not be larger: one big record would fail the whole produce batch at the broker."""
MAX_PACKED = 500
"""Messages in one packed record."""
SCHEMA = "v1"
_from_json, _to_json = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
_NUMBER = re.compile("[1-9][0-9]{0,17}")
"""What `int` takes is wider: other digits, underscores, spaces, 5,000 digits."""
_TRACEPARENT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./\-]{0,99}")
_DEMAND, _IDENTIFIER, _SKU = (pattern_of(one).fullmatch for one in (DemandId, Identifier, Sku))

_MESSAGES: tuple[type[Message], ...] = (
    commands.ReceiveStock,
    commands.AdjustStock,
    commands.ReserveLine,
    commands.ReserveChain,
    commands.Release,
    commands.ReturnBaton,
    commands.Activate,
    commands.MarkPicking,
    commands.UnmarkPicking,
    commands.Consume,
    commands.Forget,
    events.Outcome,
    events.Wake,
    events.Forgotten,
    intake.OrderIntake,
    events.OrderChanged,
    events.AllocationRunChanged,
    events.AllocationChanged,
    events.StockMoved,
    events.StockCommandRefused,
    events.StockLevelChanged,
)
ADAPTERS: dict[str, TypeAdapter[Any]] = {kind_of(message): TypeAdapter(message) for message in _MESSAGES}
"""Message type to its validator; the keys are the closed set of released messages."""
PACKS: dict[str, TypeAdapter[Any]] = {
    "reservations": TypeAdapter(tuple[Annotated[commands.ReservationCommand, Field(discriminator="type")], ...]),
    "outcomes": TypeAdapter(tuple[Annotated[events.Outcome | events.Wake | events.Forgotten, Field(discriminator="type")], ...]),
}
"""Name of an internal topic to the validator of the many messages that travel there in one record."""
_QUICK: dict[str, Callable[[bytes], Any]] = {
    "reservations.pack": msgspec.json.Decoder(tuple[commands.ReservationCommand, ...]).decode,
    "outcomes.pack": msgspec.json.Decoder(tuple[events.Outcome | events.Wake | events.Forgotten, ...]).decode,
    "allocation_changed": msgspec.json.Decoder(events.AllocationChanged).decode,
    "order_changed": msgspec.json.Decoder(events.OrderChanged).decode,
    "order_intake": msgspec.json.Decoder(intake.OrderIntake).decode,
}
"""How that is read of which there is most."""
_names_in = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
OF_THE_ALLOCATOR = frozenset(
    {"allocation_changed", "stock_moved", "stock_command_refused", "stock_level_changed", *(f"{name}.pack" for name in PACKS)}
)
"""Kinds of records that nobody else may write."""
_KINDS = {f"earmark.{kind}.{SCHEMA}": kind for kind in (*ADAPTERS, *(f"{name}.pack" for name in PACKS))}
"""What `ce_type` says of the messages that this reader knows."""


class BadRecord(Exception):
    """The record cannot be read. Mend the sender, then replay or discard the dead letter.

    `reason` and `field` may quote the record, so they are made safe to store, to log and to show: printable and short.
    """

    def __init__(self, reason: str, field: str = "", *, newer: bool = False) -> None:
        self.reason, self.field, self.newer = _printable(reason, 500), _printable(field, 200), newer
        super().__init__(f"{self.field}: {self.reason}" if self.field else self.reason)


def _printable(text: str, limit: int) -> str:
    """Lone surrogates, NUL and other control characters as escapes: Postgres refuses the first two, terminals obey the rest."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in cut)


Headers = tuple[tuple[str, bytes], ...]


class Record(Value, frozen=True):
    """What is written: key, value, headers. The partition is `partition_of(key, count)` unless the sender names one."""

    key: bytes
    value: bytes
    headers: Headers


class Envelope(Value, frozen=True):
    """The headers of a record that our own single-writer sources set: `source` names state partition and incarnation, `sequence` rises
    by one per record of that source, so that a reader keeps one high-water mark per source."""

    source: str
    sequence: int


def partition_of(key: str | bytes, count: int) -> int:
    """The partition of a key among `count`. CRC-32: stable for ever, the same in every language."""
    return zlib.crc32(key if isinstance(key, bytes) else key.encode()) % count


def key_of(message: Any) -> str | None:
    """The key that decides the partition of a message which others write; None of one that travels packed or decides nothing."""
    if isinstance(message, commands.ReceiveStock | commands.AdjustStock):
        return sku_key(message.merchant, message.sku)
    return message.demand.id if isinstance(message, events.OrderChanged) else None


def require_partition(message: Any, partition: int, count: int) -> None:
    """A message in another partition than its key's would give one SKU two writers. Raises BadRecord."""
    key = key_of(message)
    if key is not None and (belongs := partition_of(key, count)) != partition:
        raise BadRecord(f"{key} belongs in partition {belongs} of {count} and lies in {partition}: send it by CRC-32 of that key", "key")


def headers(kind: str, subject: str, envelope: Envelope, time: datetime, traceparent: str | None = None) -> Headers:
    """CloudEvents attributes of one record. The id is source and sequence: the same record has the same id when published again."""
    sequence = str(envelope.sequence).encode()
    common, id_prefix = _common_headers(kind, envelope.source, time)
    own = (("ce_id", id_prefix + sequence), ("ce_subject", subject.encode()), ("earmark_sequence", sequence))
    return common + own + (("traceparent", traceparent.encode()),) if traceparent else common + own


@lru_cache(maxsize=256)
def _common_headers(kind: str, source: str, time: datetime) -> tuple[tuple[tuple[str, bytes], ...], bytes]:
    """What all records of one batch share, made once: a batch tells thousands at one time."""
    common = (
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/earmark/{source}".encode()),
        ("ce_type", f"earmark.{kind}.{SCHEMA}".encode()),
        ("ce_time", time.isoformat().encode()),
        ("ce_dataschema", f"earmark:{kind}:{SCHEMA}".encode()),
        ("content-type", b"application/json"),
        ("earmark_source", source.encode()),
    )
    return common, f"{source}:".encode()


def encode(message: Any, *, key: str, envelope: Envelope, time: datetime, traceparent: str | None = None) -> Record:
    """One message as one record."""
    return Record(key.encode(), value_of(message), headers(message.type, key, envelope, time, traceparent))


def value_of(message: Any) -> bytes:
    """One message as JSON. What it lacks is written as null: to leave that out is pydantic's, which took twice as long."""
    return _to_json(message)


def pack(name: str, messages: Sequence[Any], *, envelope: Envelope, time: datetime) -> Record:
    """Many internal messages as one record; `name` is `reservations` or `outcomes`. Raises ValueError above the limits."""
    value = _to_json(messages)
    if len(value) > MAX_VALUE_BYTES and len(messages) > 1:
        raise ValueError(f"{len(value)} bytes in one record; pack fewer messages")
    return Record(envelope.source.encode(), value, headers(f"{name}.pack", name, envelope, time))


def packs(name: str, messages: Sequence[Any], *, source: str, first_sequence: int, time: datetime) -> list[Record]:
    """As few records as the limits allow, in order, numbered from `first_sequence`."""
    records: list[Record] = []
    for start in range(0, len(messages), MAX_PACKED):
        records.extend(_split(name, messages[start : start + MAX_PACKED], source, first_sequence + len(records), time))
    return records


def _split(name: str, messages: Sequence[Any], source: str, sequence: int, time: datetime) -> list[Record]:
    try:
        return [pack(name, messages, envelope=Envelope(source, sequence), time=time)]
    except ValueError:
        half = len(messages) // 2
        left = _split(name, messages[:half], source, sequence, time)
        return left + _split(name, messages[half:], source, sequence + len(left), time)


def header_map(raw: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Headers as text; what is not UTF-8 is dropped. The first of a repeated name counts."""
    found: dict[str, str] = {}
    for name, value in raw:
        if name not in found and value is not None:
            try:
                found[name] = value.decode()
            except UnicodeDecodeError:
                continue
    return found


def type_header(raw: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """The one header that `decode` reads, as `header_map` has it: for those who need no other."""
    for one in raw:
        if one[0] == "ce_type" and (found := header_map([one])):
            return found
    return {}


def traceparent_of(found: Mapping[str, str]) -> str | None:
    """The trace (W3C Trace Context) that a request or a record belongs to, to be passed on as it came. One that is not in order is none."""
    given = found.get("traceparent")
    return given if given is not None and _TRACEPARENT.fullmatch(given) else None


def traceparent_in(raw: Iterable[tuple[str, bytes | None]]) -> str | None:
    """As `traceparent_of`, for those who need no other header."""
    for one in raw:
        if one[0] == "traceparent" and (found := header_map([one])):
            return traceparent_of(found)
    return None


def envelope_of(found: dict[str, str]) -> Envelope:
    """The envelope of an internal record. Raises BadRecord."""
    source, sequence = found.get("earmark_source", ""), found.get("earmark_sequence", "")
    if not _SOURCE.fullmatch(source) or not _NUMBER.fullmatch(sequence):
        raise BadRecord("not written by the allocator: no usable earmark_source and earmark_sequence headers", "headers")
    return Envelope(source, int(sequence))


def decode(value: bytes | None, found: dict[str, str], accepted: frozenset[str] | set[str]) -> tuple[Any, ...]:
    """The messages of one record: many of a pack, else one. `accepted`: the ce_type kinds this reader takes. Raises BadRecord."""
    kind = _kind_of(found, accepted)
    if value is None:
        raise BadRecord("a tombstone where a message is needed; send the message", "value")
    if len(value) > 2 * MAX_VALUE_BYTES:
        raise BadRecord(f"{len(value)} bytes; send at most {MAX_VALUE_BYTES}", "value")
    if (messages := _quickly(kind, value)) is not None:
        return messages
    adapter = PACKS[kind.removesuffix(".pack")] if kind.endswith(".pack") else ADAPTERS[kind]
    try:
        message = adapter.validator.validate_json(value)
        _refuse_doubled_names(value, kind)
    except ValidationError as error:
        _refuse_doubled_names(value, kind)
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise BadRecord(str(first["msg"]), ".".join(map(str, first["loc"])) or "value") from error
    return message if isinstance(message, tuple) else (message,)


def _quickly(kind: str, value: bytes) -> tuple[Any, ...] | None:
    """The messages of a record, of the kinds of which there are most; None where it is not in order, or might not be: pydantic judges it
    and says what is wrong.

    msgspec checks types, closed sets, numbers, unknown names and how many there are of something. Patterns of identifiers, lengths of
    texts and years of what the allocator alone writes are left to it: a text without escapes holds nothing that could harm. Those of
    others are looked at here, because msgspec checks patterns by Python's `re`, which took longer than all the rest.
    """
    if kind not in _QUICK or b"\\" in value or not value.isascii():
        return None
    try:
        found = _QUICK[kind](value)
    except ValueError:
        return None
    if kind == "order_intake":
        return (found,) if _is_sound_intake(found) and _has_each_name_once(found, value) else None
    if kind == "order_changed":
        return (found,) if _is_sound_event(found) and _to_json(found) == value else None  # so no name stands twice
    return found if isinstance(found, tuple) else (found,)


def _is_sound_event(event: events.OrderChanged) -> bool:
    """Whether names, texts and times of an order are within the bounds that msgspec does not check."""
    demand = event.demand
    return (
        _DEMAND(demand.id) is not None
        and _are_identifiers(demand.merchant, *demand.warehouses)
        and _are_sound_lines(demand.lines)
        and _are_short(event.number, event.channel, event.country, event.receiver, event.currency, *event.tags)
        and EARLIEST <= demand.demanded_at < LATEST
        and EARLIEST <= event.changed_at < LATEST
    )


def _is_sound_intake(order: intake.OrderIntake) -> bool:
    return (
        _are_identifiers(order.merchant, order.number, *order.warehouses)
        and _are_sound_lines(order.lines)
        and _are_short(order.reason, order.channel, order.country, order.receiver, order.currency, *order.tags)
        and EARLIEST <= order.demanded_at < LATEST
    )


def _are_sound_lines(lines: Sequence[Line]) -> bool:
    return all(map(_is_sound_line, lines))


def _is_sound_line(line: Line) -> bool:
    return _SKU(line.sku) is not None and (not line.warehouses or _are_identifiers(*line.warehouses))


def _are_identifiers(*names: str) -> bool:
    return all(map(_IDENTIFIER, names))


def _are_short(*texts: str) -> bool:
    return max(map(len, texts)) <= MAX_TEXT


def _has_each_name_once(order: intake.OrderIntake, value: bytes) -> bool:
    """Whether as many names stand in the value as its objects have different ones: a parser keeps one of a name that stands twice. Without
    escapes a quote before a colon ends a name, if no space is between them. False where that is not sure."""
    if b" :" in value or b"\t:" in value or b"\n:" in value or b"\r:" in value:
        return False
    return value.count(b'":') == len(_names_in(value)) + sum([3 if line.warehouses else 2 for line in order.lines])


def _kind_of(found: dict[str, str], accepted: frozenset[str] | set[str]) -> str:
    name = found.get("ce_type", "")
    if (known := _KINDS.get(name)) in accepted and known is not None:
        return known
    kind, _, version = name.removeprefix("earmark.").rpartition(".")
    if not name.startswith("earmark.") or kind not in accepted:
        raise BadRecord(f"the type {name[:80]!r} does not belong on this topic; it takes {', '.join(sorted(accepted))}", "ce_type")
    if version != SCHEMA:
        newer = version[:1] == "v" and _NUMBER.fullmatch(version[1:]) is not None and int(version[1:]) > int(SCHEMA[1:])
        raise BadRecord(
            f"schema {version[:20]!r} of {kind}; this reader knows {SCHEMA}: upgrade it, then replay",
            "ce_type",
            newer=newer,
        )
    return kind


def _refuse_doubled_names(value: bytes, kind: str) -> None:
    """JSON allows a name twice and readers differ in which they take; ours takes neither. What the allocator alone may write is spared
    the cost."""
    if kind not in OF_THE_ALLOCATOR and not _surely_no_doubled_name(value):
        _find_doubled_name(value)


def _surely_no_doubled_name(value: bytes) -> bool:
    """A parser that keeps the last of a doubled name drops a text at least, the name; so nothing is doubled where what it found holds as
    many texts as the value. Without escapes two quotes make a text. A third of the cost of looking at every object in Python."""
    if b"\\" in value:
        return False
    try:
        return _to_json(_from_json(value)).count(b'"') == value.count(b'"')
    except (ValueError, RecursionError):
        return False


def most_frequent(pairs: Iterable[tuple[str, Any]]) -> str:
    """The name that stands most often in an object. Counted once for all: there is room for 200,000 names, and to count each on its own
    took hours."""
    return Counter([name for name, _ in pairs]).most_common(1)[0][0]


def _find_doubled_name(value: bytes) -> None:
    """Looks at every object. Raises BadRecord."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise BadRecord("the name stands twice in one object; keep one", most_frequent(pairs) or "value")
        return made

    try:
        json.loads(value, object_pairs_hook=once, parse_int=len, parse_float=len)  # numbers are not looked at here, however long
    except (ValueError, RecursionError) as error:
        raise BadRecord("not JSON in UTF-8, or nested too deep", "value") from error
