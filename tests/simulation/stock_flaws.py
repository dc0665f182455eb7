"""Planted bugs of what is on hand and of what lies behind reservations: commands, records, backing, flags, levels.

Figures in the protocol's description say how often its executable model failed without a rule; here the product's own code fails.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from services.allocator import stock_side
from services.allocator.core.stock import backing, holding, ledger
from services.allocator.core.stock import fold as stock_fold
from services.allocator.core.stock.backing import settle
from services.allocator.core.stock.changes import changes_of
from services.allocator.core.stock.draft import Draft
from services.allocator.core.stock.levels import next_slice
from services.allocator.core.stock.rows import LevelsRound, SkuKey, StockChanges, Telling
from services.allocator.core.stock.state import Reservation, SkuStock, StockRecord
from services.allocator.stock_side import StockSide
from shared.schemas.commands import InventoryCommand, ReceiveStock, ReserveChain, ReserveLine, StockCommand
from tests.simulation.flaw import Flaw, flaw, nothing

# ---------------------------------------------------------------- commands and their memory

_ANSWERED, _REFUSE = ledger._answered, ledger._refuse


def _refuse_and_forget(draft: Draft, sku: SkuStock, command: InventoryCommand, *why: Any) -> bool:
    _REFUSE(draft, sku, command, *why)
    del draft.memory[(*sku.key, command.command_id)]
    draft.movements.pop()
    return True


def _answered_afresh(draft: Draft, sku: SkuStock, command: InventoryCommand) -> bool:
    key = (*sku.key, command.command_id)
    if known := draft.memory.get(key):
        draft.memory[key] = known._replace(moved_at=draft.now)
    return _ANSWERED(draft, sku, command)


def _counted_again(draft: Draft, sku: SkuStock, command: InventoryCommand) -> bool:
    known = draft.memory.get((*sku.key, command.command_id))
    if known is not None and known.record is not None and isinstance(command, ReceiveStock):
        record = sku.records[known.record - 1]
        record.on_hand += command.units
        sku.on_hand += command.units
        draft.changed_record(sku, record)
        settle(draft, sku)
        draft.serve_later(sku)
    return _ANSWERED(draft, sku, command)


def _is_any_line(command: StockCommand) -> bool:
    return isinstance(command, ReserveLine)


def _is_first_attempt(command: StockCommand) -> bool:
    return isinstance(command, ReserveLine | ReserveChain) and command.attempt == 1


_COMMANDS: Sequence[type[Flaw]] = (
    flaw(
        "LaterAttemptsAreTakenForNew",
        "Of no attempt at a line it is looked up whether an older one has left something.",
        (stock_side, "_is_of_something_new", _is_any_line),
    ),
    flaw(
        "ChainsAreTakenForNew",
        "A chain's first attempt is not looked up either, though its release may have overtaken it.",
        (stock_side, "_is_of_something_new", _is_first_attempt),
    ),
    flaw(
        "CommandsAreNotRemembered",
        "A stock command that comes again is carried out again.",
        (ledger, "_answered", lambda *_: False),
    ),
    flaw(
        "RefusalsAreNotRemembered",
        "A stock command that was refused leaves no memory, and its repeat is judged anew.",
        (ledger, "_refuse", _refuse_and_forget),
    ),
    flaw(
        "RepeatsAreAnsweredAfresh",
        "The repeat of a stock command is answered with the time of the repeat instead of as before.",
        (ledger, "_answered", _answered_afresh),
    ),
    flaw(
        "RestockCountsTwice",
        "The repeat of a receipt raises what is on hand once more, and is answered as before.",
        (ledger, "_answered", _counted_again),
    ),
    flaw(
        "ConsumedWithoutMovement",
        "What leaves for a demand is not taken off hand.",
        (holding, "post_consumption", nothing),
    ),
)

# ---------------------------------------------------------------- what lies behind reservations


def _by_place_only(self: Reservation) -> Any:
    return (True, self.rank)


def _best_flagged_first(self: Reservation) -> Any:
    priority, *rest = self.rank
    return (self.mark is None, (-priority, *rest))


def _one_more(self: StockRecord, today: Any) -> int:
    return max(0, self.on_hand - self.held - self.backed + 1)


_BACKING: Sequence[type[Flaw]] = (
    flaw("OneUnitTooMany", "A stock record counts one unit more as free than it has.", (StockRecord, "room", _one_more)),
    flaw("FallFlagsNobody", "After a fall nobody is told that there is nothing behind their units any more.", (ledger, "settle", nothing)),
    flaw("RiseHealsNobody", "A rise gives no backing to those that are flagged.", (backing, "_heal_from_free", nothing)),
    flaw("ReleaseHealsNobody", "What a release frees gives no backing to those that are flagged.", (holding, "settle", nothing)),
    flaw(
        "PickedIsFlaggedLikeOthers",
        "A fall flags what is being picked by its place in the queue, like everybody else.",
        (Reservation, "backing_rank", property(_by_place_only)),
    ),
    flaw(
        "BestPlacedIsFlagged",
        "A fall flags the highest priority first: in the order of the queue instead of against it.",
        (Reservation, "backing_rank", property(_best_flagged_first)),
    ),
    flaw("LotsNeverEnd", "A lot whose last day is over keeps backing reservations.", (stock_fold, "end_lots", nothing)),
)

# ---------------------------------------------------------------- stock levels

FAR = datetime(2999, 1, 1, tzinfo=UTC)


async def _no_round(self: Any, now: Any) -> list[SkuKey]:
    self._round = self._round or LevelsRound(FAR, FAR, None)
    return []


def _ends_now(telling: Telling, untold: Collection[SkuKey], now: datetime, most: int) -> tuple[list[SkuKey], Telling]:
    told, after = next_slice(telling, untold, now, most)
    return told, after if after.began_at is not None else Telling(now, now)


def _told_without_sweep(draft: Draft, partition: int, telling: Telling | None, levels_round: LevelsRound | None) -> StockChanges:
    stored = telling if telling is None else Telling(telling.told_at, telling.announced_at)
    return changes_of(draft, partition, stored, levels_round)


_LEVELS: Sequence[type[Flaw]] = (
    flaw(
        "LevelsAreToldOnce",
        "Stock levels are told after changes only, never once more on the daily round.",
        (StockSide, "_go_round", _no_round),
    ),
    flaw(
        "SweepEndsAsOfNow",
        "When a sweep over stock levels has come to its end, all counts as told that changed until then, also behind it.",
        (stock_side, "next_slice", _ends_now),
    ),
    flaw(
        "SweepIsNotStored",
        "How far a sweep over stock levels is dies with its process: the next owner begins it anew.",
        (stock_side, "changes_of", _told_without_sweep),
    ),
)

STOCK_FLAWS: Sequence[type[Flaw]] = (*_COMMANDS, *_BACKING, *_LEVELS)
