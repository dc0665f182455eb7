"""Receipts and adjustments: what is refused before it is sent, as a table."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.core.deciding import MAX_REFUSALS, command, refusals
from services.inventory.core.model import Adjustment, Document, Known, Place, Product, Receipt
from shared.schemas.commands import AdjustStock, ReceiveStock
from shared.schemas.values import AdjustmentReason

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KNOWN = Known(
    {"PLAIN": Product("PLAIN", False, False), "SERIAL": Product("SERIAL", True, False), "LOT": Product("LOT", False, True)},
    frozenset({"W1", "W2"}),
    frozenset({("W1", "B1"), ("W2", "B2")}),
)
TABLE = """
sku     warehouse  bin  lot  label   refused
PLAIN   W1         B1   -    -       -
PLAIN   W1         B1   L1   -       -
PLAIN   W2         B2   -    -       -
PLAIN   W1         B2   -    -       unknown_bin@bin
PLAIN   W2         B1   -    -       unknown_bin@bin
PLAIN   W3         B1   -    -       unknown_warehouse@warehouse
plain   W1         B1   -    -       unknown_sku@sku
OTHER   W3         B1   -    -       unknown_sku@sku,unknown_warehouse@warehouse
PLAIN   W1         B1   -    S1      label_not_allowed@label
SERIAL  W1         B1   -    S1      -
SERIAL  W1         B1   -    -       label_needed@label
LOT     W1         B1   L1   -       -
LOT     W1         B1   -    -       lot_needed@lot
LOT     W1         B9   -    S1      label_not_allowed@label,lot_needed@lot,unknown_bin@bin
"""
REASONS = """
reason                  up        down
CYCLE_COUNT             -         -
DAMAGED                 refused   -
EXPIRED                 refused   -
FOUND                   -         refused
LOST                    refused   -
CORRECTION              -         -
DISPOSAL_TRANSFER_OUT   refused   -
DISPOSAL_TRANSFER_IN    -         refused
"""


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()[1:]]


def _place(sku: str = "PLAIN", warehouse: str = "W1", in_bin: str = "B1", lot: str | None = None, label: str | None = None) -> Place:
    return Place(sku=sku, warehouse=warehouse, bin=in_bin, lot=lot, label=label)


def _receipt(number: int = 1, place: Place | None = None) -> Receipt:
    return Receipt(command_id=f"c{number}", place=place or _place(), units=3)


def _adjustment(change: int, reason: str) -> Adjustment:
    return Adjustment(command_id="c", place=_place(), change=change, reason=AdjustmentReason(reason))


@pytest.mark.parametrize(("sku", "warehouse", "in_bin", "lot", "label", "refused"), _rows(TABLE))
def test_a_document_is_refused_for_what_is_unknown_or_missing(
    sku: str, warehouse: str, in_bin: str, lot: str, label: str, refused: str
) -> None:
    place = _place(sku, warehouse, in_bin, None if lot == "-" else lot, None if label == "-" else label)
    found = refusals([_receipt(1, place)], KNOWN)
    assert ",".join(f"{one.code}@{one.field}" for one in found) == refused.replace("-", "")
    assert all(one.remedy and one.detail for one in found)


@pytest.mark.accept("003-26")
@pytest.mark.parametrize(("reason", "up", "down"), _rows(REASONS))
def test_each_of_the_eight_reasons_goes_the_way_its_word_says(reason: str, up: str, down: str) -> None:
    for change, expected in ((5, up), (-5, down)):
        found = refusals([_adjustment(change, reason)], KNOWN)
        assert [one.code for one in found] == (["direction"] if expected == "refused" else [])


@pytest.mark.accept("003-26")
def test_the_table_of_reasons_has_exactly_the_eight() -> None:
    assert {reason for reason, _, _ in _rows(REASONS)} == {reason.value for reason in AdjustmentReason}
    assert len(AdjustmentReason) == 8


def test_a_change_of_zero_is_refused() -> None:
    assert [(one.code, one.field) for one in refusals([_adjustment(0, "CORRECTION")], KNOWN)] == [("zero_change", "change")]


def test_each_document_is_named_by_its_place_in_the_request() -> None:
    found = refusals([_receipt(1), _receipt(2, _place(sku="X")), _receipt(3), _receipt(4, _place(in_bin="X"))], KNOWN)
    assert [(one.index, one.field) for one in found] == [(1, "sku"), (3, "bin")]


def test_one_command_id_may_not_stand_twice_in_a_request() -> None:
    assert [(one.index, one.code) for one in refusals([_receipt(1), _receipt(2), _receipt(1)], KNOWN)] == [(2, "repeated")]


def test_no_more_refusals_are_listed_than_anyone_reads() -> None:
    assert len(refusals([_receipt(number, _place(sku="X")) for number in range(1_000)], KNOWN)) == MAX_REFUSALS


@given(st.lists(st.builds(_receipt, st.integers(1, 5), st.builds(_place, st.sampled_from(["PLAIN", "X"]))), max_size=8))
def test_a_request_is_sent_exactly_when_each_document_alone_would_be_and_no_id_repeats(documents: list[Document]) -> None:
    alone = all(not refusals([document], KNOWN) for document in documents)
    distinct = len({document.command_id for document in documents}) == len(documents)
    assert (refusals(documents, KNOWN) == []) == (alone and distinct)


def test_a_receipt_says_the_same_to_the_allocator() -> None:
    place = _place(lot="L1", label="S1")
    receipt = Receipt(command_id="c1", place=place, units=7, expires_on=date(2027, 1, 31), cause="PO-1")
    expected = ReceiveStock(
        command_id="c1",
        merchant="acme",
        sku="PLAIN",
        warehouse="W1",
        bin="B1",
        lot="L1",
        label="S1",
        expires_on=date(2027, 1, 31),
        units=7,
        cause="PO-1",
        issued_at=NOW,
    )
    assert command(receipt, "acme", NOW) == expected


def test_an_adjustment_says_the_same_to_the_allocator() -> None:
    adjustment = Adjustment(command_id="c1", place=_place(lot="L1"), change=-7, reason=AdjustmentReason.LOST, note="gone")
    expected = AdjustStock(
        command_id="c1",
        merchant="acme",
        sku="PLAIN",
        warehouse="W1",
        bin="B1",
        lot="L1",
        change=-7,
        reason=AdjustmentReason.LOST,
        note="gone",
        issued_at=NOW,
    )
    assert command(adjustment, "acme", NOW) == expected
