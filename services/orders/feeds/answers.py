"""The allocator's answers."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.feeds.taken import Taken, unreadable
from services.orders.store.dead_letters import Condemned
from services.orders.store.projecting import project_batch
from services.orders.store.unanswered import Unanswered
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox
from shared.schemas.events import AllocationChanged
from shared.schemas.values import DemandKind
from shared.schemas.wire import BadRecord, decode, type_header

_KIND = DemandKind.SALES_ORDER.value + "/"
_ANSWERS = frozenset({"allocation_changed"})


async def take_answers(
    unanswered: Unanswered,
    connection: AsyncConnection,
    outbox: Outbox,
    records: Sequence[InputRecord],
    now: datetime,
    *,
    look: bool,
) -> Taken:
    """Fold what the allocator says into the orders, and let bulk runs that waited for it go on. `look`: also for orders that are
    remembered."""
    condemned: list[Condemned] = []
    answers: list[AllocationChanged] = []
    source: dict[str, InputRecord] = {}
    for record in records:
        try:
            (answer,) = decode(record.value, type_header(record.headers), _ANSWERS)
        except BadRecord as bad:
            condemned.append(unreadable(record, bad))
            continue
        if answer.demand.startswith(_KIND):
            answers.append(answer)
            source[answer.demand] = record
    if not answers:
        return Taken(condemned)
    projection = await project_batch(connection, outbox, answers, None if look else unanswered, now)
    for key in projection.unknown:
        letter = DeadLetter(source[key.demand], "there is no such order here; restore the newest backup, then replay it", "demand")
        condemned.append(Condemned(letter, key.merchant))
    return Taken(condemned, projection.decided, projection.runs)
