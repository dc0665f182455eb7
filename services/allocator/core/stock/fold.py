"""The door of the stock side: one batch of commands and due deadlines, folded over the SKUs in memory.

The order is fixed: deadlines that are due, commands, serving of waiters, stock levels. Whenever a SKU must be in memory whole and is
not, nothing of the command is done, the SKU is left aside with all its further commands, the others go on, and `run` returns what is
needed; the caller loads it and runs again. SKUs do not touch each other within a batch, so the result does not depend on the cache.
"""

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from services.allocator.core.stock import holding
from services.allocator.core.stock.deadlines import Deadline
from services.allocator.core.stock.draft import Draft, Sent
from services.allocator.core.stock.ledger import adjust, end_lots, receive
from services.allocator.core.stock.levels import announce
from services.allocator.core.stock.reserving import reserve_line, reserve_stop
from services.allocator.core.stock.rows import MovementRow, SkuKey
from services.allocator.core.stock.serving import serve
from services.allocator.core.stock.settings import StockSettings
from services.allocator.core.stock.state import SkuStock
from shared.schemas.commands import (
    Activate,
    AdjustStock,
    Consume,
    Forget,
    MarkPicking,
    ReceiveStock,
    Release,
    ReserveChain,
    ReserveLine,
    ReturnBaton,
    StockCommand,
    UnmarkPicking,
)

Handler = Callable[[Draft, SkuStock, Any], bool | None]
"""Returns False when nothing was changed because the whole SKU must be in memory first. `Any`: each takes its own command."""
HANDLERS: dict[type, Handler] = {
    ReceiveStock: receive,
    AdjustStock: adjust,
    ReserveLine: reserve_line,
    ReserveChain: reserve_stop,
    Release: holding.release,
    ReturnBaton: holding.return_baton,
    Activate: holding.activate,
    MarkPicking: holding.mark_picking,
    UnmarkPicking: holding.unmark_picking,
    Consume: holding.consume,
    Forget: holding.forget,
}


class StockFold:
    """One batch. `skus`: what is in memory; it must hold every SKU named by a command or a deadline, with the reservations and command
    memories that the commands name."""

    def __init__(
        self,
        skus: MutableMapping[SkuKey, SkuStock],
        commands: Sequence[StockCommand],
        due: Collection[Deadline],
        memory: Mapping[tuple[str, str, str], MovementRow],
        now: datetime,
        settings: StockSettings,
    ) -> None:
        self.draft = Draft(now, now.astimezone(UTC).date(), settings)
        self.draft.memory.update(memory)
        self._skus = skus
        self._due = sorted(deadline for deadline in due if deadline.kind != "levels")
        self._left: list[tuple[int, StockCommand]] = list(enumerate(commands))
        self._end = len(commands)
        self._deferred = False

    def run(self) -> set[SkuKey]:
        """Decide as far as possible. Returns the SKUs that are needed whole; empty when everything is decided."""
        needs = self._pass_deadlines() or self._decide()
        if not needs:
            self._serve()
        return needs

    def sends(self) -> list[Sent]:
        """What the batch sends, in the order of its commands."""
        return sorted(self.draft.sends, key=itemgetter(0)) if self._deferred else self.draft.sends

    def announce(self, skus: Collection[SkuKey]) -> None:
        """Tell the levels of these SKUs, all in memory. After `run`."""
        self.draft.at = self._end + 1
        for key in sorted(skus):
            announce(self.draft, self._skus[key])

    def _pass_deadlines(self) -> set[SkuKey]:
        needs = {deadline.sku for deadline in self._due if not self._is_ready(self._skus[deadline.sku], deadline)}
        if needs:
            return needs
        self.draft.at = -1
        for deadline in self._due:
            self._pass(self._skus[deadline.sku], deadline)
        self._due = []
        return needs

    def _is_ready(self, sku: SkuStock, deadline: Deadline) -> bool:
        falls = deadline.kind == "lots" and any(record.backed for record in sku.records if record.ends_unnoticed(self.draft.today))
        return sku.complete or not (sku.crowded or falls)

    def _pass(self, sku: SkuStock, deadline: Deadline) -> None:
        if deadline.kind == "lots":
            end_lots(self.draft, sku)
        elif deadline.kind == "baton":
            sku.batons[deadline.whose].expired = True
            sku.walked = None  # it has no claim any more
            self.draft.changed_baton(sku, deadline.whose)
        self.draft.serve_later(sku)

    def _decide(self) -> set[SkuKey]:
        draft, skus, handlers = self.draft, self._skus, HANDLERS
        needs: set[SkuKey] = set()
        aside: list[tuple[int, StockCommand]] = []
        for at, command in self._left:
            key = (command.merchant, command.sku)
            if key in needs:
                aside.append((at, command))
                continue
            sku = skus[key]
            draft.at = at
            crowded = sku.waiting_count or sku.flagged
            if (crowded and not sku.complete) or handlers[type(command)](draft, sku, command) is False:
                needs.add(key)
                aside.append((at, command))
        self._left = aside
        self._deferred = self._deferred or bool(aside)
        return needs

    def _serve(self) -> None:
        """Whoever waits made its SKU crowded, so it is in memory whole by now."""
        self.draft.at = self._end
        for key in sorted(self.draft.to_serve):
            serve(self.draft, self.draft.to_serve[key])
        self.draft.to_serve.clear()
