"""Explains a shortage: gathers from the SKU in memory what `core.explain` needs, and sums up."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from heapq import nlargest

from services.allocator.core.explain import MAX_CLAIMS, advise
from services.allocator.core.shortage import Claim, Holding, Situation
from services.allocator.core.stock.choosing import free_by_warehouse
from services.allocator.core.stock.claims import free_for, left_for
from services.allocator.core.stock.state import Largest, Reservation, SkuStock
from services.allocator.core.stock.waiting import Band
from shared.schemas.events import Holder, Shortage
from shared.schemas.values import Fill

HOLDERS_TOLD = 5
HOLDERS_TRIED = 64
"""Holders that may be asked to give units back, the largest ones."""


def explain(sku: SkuStock, lacking: Reservation, today: date) -> Shortage | None:
    """Why this reservation waits, or else what would cover its flagged units again. None when nothing is missing: it is whole, or about
    to be served."""
    free = free_by_warehouse(sku, today)
    left = free_for(sku, lacking.rank, today) if lacking.waiting else free
    missing = (lacking.waiting or lacking.flagged) - left_for(left, lacking.warehouses)
    if missing <= 0:
        return None
    largest = [holding for holding in _largest(sku, lacking.warehouses) if holding.demand != lacking.key[0]]
    situation = _waiting_situation if lacking.waiting else _flagged_situation
    advice = advise(situation(sku, lacking, free, largest, today))
    records = [record for warehouse in lacking.warehouses for record in sku.records_in(warehouse)]
    return Shortage(
        missing_units=missing,
        on_hand_units=sum([record.on_hand for record in records]),
        held_units=sum([min(record.held, record.on_hand) for record in records]),
        expired_units=sum([max(0, record.on_hand - record.held) for record in records if not record.capacity(today)]),
        allocated_units=sum([record.backed for record in records]),
        claimed_units=left_for(free, lacking.warehouses) - left_for(left, lacking.warehouses),
        elsewhere_units=sum(left.values()) - left_for(left, lacking.warehouses),
        holders=_holders(largest, lacking.warehouses),
        remedies=advice.remedies,
        exact=advice.exact,
        ledger_version=sku.ledger_version,
    )


def _waiting_situation(sku: SkuStock, waiting: Reservation, free: dict[str, int], largest: list[Holding], today: date) -> Situation:
    """Units of its own that are flagged are needed as well: wherever it may draw on, they are healed before it gets any more."""
    crowd = _number_ahead(sku, waiting) + (MAX_CLAIMS if sku.flagged > MAX_CLAIMS else 0) > MAX_CLAIMS
    return Situation(
        units=waiting.waiting + waiting.flagged,
        warehouses=waiting.warehouses,
        free=free,
        flagged=() if crowd else _flagged(sku, but=waiting),
        claims=() if crowd else tuple(_claims(sku, waiting)),
        holdings=_to_be_asked(sku, waiting, largest),
        held=_held(sku, waiting, today),
        may_move=not waiting.key[1],
        crowd_units=_units_ahead(sku, waiting) + sku.flagged - waiting.flagged if crowd else None,
    )


def _flagged_situation(sku: SkuStock, flagged: Reservation, free: dict[str, int], largest: list[Holding], today: date) -> Situation:
    """A rise heals in the order of backing, so only flagged ones before it come between."""
    crowd = sku.flagged > MAX_CLAIMS
    before = () if crowd else _flagged(sku, before=flagged)
    return Situation(
        units=flagged.flagged,
        warehouses=flagged.warehouses,
        free=free,
        flagged=before,
        claims=(),
        holdings=_to_be_asked(sku, flagged, largest),
        held=_held(sku, flagged, today),
        may_move=not flagged.key[1],
        crowd_units=sku.flagged - flagged.flagged if crowd else None,
    )


def _to_be_asked(sku: SkuStock, lacking: Reservation, largest: list[Holding]) -> list[Holding]:
    """Who may be asked to give units back: the largest holders, and those that have nothing left here and would be healed before it; in an
    order that does not hang on when each was read into memory."""
    found = {holding.demand: holding for holding in largest}
    if 0 < sku.flagged <= MAX_CLAIMS:
        flagged = [one for one in sku.reservations.values() if one.flagged and one.key[0] != lacking.key[0]]
        for one in sorted(flagged, key=lambda one: one.key):
            found.setdefault(one.key[0], Holding(one.key[0], {}, one.mark is not None))
    return [holding for holding in found.values() if not holding.picking]


def _held(sku: SkuStock, lacking: Reservation, today: date) -> list[tuple[int, str, int]]:
    return [
        (record.number, record.warehouse, min(record.held, record.on_hand - record.backed))
        for warehouse in lacking.warehouses
        for record in sku.records_in(warehouse)
        if record.held and record.on_hand > record.backed and not (record.expires_on and record.expires_on < today)
    ]


def _largest(sku: SkuStock, warehouses: tuple[str, ...]) -> list[Holding]:
    """Who holds most in these warehouses, the largest first, then who holds elsewhere. Kept until the ledger changes, because a SKU that
    is sold out answers one shortage after the other; forgotten when a picking mark changes."""
    if sku.largest is None or sku.largest.ledger_version != sku.ledger_version:
        sku.largest = Largest(sku.ledger_version, {})
    known = sku.largest.by_warehouses
    if warehouses not in known:
        known[warehouses] = _largest_now(sku, warehouses)
    return known[warehouses]


def _largest_now(sku: SkuStock, warehouses: tuple[str, ...]) -> list[Holding]:
    held: dict[str, dict[str, int]] = {}
    picking: set[str] = set()
    for reservation in sku.reservations.values():
        if reservation.mark is not None:
            picking.add(reservation.key[0])
        if reservation.reserved:
            by_warehouse = held.setdefault(reservation.key[0], {})
            for number, units in reservation.pieces.items():
                name = sku.records[number - 1].warehouse
                by_warehouse[name] = by_warehouse.get(name, 0) + units
    sizes = ((left_for(units, warehouses), sum(units.values()), demand) for demand, units in held.items())
    return [Holding(demand, held[demand], demand in picking) for _, units, demand in nlargest(HOLDERS_TRIED, sizes) if units]


def _holders(largest: list[Holding], warehouses: tuple[str, ...]) -> tuple[Holder, ...]:
    sizes = [(holding.demand, left_for(holding.units, warehouses)) for holding in largest[:HOLDERS_TOLD]]
    return tuple([Holder(demand=demand, units=units) for demand, units in sizes if units])


def _flagged(sku: SkuStock, before: Reservation | None = None, but: Reservation | None = None) -> tuple[Claim, ...]:
    if not sku.flagged:
        return ()
    ranked = sorted((one for one in sku.reservations.values() if one.flagged), key=lambda one: one.backing_rank)
    flagged = ranked[: ranked.index(before)] if before else ranked
    return tuple([Claim(one.key[0], one.warehouses, one.flagged, partial=True) for one in flagged if one is not but])


def _claims(sku: SkuStock, waiting: Reservation) -> Iterator[Claim]:
    """The better placed waiters. Those whose baton has expired have no claim; the demand's own other places are no rivals."""
    for rank in sku.queue.ahead_of(waiting.rank):
        one = sku.reservations[rank[2], rank[3]]
        baton = sku.batons.get(one.key)
        if not (baton and baton.expired):
            yield Claim(one.key[0], one.warehouses, one.waiting, one.fill is Fill.PARTIAL)


def _number_ahead(sku: SkuStock, waiting: Reservation) -> int:
    return sum(bisect_left(band.ranks, waiting.rank) for band in sku.queue.bands.values())


def _units_ahead(sku: SkuStock, waiting: Reservation) -> int:
    """What the better placed waiters wait for in all. Counted from the nearer end, because most newcomers stand last."""
    return sum(_band_units_ahead(sku, band, waiting) for band in sku.queue.bands.values() if set(band.warehouses) & set(waiting.warehouses))


def _band_units_ahead(sku: SkuStock, band: Band, waiting: Reservation) -> int:
    at = bisect_left(band.ranks, waiting.rank)
    nearer_end = at > len(band.ranks) // 2
    counted = band.ranks[at:] if nearer_end else band.ranks[:at]
    units = sum(sku.reservations[rank[2], rank[3]].waiting for rank in counted)
    return band.units - units if nearer_end else units
