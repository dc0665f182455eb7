"""The three stories after the orders: which SKU and which orders they are about, and whether they went as told. Pure.

Each story is chosen from what the events told (`choose_*`), acted out by the script, and told from what the events said then (`tell_*`).
Only partial-fill waiters are told of: whether an all-or-nothing order is served depends on its other SKUs too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.console.demo.facts import Cell, Story
from services.console.demo.plan import Receipt
from services.console.demo.tally import Place, Tally
from shared.schemas.events import Remedy

MOST_SERVED = 5
MOST_FLAGGED = 3
STILL_SHOWN = 3
RESTOCK = ("restock", "A truck arrives")
ADJUSTMENT = ("adjustment", "A pallet falls")
CANCEL = ("cancel", "A customer changes their mind")


# ---------------------------------------------------------------- a restock serves waiting orders


@dataclass(frozen=True, slots=True)
class Restock:
    """Receive `units` of the SKU where its stock lies: enough for `served` of the `queue`, to the unit."""

    sku: str
    place: Receipt
    units: int
    queue: tuple[Place, ...]
    served: int


def choose_restock(tally: Tally, receipts: Sequence[Receipt]) -> Restock | None:
    """The SKU with the longest queue; half of the queue is served."""
    queues = {sku: queue for sku, queue in tally.waiting().items() if _all_partial(tally, queue)}
    if not queues:
        return None
    sku = max(queues, key=lambda one: (len(queues[one]), sum(place.units for place in queues[one]), one))
    queue = tuple(queues[sku])
    served = min(MOST_SERVED, (len(queue) + 1) // 2)
    place = next(receipt for receipt in receipts if receipt.sku == sku)
    return Restock(sku, place, sum(waiter.units for waiter in queue[:served]), queue, served)


def restock_is_over(choice: Restock, tally: Tally) -> bool:
    """Whether those that should be served are."""
    still = {place.number for place in tally.waiting().get(choice.sku, ())}
    return not still & {place.number for place in choice.queue[: choice.served]}


def tell_restock(choice: Restock, tally: Tally, milliseconds: float) -> Story:
    """Who waited and who was served."""
    left = {place.number: place.units for place in tally.waiting().get(choice.sku, ())}
    rows: list[tuple[Cell, ...]] = []
    complaints = []
    for rank, place in enumerate(choice.queue, start=1):
        got = place.units - left.get(place.number, 0)
        expected = place.units if rank <= choice.served else 0
        if got != expected:
            complaints.append(f"order {place.number} got {got} of {choice.sku} where {expected} were its turn")
        if rank <= choice.served + STILL_SHOWN:
            rows.append((rank, place.number, place.units, got, _status(tally, place.number)))
    waiting_units = sum(place.units for place in choice.queue)
    return Story(
        *RESTOCK,
        told=f"{_orders(len(choice.queue))} wait for {waiting_units:,} × {choice.sku}. A delivery of {choice.units:,} is received into "
        f"{choice.place.warehouse}/{choice.place.bin}.",
        columns=("queue", "order", "waits for", "got", "now"),
        rows=tuple(rows),
        ended=f"{choice.units:,} units went to the first {choice.served} in the queue, in order; "
        + (f"{len(left)} still wait for {sum(left.values()):,}." if left else "nobody waits any more."),
        milliseconds=milliseconds,
        facts={
            "sku": choice.sku, "received_units": choice.units,
            "waiting_orders_before": len(choice.queue), "waiting_units_before": waiting_units,
            "waiting_orders_after": len(left), "waiting_units_after": sum(left.values()),
        },
        complaints=tuple(complaints),
    )  # fmt: skip


# ---------------------------------------------------------------- an adjustment makes orders overallocated


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Take `units` off the only stock record of the SKU: `holders` in queue order, of which the last `flagged` lose their backing."""

    sku: str
    place: Receipt
    on_hand_units: int
    units: int
    holders: tuple[Place, ...]
    flagged: int


def choose_adjustment(tally: Tally, receipts: Sequence[Receipt]) -> Adjustment | None:
    """A SKU that lies in one place only, is held by several orders and not flagged; those with few holders are told of best."""
    places: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        places.setdefault(receipt.sku, []).append(receipt)
    holding, flagged = tally.holding(), tally.flagged()
    found = [
        (abs(len(holders) - 5), sku)
        for sku, holders in holding.items()
        if len({(receipt.warehouse, receipt.bin) for receipt in places.get(sku, ())}) == 1
        and len(holders) >= 3
        and sku not in flagged
        and _all_partial(tally, holders)
    ]
    if not found:
        return None
    _, sku = min(found)
    on_hand = sum(receipt.units for receipt in places[sku])
    return _adjustment(sku, places[sku][0], on_hand, tuple(holding[sku]))


def _adjustment(sku: str, place: Receipt, on_hand: int, holders: tuple[Place, ...]) -> Adjustment:
    """All that is free goes, and what the last of the queue hold."""
    flagged = min(MOST_FLAGGED, len(holders) // 2)
    free = on_hand - sum(holder.units for holder in holders)
    units = free + sum(holder.units for holder in holders[-flagged:])
    return Adjustment(sku, place, on_hand, units, holders, flagged)


def adjustment_is_over(choice: Adjustment, tally: Tally) -> bool:
    """Whether as many orders are flagged as should be."""
    return len(tally.flagged().get(choice.sku, ())) >= choice.flagged


def tell_adjustment(choice: Adjustment, tally: Tally, milliseconds: float) -> Story:
    """Who held the SKU, who lost the backing, and what the allocator proposes."""
    flagged = {place.number: place.units for place in tally.flagged().get(choice.sku, ())}
    rows: list[tuple[Cell, ...]] = []
    complaints = []
    for rank, place in enumerate(choice.holders, start=1):
        expected = place.units if rank > len(choice.holders) - choice.flagged else 0
        lost = flagged.get(place.number, 0)
        if lost != expected:
            complaints.append(f"order {place.number} lost {lost} of {choice.sku} where {expected} were its share")
        if lost and tally.outcome(place.number) != "overallocated":
            complaints.append(f"order {place.number} is {_status(tally, place.number)}, not overallocated")
        if rank > len(choice.holders) - choice.flagged - STILL_SHOWN:
            rows.append((rank, place.number, place.units, lost, _status(tally, place.number)))
    remedy = _remedies(tally, choice)
    return Story(
        *ADJUSTMENT,
        told=f"{choice.units:,} of {choice.on_hand_units:,} × {choice.sku} in {choice.place.warehouse}/{choice.place.bin} are found "
        f"damaged; {_orders(len(choice.holders))} hold {sum(place.units for place in choice.holders):,} there.",
        columns=("queue", "order", "holds", "not covered", "now"),
        rows=tuple(rows),
        ended=f"The last in the queue are flagged, the others stay covered. To cover all of it again: {remedy or 'nothing proposed'}.",
        milliseconds=milliseconds,
        facts={
            "sku": choice.sku, "change": -choice.units, "on_hand_before": choice.on_hand_units,
            "on_hand_after": choice.on_hand_units - choice.units, "overallocated_orders": len(flagged), "remedy": remedy,
        },
        complaints=tuple(complaints) + (() if remedy else (f"no remedy was proposed for {choice.sku}",)),
    )  # fmt: skip


def _remedies(tally: Tally, choice: Adjustment) -> str:
    """What is proposed to the last in the queue: stock goes to those before it first, so it covers everybody."""
    explained = {number: line.shortage for number, line in tally.lines() if line.sku == choice.sku and line.flagged_units}
    shortage = next((explained[place.number] for place in reversed(choice.holders) if place.number in explained), None)
    return ", ".join(map(sentence, shortage.remedies)) if shortage else ""


def sentence(remedy: Remedy) -> str:
    """What a person would do."""
    order = (remedy.demand or "").rpartition("/")[2]
    match remedy.action:
        case "receive":
            return f"receive {remedy.units:,} into {remedy.warehouse}"
        case "release":
            return f"release {remedy.units:,} of order {order}"
        case "lift_hold":
            return f"lift the hold on {remedy.units:,} in {remedy.warehouse}"
        case "allow_warehouse":
            return f"allow {remedy.units:,} from {remedy.warehouse}"


# ---------------------------------------------------------------- a cancel frees stock for the next in the queue


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Cancel this order: `freed` units per SKU, and what of them goes to whom: (place, SKU, units), in queue order per SKU."""

    number: str
    freed: Mapping[str, int]
    heirs: tuple[tuple[Place, str, int], ...]


def choose_cancellation(tally: Tally) -> Cancellation | None:
    """The order whose stock serves the most waiting lines, five at the most."""
    waiting, flagged = tally.waiting(), tally.flagged()
    found = []
    for number, known in tally.orders.items():
        lines = known.latest.lines if known.latest else ()
        freed = {line.sku: line.reserved_units for line in lines if line.reserved_units}
        if known.ships_whole or known.canceled or flagged.keys() & freed.keys():
            continue
        queues = {sku: [place for place in waiting.get(sku, ()) if place.number != number] for sku in freed}
        if not all(_all_partial(tally, queue) for queue in queues.values()):
            continue
        heirs = tuple(heir for sku, queue in sorted(queues.items()) for heir in _heirs(sku, freed[sku], queue))
        if heirs:
            found.append((-min(MOST_SERVED, len(heirs)), len(heirs), known.position, Cancellation(number, freed, heirs)))
    return min(found, key=lambda one: one[:3])[3] if found else None


def _heirs(sku: str, units: int, queue: Sequence[Place]) -> list[tuple[Place, str, int]]:
    heirs = []
    for place in queue:
        if not units:
            break
        got = min(units, place.units)
        heirs.append((place, sku, got))
        units -= got
    return heirs


def cancellation_is_over(choice: Cancellation, tally: Tally) -> bool:
    """Whether the order is released and every heir has at least its share."""
    waits = _waits(tally)
    served = all(place.units - waits.get((sku, place.number), 0) >= units for place, sku, units in choice.heirs)
    return served and tally.outcome(choice.number) == "released"


def tell_cancellation(choice: Cancellation, tally: Tally, milliseconds: float) -> Story:
    """What came free, and who got it."""
    waits = _waits(tally)
    rows: list[tuple[Cell, ...]] = []
    complaints = [] if tally.outcome(choice.number) == "released" else [f"order {choice.number} was canceled and is not released"]
    for place, sku, units in choice.heirs:
        got = place.units - waits.get((sku, place.number), 0)
        if got != units:
            complaints.append(f"order {place.number} got {got} of {sku} where {units} were its turn")
        if len(rows) < MOST_SERVED + STILL_SHOWN:
            rows.append((sku, place.number, place.units, got, _status(tally, place.number)))
    inherited = sum(units for _, _, units in choice.heirs)
    freed = sum(choice.freed.values())
    return Story(
        *CANCEL,
        told=f"Order {choice.number} is canceled: {freed:,} units of {_skus(len(choice.freed))} come free.",
        columns=("SKU", "order", "waits for", "got", "now"),
        rows=tuple(rows),
        ended=f"{inherited:,} units went on to {_lines(len(choice.heirs))} that waited; {freed - inherited:,} are available again.",
        milliseconds=milliseconds,
        facts={"order": choice.number, "freed_units": freed, "inherited_units": inherited, "served_lines": len(choice.heirs)},
        complaints=tuple(complaints),
    )


def _waits(tally: Tally) -> dict[tuple[str, str], int]:
    return {(sku, place.number): place.units for sku, queue in tally.waiting().items() for place in queue}


# ---------------------------------------------------------------- words


def _all_partial(tally: Tally, places: Sequence[Place]) -> bool:
    return not any(tally.orders[place.number].ships_whole for place in places)


def _status(tally: Tally, number: str) -> str:
    return (tally.outcome(number) or "unknown").replace("_", " ")


def _orders(count: int) -> str:
    return "one order" if count == 1 else f"{count} orders"


def _lines(count: int) -> str:
    return "one line" if count == 1 else f"{count} lines"


def _skus(count: int) -> str:
    return "one SKU" if count == 1 else f"{count} SKUs"
