"""What inventory reads of the allocator: answers to its commands, and stock levels."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.inventory.api.stock_commands import subject
from services.inventory.core.folding import answers, newest
from services.inventory.store import stock_commands, stock_levels
from shared.http import Platform, notify
from shared.projection import Projection
from shared.schemas.events import Movement, StockLevelChanged
from shared.schemas.topics import MOVEMENTS, STOCK_LEVELS


def projections(platform: Platform) -> list[Projection]:
    """The projections of this service."""

    async def keep_answers(connection: AsyncConnection, movements: Sequence[Movement]) -> None:
        """Writes the allocator's answers to stock commands and wakes those who wait for them."""
        answered = await stock_commands.answer(connection, answers(movements))
        await notify(connection, platform.decisions, *(subject(*key) for key in answered))

    async def keep_levels(connection: AsyncConnection, changes: Sequence[StockLevelChanged]) -> None:
        """Keeps the newest levels of every SKU."""
        await stock_levels.keep(connection, newest(changes))

    return [
        Projection("answers", (MOVEMENTS.name,), frozenset({"stock_moved", "stock_command_refused"}), keep_answers),
        Projection("levels", (STOCK_LEVELS.name,), frozenset({"stock_level_changed"}), keep_levels),
    ]
