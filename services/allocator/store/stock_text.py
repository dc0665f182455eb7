"""Rows of the stock side as Postgres reads them in text: what COPY takes, and arrays.

Values are identifiers of the published language and numbers: nothing in them needs an escape, and it is asserted that nothing could be
taken for one.
"""

from collections.abc import Sequence
from datetime import datetime

from services.allocator.core.stock.rows import ReservationRow

NULL = "\\N"
_TABS = len(ReservationRow._fields) - 1


def reservations_text(rows: Sequence[ReservationRow]) -> str:
    """One line a row, in the order of its fields."""
    times: dict[datetime, str] = {}  # many rows of a batch share them

    def time(moment: datetime | None) -> str:
        if moment is None:
            return NULL
        return times.get(moment) or times.setdefault(moment, moment.isoformat())

    text = "".join([_line(row, time(row.demanded_at), time(row.created_at), time(row.empty_since)) for row in rows])
    assert (text.count("\t"), text.count("\n")) == (_TABS * len(rows), len(rows)), "an identifier moves no column"
    assert text.count("\\") == text.count(NULL), "an identifier escapes nothing"
    return text


def _line(row: ReservationRow, demanded_at: str, created_at: str, empty_since: str) -> str:
    (demand, sku, alternative, merchant, attempt, version, reserved, flagged, waiting, consumed, pending, mark, fill, strategy, priority,
     _, warehouses, records, units, flags, _, _) = row  # fmt: skip
    return (
        f"{demand}\t{sku}\t{alternative}\t{merchant}\t{attempt}\t{version}\t{reserved}\t{flagged}\t{waiting}\t{consumed}"
        f"\t{'t' if pending else 'f'}\t{NULL if mark is None else mark}\t{fill}\t{strategy}\t{priority}\t{demanded_at}"
        f"\t{names(warehouses)}\t{array(records)}\t{array(units)}\t{NULL if flags is None else array(flags)}"
        f"\t{created_at}\t{empty_since}\n"
    )


def names(texts: tuple[str, ...]) -> str:
    """An array of identifiers. In quotes: a warehouse may be named NULL."""
    return '{"' + '","'.join(texts) + '"}' if texts else "{}"


def array(numbers: tuple[int, ...]) -> str:
    """An array of numbers."""
    return "{" + ",".join(map(str, numbers)) + "}"
