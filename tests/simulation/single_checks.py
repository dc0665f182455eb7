"""What one command alone may do. Looks at batches of exactly one message, so that what was there before it is known.

Nobody jumps the queue; who asks for less keeps it.
"""

from datetime import date
from typing import TYPE_CHECKING, Any

from services.allocator.core.demand.state import Status
from services.allocator.core.stock.rows import ReservationRow
from services.allocator.store.demand_encoding import from_row
from services.allocator.store.demand_ports import DemandRow
from shared.partitions.model import Batch, InputRecord, PartitionId
from shared.schemas.commands import ReserveChain, ReserveLine
from shared.schemas.events import OrderChanged
from shared.schemas.values import Fill
from tests.simulation.books import Sku, SkuBooks, claim, in_queue, room
from tests.simulation.failed import Failed

if TYPE_CHECKING:
    from tests.simulation.world import World


def records_of(world: "World", partition: PartitionId, batch: Batch) -> list[InputRecord]:
    """What the batch has read."""
    logs = {topic: world.kafka.logs[topic, partition.number] for topic in batch.offsets}
    return [record for topic, ends in batch.offsets.items() for record in logs[topic].between(*ends)]


def check_reservation(name: Sku, message: Any, before: SkuBooks, after: SkuBooks, today: date) -> None:
    """One line or one stop of a chain against what was there."""
    if not isinstance(message, (ReserveLine, ReserveChain)) or (message.merchant, message.sku) != name:
        return
    if any(record.expired != before.records[record.record].expired for record in after.records.values()):
        return  # a lot ended in the same batch
    key = message.demand, message.alternative
    old, new = before.reservations.get(key), after.reservations.get(key)
    if new is None or new.attempt != message.attempt or (old is not None and old.attempt >= message.attempt):
        return
    expired = {whose for whose, baton in after.batons.items() if baton.expired}
    _nobody_jumped(name, message, before, old, new, expired, today)
    if isinstance(message, ReserveLine):
        _kept(name, message, before, old, new)


def _nobody_jumped(
    name: Sku, message: ReserveLine | ReserveChain, before: SkuBooks, old: ReservationRow | None, new: ReservationRow,
    expired: set[tuple[str, str]], today: date,
) -> None:  # fmt: skip
    got = new.reserved_units - (old.reserved_units if old else 0)
    if got <= 0:
        return
    free: dict[str, int] = {}
    for record in before.records.values():
        free[record.warehouse] = free.get(record.warehouse, 0) + room(record, today)
    rank = message.priority, message.demanded_at, message.demand, message.alternative
    for waiter in sorted((one for one in before.reservations.values() if one.waiting_units), key=in_queue):
        if in_queue(waiter) < rank and waiter.demand != message.demand and (waiter.demand, waiter.alternative) not in expired:
            claim(waiter, free)
    within = message.warehouses if isinstance(message, ReserveLine) else (message.alternative,)
    left = sum(free.get(warehouse, 0) for warehouse in set(within))
    if got > left:
        raise Failed(f"jumped the queue: {name} {message} got {got} of {left} that were left for it: {before.reservations}")


def _kept(name: Sku, message: ReserveLine, before: SkuBooks, old: ReservationRow | None, new: ReservationRow) -> None:
    """An edit keeps what it may still have."""
    if old is None:
        return
    flags = old.piece_flags or (0,) * len(old.piece_records)
    kept = sum(
        units + flagged
        for number, units, flagged in zip(old.piece_records, old.piece_units, flags, strict=True)
        if before.records[number].warehouse in message.warehouses
    )
    if new.reserved_units < min(kept, message.units):
        raise Failed(f"an edit lost what it had: asked for {message.units}, had {kept}, has {new.reserved_units}: {name} {message}")


def check_demand(message: Any, before: DemandRow | None, after: DemandRow) -> None:
    """A demand that has everything and asks for less never has to wait for it."""
    if not isinstance(message, OrderChanged) or before is None:
        return
    old, new = from_row(before), from_row(after)
    if old.status is not Status.ALLOCATED or new.terms.fill is not Fill.ALL_OR_NOTHING or old.terms.fill is not Fill.ALL_OR_NOTHING:
        return
    has = {line.sku: line.units for line in old.terms.lines}
    less = all(line.units <= has.get(line.sku, 0) for line in new.terms.lines) and new.terms.alternative == old.terms.alternative
    if less and new.status in (Status.TRYING, Status.WAITING, Status.BACKOFF):
        raise Failed(f"asked for less and has to wait: {message} {new}")
