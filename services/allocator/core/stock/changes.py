"""From what a batch has decided to the rows to store. Asserts on the way what every stored row must fulfil."""

from datetime import datetime

from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.rows import LevelsRound, StockChanges, Telling
from services.allocator.core.stock.state import Reservation, StockRecord


def changes_of(draft: Draft, partition: int, telling: Telling | None, levels_round: LevelsRound | None) -> StockChanges:
    """The rows of one batch; afterwards what is in memory counts as stored, so it must be saved or forgotten."""
    forgotten = [(demand, sku, alternative) for (_, sku), (demand, alternative) in draft.forgotten]
    changes = StockChanges(
        partition, draft.now, [], [], [], [], [], [], [], [], draft.movements, telling, levels_round, forgotten
    )  # fmt: skip
    for sku, record in draft.records:
        _check_record(draft, record)
        (changes.changed_records if record.stored else changes.new_records).append(record.row(sku.key, partition, draft.now))
        record.changed, record.stored = False, True
    for sku, record in draft.redated.values():
        changes.redated_records.append(record.row(sku.key, partition, draft.now))
    for sku, reservation in draft.reservations:
        _check_reservation(reservation)
        _note_emptiness(reservation, draft.now)
        (changes.changed_reservations if reservation.stored else changes.new_reservations).append(reservation.row(sku.key))
        reservation.changed, reservation.stored = False, True
    changes.queues.extend(sku.queue_row(partition) for sku in draft.queues.values())
    for (key, whose), sku in draft.batons.items():
        if whose in sku.batons:
            changes.batons.append(sku.baton_row(whose, partition))
        else:
            changes.returned_batons.append((key, whose))
    return changes


def _note_emptiness(reservation: Reservation, now: datetime) -> None:
    """From when on it is a tombstone only."""
    if reservation.reserved or reservation.waiting:
        reservation.empty_since = None
    elif reservation.empty_since is None:
        reservation.empty_since = now


def _check_record(draft: Draft, record: StockRecord) -> None:
    assert 0 <= record.backed <= record.capacity(draft.today), f"record {record.number} backs more than it has"
    assert min(record.on_hand, record.flagged) >= 0, f"record {record.number} is below zero"


def _check_reservation(reservation: Reservation) -> None:
    flagged = sum(reservation.flags.values()) if reservation.flags else 0
    assert flagged == reservation.flagged, f"{reservation.key}: flags are not their sum"
    assert sum(reservation.pieces.values()) + flagged == reservation.reserved, f"{reservation.key}: pieces are not their sum"
    assert not (reservation.pending or reservation.mark) or reservation.reserved, f"{reservation.key}: nothing is reserved"
