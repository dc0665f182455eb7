"""Proof of the books of a stock partition from its stored rows alone; shares no code with the core."""

from collections import defaultdict
from datetime import date
from typing import Any

from tests.unit.allocator.stock_partition import StockPartition

Row = Any
"""Named tuples of `core.stock.rows`."""


def check_books(partition: StockPartition) -> None:
    """Nothing is oversold, sums are sums, flags stand where they must, and nobody who takes what there is waits beside it."""
    for sku in {row.sku for row in partition.rows("stock_record") + partition.rows("reservation")}:
        _check_sku(partition, sku)


def _check_sku(partition: StockPartition, sku: str) -> None:
    tables = {name: [row for row in partition.rows(name) if row.sku == sku] for name in ("reservation", "movement", "baton", "sku_queue")}
    records = {row.record: row for row in partition.rows("stock_record") if row.sku == sku}
    reservations = tables["reservation"]
    today = partition.now.date()
    _check_sums(records, reservations)
    _check_movements(records, tables["movement"])
    for row in records.values():
        assert 0 <= row.backed <= _capacity(row, today), f"oversold: {row}"
    _check_flags(records, reservations, today)
    if not partition.batch_is_due():
        _check_nobody_sleeps(records, reservations, tables["baton"], today)
    waiting = [row for row in reservations if row.waiting_units]
    assert sum(row.waiting_count for row in tables["sku_queue"]) == len(waiting)


def _check_sums(records: dict[int, Row], reservations: list[Row]) -> None:
    backed: dict[int, int] = defaultdict(int)
    flagged: dict[int, int] = defaultdict(int)
    for row in reservations:
        flags = row.piece_flags or (0,) * len(row.piece_records)
        for record, units, flag in zip(row.piece_records, row.piece_units, flags, strict=True):
            backed[record] += units
            flagged[record] += flag
            assert records[record].warehouse in row.warehouses, f"lies where it may not: {row}"
        assert row.reserved_units == sum(row.piece_units) + sum(flags), f"sums: {row}"
        assert row.flagged_units == sum(flags), f"sums: {row}"
    for number, record in records.items():
        assert (record.backed, record.flagged) == (backed[number], flagged[number]), f"sums: {record}"


def _check_movements(records: dict[int, Row], movements: list[Row]) -> None:
    moved: dict[int, int] = defaultdict(int)
    for row in movements:
        if row.refusal is None:
            moved[row.record] += row.change
    assert {number: row.on_hand for number, row in records.items()} == {number: moved[number] for number in records}


def _check_flags(records: dict[int, Row], reservations: list[Row], today: date) -> None:
    """No reservation is flagged beside free units that it could use, or while a worse placed one has such units."""
    for flagged in (row for row in reservations if row.flagged_units):
        usable = {number for number, row in records.items() if row.warehouse in flagged.warehouses and _capacity(row, today)}
        assert not sum(_capacity(records[number], today) - records[number].backed for number in usable), f"flagged beside free: {flagged}"
        for other in reservations:
            if _rank(other) > _rank(flagged):
                has = sum(units for number, units in zip(other.piece_records, other.piece_units, strict=True) if number in usable)
                assert not has, f"{flagged} is flagged while {other} is not"


def _check_nobody_sleeps(records: dict[int, Row], reservations: list[Row], batons: list[Row], today: date) -> None:
    """A waiter that fits beside everything that is free has at least been woken, or somebody better placed has."""
    free: dict[str, int] = defaultdict(int)
    for row in records.values():
        free[row.warehouse] += _capacity(row, today) - row.backed
    for row in (row for row in reservations if row.waiting_units):
        there = sum(free[warehouse] for warehouse in row.warehouses)
        if row.fill == "partial" or row.fill == "whole_lines":
            enough = there > 0 if row.fill == "partial" else there >= row.waiting_units
            assert not enough or _claimed(reservations, row), f"asleep: {row}"
        elif there >= row.waiting_units and not _claimed(reservations, row):
            assert batons, f"nobody is awake beside stock: {row}"


def _claimed(reservations: list[Row], behind: Row) -> bool:
    """Whether an all-or-nothing waiter stands before it: what is free may be kept for that one."""
    waiting = [row for row in reservations if row.waiting_units and row.fill == "all_or_nothing"]
    return any(_place(row) < _place(behind) for row in waiting)


def _capacity(row: Row, today: date) -> int:
    if row.expires_on is not None and row.expires_on < today:
        return 0
    return max(0, int(row.on_hand) - int(row.held))


def _place(row: Row) -> tuple[Any, ...]:
    return (row.priority, row.demanded_at, row.demand, row.alternative)


def _rank(row: Row) -> tuple[Any, ...]:
    return (row.mark is None, *_place(row))
