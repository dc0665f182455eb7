"""What the allocator tells, as inventory keeps it: answers to commands, and the newest levels of each SKU."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, assert_never

from shared.schemas.events import Movement, StockCommandRefused, StockLevelChanged, StockMoved


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one command, for good."""

    merchant: str
    command_id: str
    status: Literal["posted", "refused"]
    content: dict[str, Any]
    answered_at: datetime


def answers(movements: Iterable[Movement]) -> list[Answer]:
    """The answers to commands of ours. A consumption is a movement too, and answers nobody here."""
    return [_answer(movement) for movement in movements if isinstance(movement, StockCommandRefused) or movement.kind != "consume"]


def newest(changes: Iterable[StockLevelChanged]) -> list[StockLevelChanged]:
    """For each SKU the change with the highest ledger version, sorted by merchant and SKU."""
    kept: dict[tuple[str, str], StockLevelChanged] = {}
    for change in changes:
        key = (change.merchant, change.sku)
        if key not in kept or kept[key].ledger_version < change.ledger_version:
            kept[key] = change
    return [kept[key] for key in sorted(kept)]


def _answer(movement: Movement) -> Answer:
    match movement:
        case StockMoved():
            posted = {
                "record": movement.record,
                "change": movement.change,
                "on_hand_before": movement.on_hand_before,
                "on_hand_after": movement.on_hand_after,
                "record_version": movement.record_version,
                "ledger_version": movement.ledger_version,
            }
            return Answer(movement.merchant, movement.command_id, "posted", posted, movement.moved_at)
        case StockCommandRefused():
            why = {"reason": movement.reason, "field": movement.field, "remedy": movement.remedy}
            return Answer(movement.merchant, movement.command_id, "refused", why, movement.refused_at)
        case _:
            assert_never(movement)
