"""Whether receipts and adjustments may go to the allocator. All of a request or none of it: the refusals name every document that
stands in the way, up to a limit."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import assert_never

from services.inventory.core.model import Adjustment, Document, Known, Place, Product, Receipt, Refusal
from shared.schemas.commands import AdjustStock, InventoryCommand, ReceiveStock
from shared.schemas.values import AdjustmentReason

MAX_REFUSALS = 20
_ONLY_DOWN = frozenset({AdjustmentReason.DAMAGED, AdjustmentReason.EXPIRED, AdjustmentReason.LOST, AdjustmentReason.DISPOSAL_TRANSFER_OUT})
_ONLY_UP = frozenset({AdjustmentReason.FOUND, AdjustmentReason.DISPOSAL_TRANSFER_IN})


def refusals(documents: Sequence[Document], known: Known) -> list[Refusal]:
    """What is wrong with the documents of one request, in order, at most twenty. Empty: all may be sent."""
    found: list[Refusal] = []
    seen: set[str] = set()
    for index, document in enumerate(documents):
        if document.command_id in seen:
            found.append(_repeated(index, document))
        seen.add(document.command_id)
        found += _about(index, document, known)
        if len(found) >= MAX_REFUSALS:
            return found[:MAX_REFUSALS]
    return found


def command(document: Document, merchant: str, now: datetime) -> InventoryCommand:
    """The document as the allocator reads it."""
    place = document.place
    match document:
        case Receipt():
            return ReceiveStock(
                command_id=document.command_id,
                merchant=merchant,
                sku=place.sku,
                warehouse=place.warehouse,
                bin=place.bin,
                lot=place.lot,
                label=place.label,
                expires_on=document.expires_on,
                units=document.units,
                cause=document.cause,
                issued_at=now,
            )
        case Adjustment():
            return AdjustStock(
                command_id=document.command_id,
                merchant=merchant,
                sku=place.sku,
                warehouse=place.warehouse,
                bin=place.bin,
                lot=place.lot,
                label=place.label,
                change=document.change,
                reason=document.reason,
                note=document.note,
                issued_at=now,
            )
        case _:
            assert_never(document)


def _about(index: int, document: Document, known: Known) -> Iterator[Refusal]:
    product = known.products.get(document.place.sku)
    if product is None:
        remedy = "create the product first, or correct the SKU (it is case sensitive)"
        yield Refusal("unknown_sku", index, "sku", f"there is no product {document.place.sku}", remedy)
    else:
        yield from _identity(index, document.place, product)
    yield from _somewhere(index, document.place, known)
    if isinstance(document, Adjustment):
        yield from _direction(index, document)


def _somewhere(index: int, place: Place, known: Known) -> Iterator[Refusal]:
    if place.warehouse not in known.warehouses:
        remedy = "create the warehouse first, or correct its name"
        yield Refusal("unknown_warehouse", index, "warehouse", f"there is no warehouse {place.warehouse}", remedy)
    elif (place.warehouse, place.bin) not in known.bins:
        remedy = f"create the bin in {place.warehouse} first, or correct its name"
        yield Refusal("unknown_bin", index, "bin", f"there is no bin {place.bin} in warehouse {place.warehouse}", remedy)


def _identity(index: int, place: Place, product: Product) -> Iterator[Refusal]:
    if product.serialized and place.label is None:
        yield Refusal("label_needed", index, "label", f"{place.sku} is serialized", "name the label of the stock")
    if not product.serialized and place.label is not None:
        remedy = "leave the label out, or make the product serialized"
        yield Refusal("label_not_allowed", index, "label", f"{place.sku} is not serialized", remedy)
    if product.lot_tracked and place.lot is None:
        yield Refusal("lot_needed", index, "lot", f"{place.sku} is kept by lot", "name the lot of the stock")


def _direction(index: int, adjustment: Adjustment) -> Iterator[Refusal]:
    """LOST can only take away, FOUND can only add: the other way round is a slip of the sign."""
    if adjustment.change == 0:
        yield Refusal("zero_change", index, "change", "a change of zero changes nothing", "send how many units more or fewer there are")
    if adjustment.reason in _ONLY_DOWN and adjustment.change > 0:
        yield Refusal("direction", index, "change", f"{adjustment.reason} takes units away", "send a negative change, or another reason")
    if adjustment.reason in _ONLY_UP and adjustment.change < 0:
        yield Refusal("direction", index, "change", f"{adjustment.reason} adds units", "send a positive change, or another reason")


def _repeated(index: int, document: Document) -> Refusal:
    detail = f"command id {document.command_id} stands twice in this request"
    return Refusal("repeated", index, "command_id", detail, "give every document its own id, or none")
