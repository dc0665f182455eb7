"""Rows of the stock side as COPY reads them in text.

Values are identifiers of the published language and numbers: nothing in them needs an escape, and it is asserted that nothing could be
taken for one.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.allocator.core.stock.rows import ReservationRow
from services.allocator.store.array_text import array, texts

NULL = "\\N"
_to_json = msgspec.json.Encoder().encode
_TABS = len(ReservationRow._fields) - 1


def reservations_text(rows: Sequence[ReservationRow]) -> str:
    """One line a row, in the order of its fields."""
    demanded_at, created_at = _times([row.demanded_at for row in rows]), _times([row.created_at for row in rows])
    text = "".join(map(_line, rows, demanded_at, created_at))
    assert (text.count("\t"), text.count("\n")) == (_TABS * len(rows), len(rows)), "an identifier moves no column"
    assert text.count("\\") == text.count(NULL), "an identifier escapes nothing"
    return text


def _line(row: ReservationRow, demanded_at: str, created_at: str) -> str:
    (demand, sku, alternative, merchant, attempt, version, reserved, flagged, waiting, consumed, pending, mark, fill, strategy, priority,
     _, warehouses, records, units, flags, _, empty_since) = row  # fmt: skip
    return (
        f"{demand}\t{sku}\t{alternative}\t{merchant}\t{attempt}\t{version}\t{reserved}\t{flagged}\t{waiting}\t{consumed}"
        f"\t{'t' if pending else 'f'}\t{NULL if mark is None else mark}\t{fill}\t{strategy}\t{priority}\t{demanded_at}"
        f"\t{texts(warehouses)}\t{array(records)}\t{array(units)}\t{NULL if flags is None else array(flags)}"
        f"\t{created_at}\t{NULL if empty_since is None else empty_since.isoformat()}\n"
    )


def _times(moments: list[datetime]) -> list[str]:
    """As text, all at once: msgspec writes a time in a twentieth of what `isoformat` takes."""
    return _to_json(moments)[2:-2].decode().split('","')
