"""What is on hand: receipts, adjustments, consumption. A posted or refused command is remembered as a movement."""

from hashlib import blake2b
from typing import Literal

from services.allocator.core.stock.backing import settle
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.movements import Kind, move
from services.allocator.core.stock.rows import MovementRow
from services.allocator.core.stock.state import Reservation, SkuStock, StockRecord
from shared.schemas.commands import AdjustStock, InventoryCommand, ReceiveStock
from shared.schemas.events import StockCommandRefused, StockMoved
from shared.schemas.topics import MOVEMENTS

MAX_ON_HAND_UNITS = 10**15
"""Of one SKU: sums stay within what the published language can say."""
Reason = Literal["below_zero", "no_such_record", "other_content", "zero_change", "too_many_units"]


def receive(draft: Draft, sku: SkuStock, command: ReceiveStock) -> bool:
    """A rise; the stock record is made if there is none. False: nothing was changed; goods that have ended already take their record,
    and what it backs, with them, and the whole SKU must be in memory first."""
    if _answered(draft, sku, command):
        return True
    if not sku.complete and command.expires_on is not None and command.expires_on < draft.today:
        return False
    if sku.on_hand + command.units > MAX_ON_HAND_UNITS:
        return _refuse(draft, sku, command, "too_many_units", "units", f"a SKU can have {MAX_ON_HAND_UNITS} units on hand; receive fewer")
    record = _record_for(draft, sku, command)
    _post(draft, sku, command, record, command.units)
    return True


def adjust(draft: Draft, sku: SkuStock, command: AdjustStock) -> bool:
    """Up or down. False: nothing was changed; the fall takes backing away and the whole SKU must be in memory first."""
    if _answered(draft, sku, command):
        return True
    record = sku.record_at(command.warehouse, command.bin, command.lot, command.label)
    refusal = _refusal(sku, record, command)
    if refusal is not None:
        return _refuse(draft, sku, command, *refusal)
    assert record is not None, "a missing record is refused"
    if command.change < 0 and not sku.complete and record.on_hand + command.change - record.held < record.backed:
        return False
    _post(draft, sku, command, record, command.change)
    return True


def post_consumption(draft: Draft, sku: SkuStock, reservation: Reservation, number: int) -> None:
    """Takes the backed units of the reservation off hand: one movement per stock record. Its id is new for ever, because only another
    attempt can reserve, and so consume, again."""
    demand = reservation.key[0]
    for record_number in sorted(reservation.pieces):
        record, units = sku.records[record_number - 1], reservation.pieces[record_number]
        command_id = f"{demand}:{reservation.attempt}:{number}"
        movement = move(draft, sku, record, -units, "consume", "reservations", command_id, record_number, "", "", demand)
        _tell(draft, sku, movement)


def end_lots(draft: Draft, sku: SkuStock) -> None:
    """Lots whose last day is over: a fall to nothing there."""
    ended = [record for record in sku.records if record.ends_unnoticed(draft.today)]
    for record in ended:
        record.expired = True
        draft.changed_dates(sku, record)
        draft.changed_record(sku, record)
    draft.lots[sku.key] = sku.next_end()
    settle(draft, sku, fallen=ended)
    draft.serve_later(sku)


def _refusal(sku: SkuStock, record: StockRecord | None, command: AdjustStock) -> tuple[Reason, str, str] | None:
    if command.change == 0:
        return "zero_change", "change", "name how many units more or fewer there are"
    if record is None:
        return (
            "no_such_record",
            "bin",
            "no stock record of this SKU with this warehouse, bin, lot and label; receive the units there instead",
        )
    if record.on_hand + command.change < 0:
        return "below_zero", "change", f"{record.on_hand} units are on hand; take at most these, or count the bin"
    if sku.on_hand + command.change > MAX_ON_HAND_UNITS:
        return "too_many_units", "change", f"a SKU can have {MAX_ON_HAND_UNITS} units on hand; add fewer"
    return None


def _record_for(draft: Draft, sku: SkuStock, command: ReceiveStock) -> StockRecord:
    """The record that the receipt goes to. An empty one takes the date of the new goods; else the earlier date counts, so that nothing
    is promised after its end."""
    record = sku.record_at(command.warehouse, command.bin, command.lot, command.label)
    if record is None:
        record = StockRecord(len(sku.records) + 1, command.warehouse, command.bin, command.lot, command.label, command.issued_at)
        sku.add_record(record)
        _set_end(draft, sku, record, command)
    elif not record.on_hand:
        record.received_at = command.issued_at
        _set_end(draft, sku, record, command)
    elif command.expires_on is not None and (record.expires_on is None or command.expires_on < record.expires_on):
        _set_end(draft, sku, record, command)
    return record


def _set_end(draft: Draft, sku: SkuStock, record: StockRecord, command: ReceiveStock) -> None:
    sku.orders = None
    record.expires_on = command.expires_on
    record.expired = command.expires_on is not None and command.expires_on < draft.today
    draft.lots[sku.key] = sku.next_end()
    draft.changed_dates(sku, record)


def _post(draft: Draft, sku: SkuStock, command: InventoryCommand, record: StockRecord, change: int) -> None:
    kind: Kind = "receive" if isinstance(command, ReceiveStock) else "adjust"
    reason, cause = ("", command.cause) if isinstance(command, ReceiveStock) else (command.reason.value, command.note)
    digest = digest_of(command)
    movement = move(draft, sku, record, change, kind, "inventory", command.command_id, 0, digest, reason, cause)
    draft.memory[(*sku.key, command.command_id)] = movement
    _tell(draft, sku, movement)
    settle(draft, sku, fallen=[record])
    draft.serve_later(sku)


def _refuse(draft: Draft, sku: SkuStock, command: InventoryCommand, reason: Reason, field: str, remedy: str) -> bool:
    """Refused for good: remembered, so that a late repeat gets the same answer."""
    kind: Kind = "receive" if isinstance(command, ReceiveStock) else "adjust"
    movement = MovementRow(
        *sku.key, "inventory", command.command_id, 0, digest_of(command), kind, None, reason, field, remedy, "", "",
        change=0, on_hand_before=0, on_hand_after=0, record_version=0, ledger_version=0, moved_at=draft.now,
    )  # fmt: skip
    draft.movements.append(movement)
    draft.memory[(*sku.key, command.command_id)] = movement
    _tell(draft, sku, movement)
    return True


def _answered(draft: Draft, sku: SkuStock, command: InventoryCommand) -> bool:
    """A command id that is known is answered as before; with other content it is refused, and the first answer stands."""
    known = draft.memory.get((*sku.key, command.command_id))
    if known is None:
        return False
    if known.digest == digest_of(command):
        _tell(draft, sku, known)
    else:
        remedy = "this command id was used for other content; send the changed command under a new id"
        _tell(draft, sku, known._replace(refusal="other_content", field="command_id", remedy=remedy, moved_at=draft.now))
    return True


def _tell(draft: Draft, sku: SkuStock, movement: MovementRow) -> None:
    told = _refused(movement) if movement.refusal else _moved(sku, movement)
    draft.send(MOVEMENTS.name, sku.name, told)


def _refused(movement: MovementRow) -> StockCommandRefused:
    return StockCommandRefused(
        command_id=movement.command_id,
        merchant=movement.merchant,
        sku=movement.sku,
        reason=movement.refusal,  # type: ignore[arg-type]  # stored from the closed set `Reason`, checked by the table
        field=movement.field,
        remedy=movement.remedy,
        refused_at=movement.moved_at,
    )


def _moved(sku: SkuStock, movement: MovementRow) -> StockMoved:
    assert movement.record is not None, "a posted command moved a stock record"
    record = sku.records[movement.record - 1]
    return StockMoved(
        command_id=movement.command_id,
        merchant=movement.merchant,
        sku=movement.sku,
        record=record.number,
        warehouse=record.warehouse,
        bin=record.bin,
        lot=record.lot,
        label=record.label,
        kind=movement.kind,  # type: ignore[arg-type]  # stored from the closed set `Kind`, checked by the table
        reason=movement.reason,
        cause=movement.cause,
        change=movement.change,
        on_hand_before=movement.on_hand_before,
        on_hand_after=movement.on_hand_after,
        record_version=movement.record_version,
        ledger_version=movement.ledger_version,
        moved_at=movement.moved_at,
    )


def digest_of(command: InventoryCommand) -> str:
    """What makes two commands the same: everything but when they were issued."""
    place = (command.warehouse, command.bin, command.lot, command.label)
    if isinstance(command, ReceiveStock):
        content: tuple[object, ...] = ("receive", *place, command.expires_on, command.units, command.cause)
    else:
        content = ("adjust", *place, command.change, command.reason.value, command.note)
    return blake2b(repr(content).encode(), digest_size=16).hexdigest()
