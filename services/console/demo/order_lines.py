"""Order lines from a file of a shop, or generated with the same shape. Pure: text in, orders out.

The columns are those of the "Online Retail" data set (InvoiceNo, StockCode, Quantity; CustomerID and Country if there): one row per
line, rows of one invoice together or not, invoice numbers that start with C are cancellations with negative quantities.
"""

import csv
import gzip
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.console.errors import ConsoleError

NEEDED = ("InvoiceNo", "StockCode", "Quantity")
_SKU = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9 _.\-]{0,62}[A-Za-z0-9_.\-])?$")
_NUMBER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")
MAX_LINES = 1_000


class FileRefused(ConsoleError):
    """The file of order lines cannot be used. Give a CSV (or .csv.gz) with the columns InvoiceNo, StockCode and Quantity."""


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """One order, or one cancellation of an earlier one. `lines`: SKU to units, above zero, in the order of the file."""

    number: str
    lines: dict[str, int]
    customer: str = ""
    country: str = ""
    cancels: bool = False


@dataclass(slots=True)
class Reading:
    """What a file gave: orders in the order in which they were booked, and why rows were left out."""

    orders: list[ShopOrder] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_file(path: Path) -> Reading:
    """Read a file of any size that memory holds as orders. Raises FileRefused."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", errors="replace", newline="") as file
        ):
            return read_rows(csv.DictReader(file))
    except (OSError, csv.Error, EOFError, FileRefused) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise FileRefused(f"{path}: {reason}; give a CSV (or .csv.gz) with the columns {', '.join(NEEDED)}") from error


def read_rows(rows: Iterable[dict[str, str]]) -> Reading:
    """Group rows by invoice. A SKU that stands twice in one invoice is merged; rows that are no order line are counted by reason."""
    reading, invoices = Reading(), dict[str, list[dict[str, str]]]()
    for number, row in enumerate(rows):
        if number == 0 and (missing := [name for name in NEEDED if name not in row]):
            raise FileRefused(f"no column {', '.join(missing)}; found {', '.join(filter(None, row))[:200] or 'none'}")
        invoices.setdefault((row["InvoiceNo"] or "").strip(), []).append(row)
    if not invoices:
        raise FileRefused("no rows")
    for invoice, lines in invoices.items():
        _add_order(reading, invoice, lines)
    if not any(not order.cancels for order in reading.orders):
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in reading.left_out.items())
        raise FileRefused(f"no usable orders{f' ({reasons})' if reasons else ''}")
    return reading


def _add_order(reading: Reading, invoice: str, rows: list[dict[str, str]]) -> None:
    cancels = invoice.upper().startswith("C")
    lines: dict[str, int] = {}
    for row in rows:
        sku, units, reason = _line(row, cancels)
        if reason:
            reading.left_out[reason] += 1
        else:
            lines[sku] = lines.get(sku, 0) + units
    if not _NUMBER.match(invoice):
        reading.left_out["no usable invoice number"] += len(lines)
        return
    customer, country = (rows[0].get(name) or "" for name in ("CustomerID", "Country"))
    for part, chunk in enumerate(_chunks(lines)):
        number = invoice if part == 0 else f"{invoice}-{part + 1}"
        reading.orders.append(ShopOrder(number, chunk, customer.strip()[:64], country.strip()[:64], cancels))


def _line(row: dict[str, str], cancels: bool) -> tuple[str, int, str]:
    sku = (row["StockCode"] or "").strip()
    try:
        units = int(row["Quantity"])
    except (TypeError, ValueError):
        return "", 0, "quantity is no whole number"
    if not _SKU.match(sku):
        return "", 0, "no usable stock code"
    if cancels:
        units = -units
    if units <= 0:
        return "", 0, "quantity is not above zero"
    return sku, units, ""


def _chunks(lines: dict[str, int]) -> Iterator[dict[str, int]]:
    items = iter(lines.items())
    while chunk := dict(itertools.islice(items, MAX_LINES)):
        yield chunk


def generate(count: int, seed: int = 1) -> Reading:
    """Orders shaped like the real ones: many lines an order, few hot SKUs, one in nine a cancellation of an earlier one."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible example, no secret
    skus = [f"{number}{letter}" for number, letter in zip(range(20_000, 20_400), itertools.cycle(["", "A", "", "B"]), strict=False)]
    weights = [1 / (rank + 1) ** 0.8 for rank in range(len(skus))]
    reading, placed = Reading(), list[ShopOrder]()
    for index in range(count):
        number = str(536_365 + index)
        if placed and draw.random() < 0.11:
            victim = placed.pop(draw.randrange(len(placed)))
            reading.orders.append(ShopOrder(f"C{number}", dict(victim.lines), victim.customer, victim.country, cancels=True))
            continue
        lines = {sku: draw.choice((1, 2, 3, 4, 6, 6, 8, 12, 24)) for sku in draw.choices(skus, weights, k=_line_count(draw))}
        order = ShopOrder(number, lines, str(17_850 - draw.randrange(400)), draw.choice(("United Kingdom",) * 8 + ("France", "Germany")))
        placed.append(order)
        reading.orders.append(order)
    return reading


def _line_count(draw: random.Random) -> int:
    return min(60, max(1, round(draw.lognormvariate(2.2, 0.9))))
