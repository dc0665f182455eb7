"""Encoded records of one outbox row: a byte string that says where each key, value and header ends. Big-endian lengths."""

import struct
from collections.abc import Sequence

from shared.schemas.wire import Record

_LENGTH = struct.Struct(">I")


def frame(records: Sequence[Record]) -> bytes:
    """All records of an outbox row as one byte string."""
    parts: list[bytes] = []
    for record in records:
        _put(parts, record.key)
        _put(parts, record.value)
        parts.append(_LENGTH.pack(len(record.headers)))
        for name, value in record.headers:
            _put(parts, name.encode())
            _put(parts, value)
    return b"".join(parts)


def _put(parts: list[bytes], text: bytes) -> None:
    parts.append(_LENGTH.pack(len(text)))
    parts.append(text)


def unframe(framed: bytes) -> tuple[Record, ...]:
    """The records of `frame`."""
    records, at = [], 0
    while at < len(framed):
        key, at = _get(framed, at)
        value, at = _get(framed, at)
        (count,) = _LENGTH.unpack_from(framed, at)
        at += _LENGTH.size
        headers = []
        for _ in range(count):
            name, at = _get(framed, at)
            content, at = _get(framed, at)
            headers.append((name.decode(), content))
        records.append(Record(key, value, tuple(headers)))
    return tuple(records)


def _get(framed: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _LENGTH.unpack_from(framed, at)
    start = at + _LENGTH.size
    return framed[start : start + length], start + length
