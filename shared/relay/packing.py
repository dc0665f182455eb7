"""The records of one outbox row as one byte string: how long each part of each is, then their bytes. Knows no headers and no Kafka.

Not a Kafka record batch as in `shared.partitions.framing`: its checksum alone costs 1 us a record, and here all headers but the numbers
are stored once for the row.
"""

import struct
import zlib
from collections.abc import Sequence
from itertools import chain

Parts = tuple[bytes, bytes, bytes]
"""Key, value and trace of a record; most have no trace."""
_FAST = 1


def pack(records: Sequence[Parts]) -> bytes:
    """One record stands as it is, several are compressed: events of one batch are much alike, a twentieth of their size remains."""
    sizes = [len(part) for parts in records for part in parts]
    plain = b"".join((struct.pack(f">{len(sizes)}I", *sizes), *chain.from_iterable(records)))
    return plain if len(records) == 1 else zlib.compress(plain, _FAST)


def unpack(packed: bytes, count: int) -> list[Parts]:
    """The `count` records of `pack`."""
    plain = packed if count == 1 else zlib.decompress(packed)
    layout = struct.Struct(f">{3 * count}I")
    sizes, key_at, records = iter(layout.unpack_from(plain)), layout.size, []
    for key_size, value_size, trace_size in zip(sizes, sizes, sizes, strict=True):
        value_at = key_at + key_size
        trace_at = value_at + value_size
        end = trace_at + trace_size
        records.append((plain[key_at:value_at], plain[value_at:trace_at], plain[trace_at:end]))
        key_at = end
    return records
