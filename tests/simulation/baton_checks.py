"""Who is woken: one baton for one waiter, and no more of them out at once than the window of the SKU allows."""

from collections.abc import Iterable
from typing import Any

from shared.schemas.commands import ReturnBaton
from tests.simulation.books import Sku, SkuBooks
from tests.simulation.failed import Failed


def check_batons(name: Sku, before: SkuBooks, after: SkuBooks, messages: Iterable[Any]) -> None:
    """After a batch of these messages at the SKU. Waiters are woken at the end of a batch, so its window is the one that counted."""
    given = [whose for whose, baton in after.batons.items() if baton.baton != _number(before, whose)]
    if not given:
        return
    out = sum(not baton.expired for baton in after.batons.values())
    window = after.queue.wake_window if after.queue else 1
    if out > window:
        raise Failed(f"more are awake than the window allows: {name} {out} of {window}: {after.batons}")
    for whose in given:
        number = _number(before, whose)
        if number is not None and (name, *whose, number) not in map(_returned, messages):
            raise Failed(f"woken a second time before it answered: {name} {whose} had baton {number}: {after.batons}")


def _returned(message: Any) -> tuple[Sku, str, str, int] | None:
    if not isinstance(message, ReturnBaton):
        return None
    return (message.merchant, message.sku), message.demand, message.alternative, message.baton


def _number(sku: SkuBooks, whose: tuple[str, str]) -> int | None:
    baton = sku.batons.get(whose)
    return baton.baton if baton else None
