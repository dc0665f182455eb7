"""Order lines of a shop's file, and generated ones."""

import gzip
from pathlib import Path

import pytest

from services.console.demo.order_lines import MAX_LINES, FileRefused, generate, read_file, read_rows

HEADER = "InvoiceNo,StockCode,Quantity,CustomerID,Country\n"


def rows(*lines: str) -> list[dict[str, str]]:
    """Rows as a CSV reader gives them."""
    names = HEADER.strip().split(",")
    return [dict(zip(names, line.split(","), strict=True)) for line in lines]


def test_rows_of_one_invoice_are_one_order_and_a_sku_that_stands_twice_is_one_line() -> None:
    reading = read_rows(rows("1,A,2,9,UK", "2,B,1,8,UK", "1,A,3,9,UK", "1,C,1,9,UK"))
    assert [(order.number, order.lines) for order in reading.orders] == [("1", {"A": 5, "C": 1}), ("2", {"B": 1})]


def test_an_invoice_that_starts_with_c_cancels_and_its_quantities_are_counted_upwards() -> None:
    _, order = read_rows(rows("6,A,4,9,UK", "C7,A,-4,9,UK")).orders
    assert (order.cancels, order.lines, order.customer, order.country) == (True, {"A": 4}, "9", "UK")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,A,0,9,UK", "quantity is not above zero"),
        ("1,A,-3,9,UK", "quantity is not above zero"),
        ("C1,A,3,9,UK", "quantity is not above zero"),
        ("1,A,two,9,UK", "quantity is no whole number"),
        ("1,A,1.5,9,UK", "quantity is no whole number"),
        ("1,,1,9,UK", "no usable stock code"),
        ("1,Ä,1,9,UK", "no usable stock code"),
        (",A,1,9,UK", "no usable invoice number"),
    ],
)
def test_a_row_that_is_no_order_line_is_counted_by_reason_and_its_neighbours_stay(row: str, reason: str) -> None:
    reading = read_rows(rows(row, "2,B,1,8,UK"))
    assert dict(reading.left_out) == {reason: 1}
    assert [order.number for order in reading.orders] == ["2"]


def test_an_order_with_more_lines_than_one_may_have_becomes_several() -> None:
    reading = read_rows(rows(*(f"1,S{number},1,9,UK" for number in range(MAX_LINES + 1))))
    assert [(order.number, len(order.lines)) for order in reading.orders] == [("1", MAX_LINES), ("1-2", 1)]


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "1,A,2,9,UK\n").encode()))
    assert read_file(path).orders[0].lines == {"A": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no rows"),
        (HEADER.encode(), "no rows"),
        (b"a,b\n1,2\n", "no column InvoiceNo, StockCode, Quantity; found a, b"),
        (HEADER.encode() + b"1,A\n", "no usable orders"),
        (b"\x00\x01\x02", "no"),
    ],
)
def test_a_file_that_holds_no_orders_is_refused_in_one_sentence_with_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "lines.csv"
    path.write_bytes(content)
    with pytest.raises(FileRefused, match=said) as refused:
        read_file(path)
    assert str(path) in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(HEADER + "1,A,2,9,UK\n", encoding="utf-8-sig")
    assert read_file(path).orders[0].lines == {"A": 2}


def test_a_file_that_is_not_there_or_no_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lines.csv.gz").write_bytes(b"InvoiceNo")
    for name in ("nowhere.csv", "lines.csv.gz"):
        with pytest.raises(FileRefused, match=name):
            read_file(tmp_path / name)


def test_generated_orders_are_the_same_for_the_same_seed_and_cancellations_name_their_victims_lines() -> None:
    one, other = generate(200, seed=7), generate(200, seed=7)
    assert one == other != generate(200, seed=8)
    placed = [order.lines for order in one.orders if not order.cancels]
    canceled = [order.lines for order in one.orders if order.cancels]
    assert canceled
    assert all(lines in placed for lines in canceled)
