"""Why a line lacks units: what the stock side tells, against sums of the model and against what really helps there."""

from typing import Any

from shared.schemas.commands import ReserveChain, ReserveLine
from shared.schemas.events import Outcome, Remedy, Shortage
from tests.models.explaining import Action, fewer_would_do, helps, shortage
from tests.models.messages import Messages
from tests.models.records import PARTIAL, Line
from tests.unit.allocator.stock_duet import Duet

MOST_TRIED = 3
"""Sets of so many actions are tried on the model, not more: each is tried on a copy of it."""


def compare_explanation(duet: Duet, name: str, sku: str) -> None:
    """Ask the line once more, under the attempt that it has: that changes nothing and is answered with the present explanation."""
    model = duet.models[sku]
    line = model.stock.lines.get(name)
    asked = next((one for one in reversed(duet.told) if _asks(one.message, name, sku, model.attempts.get(name, 0))), None)
    if line is None or asked is None:
        return
    duet.batch.append(asked)
    wanted = shortage(model.stock, line, model.expired())
    told = next(one.shortage for one in duet.cut(0) if isinstance(one, Outcome) and one.demand == asked.message.demand)
    assert (told is None) == (wanted is None), f"explained as {told}, the model says {wanted}"
    if told is not None and wanted is not None:
        _compare_sums(told, wanted)
        _compare_remedies(told, model, line)


def _asks(message: Any, name: str, sku: str, attempt: int) -> bool:
    asks = isinstance(message, ReserveLine | ReserveChain) and message.sku == sku
    return asks and message.demand.endswith(f"/{name}") and message.attempt == attempt


def _compare_sums(told: Shortage, wanted: dict[str, Any]) -> None:
    sums = {
        "missing": told.missing_units,
        "on_hand": told.on_hand_units,
        "expired": told.expired_units,
        "allocated": told.allocated_units,
        "claimed": told.claimed_units,
        "elsewhere": told.elsewhere_units,
    }
    assert sums == {name: wanted[name] for name in sums}, f"{sums}, the model says {wanted}"
    named = {holder.demand.rpartition("/")[2]: holder.units for holder in told.holders}
    assert named.items() <= wanted["holders"].items(), f"{named} of {wanted['holders']}"
    assert list(named.values()) == sorted(wanted["holders"].values(), reverse=True)[:5]


def _compare_remedies(told: Shortage, model: Messages, line: Line) -> None:
    """They help, none of them is needless, and where it says so no smaller set would do."""
    stock, actions, expired = model.stock, [_action(one) for one in told.remedies], model.expired()
    assert helps(stock, line.demand, actions, expired), f"{actions} do not help"
    for action in actions:
        fewer = [one for one in actions if one is not action]
        assert not helps(stock, line.demand, fewer, expired), f"needless: {action} of {actions}"
    nothing_else = actions[0].kind == "receive"
    if told.exact:
        found = fewer_would_do(stock, line, min(MOST_TRIED + 1, 5 if nothing_else else len(actions)), expired)
        assert found is None, f"{found} would do instead of {actions}"
    if nothing_else and all(one.fill == PARTIAL for one in stock.queue()):
        assert not helps(stock, line.demand, [actions[0]._replace(units=actions[0].units - 1)], expired), f"fewer than {actions} would do"


def _action(remedy: Remedy) -> Action:
    what = remedy.demand.rpartition("/")[2] if remedy.demand else remedy.warehouse
    assert what is not None
    return Action(remedy.action, what, remedy.units)
