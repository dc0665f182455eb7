"""A topic, the group that reads it, and the transactions that take what is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.feeds.answers import take_answers
from services.orders.feeds.intake import take_intake
from services.orders.feeds.taken import Take, Taken, condemned, is_to_be_taken_again
from services.orders.store import dead_letters
from services.orders.store.dead_letters import Condemned
from services.orders.store.driver import begin_batch
from services.orders.store.unanswered import Unanswered
from services.orders.subscriber import Subscriber
from shared import metrics
from shared.http import Platform, notify
from shared.partitions.model import InputRecord
from shared.schemas.topics import ALLOCATIONS, ORDER_INTAKE

_ATTEMPTS = 5
RESTS = 3
"""After few answers orders rest three times as long as those took: who reads events does not wait for this, and the CPU is left to those
who make the answers. At 180 orders a second over HTTP p50 until the answer was told was 206 instead of 246 ms. An answer that comes
alone is taken at once. Orders of channels are never kept waiting: they are what the answers come from."""


class Feed:
    """One topic taken by one consumer group. `on_taken`: told what came of every batch that was committed. `rests`: see `Subscriber`."""

    def __init__(self, platform: Platform, topic: str, name: str, take: Take, on_taken: Callable[[Taken], None], *, rests: int = 0) -> None:
        self._platform, self._topic, self._take, self._on_taken = platform, topic, take, on_taken
        group = f"earmark-orders-{name}"
        settings = platform.settings
        self.subscriber = Subscriber(
            settings.bootstrap, group, [topic], self.handle, self.condemn, session_ms=settings.group_session_ms, rests=rests
        )

    async def handle(self, records: Sequence[InputRecord]) -> None:
        """Take a batch in one transaction. What somebody else did before or at the same moment is met by taking it again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                taken = await self._once(records, look=attempt > 1)
                break
            except Exception as error:
                if not is_to_be_taken_again(error) or attempt == _ATTEMPTS:
                    raise
        metrics.PROJECTED.labels(service=self._platform.service, topic=self._topic).inc(len(records))
        self._on_taken(taken)

    async def _once(self, records: Sequence[InputRecord], *, look: bool) -> Taken:
        platform = self._platform
        async with platform.engine.begin() as connection:
            now = await begin_batch(connection)
            taken = await self._take(connection, platform.outbox, records, now, look=look)
            await dead_letters.keep(connection, platform.outbox, taken.condemned, now)
            await notify(connection, platform.decisions, *taken.decided, *taken.runs)
        return taken

    async def condemn(self, record: InputRecord, reason: str) -> None:
        """Keep a record that the database never takes as a dead letter."""
        platform = self._platform
        async with platform.engine.begin() as connection:
            now = await begin_batch(connection)
            await dead_letters.keep(connection, platform.outbox, [condemned(record, reason, "value")], now)

    async def replay(self, connection: AsyncConnection, record: InputRecord, now: datetime) -> Condemned | None:
        """Take a dead letter once more, in the transaction that settles it. Returns it with the new reason where it is refused again."""
        taken = await self._take(connection, self._platform.outbox, [record], now, look=True)
        await notify(connection, self._platform.decisions, *taken.decided, *taken.runs)
        return taken.condemned[0] if taken.condemned else None


@dataclass(frozen=True, slots=True)
class Feeds:
    """Both topics."""

    intake: Feed
    answers: Feed

    @classmethod
    def open(cls, platform: Platform, on_runs: Callable[[], None]) -> "Feeds":
        """Make them, subscribe to nothing. `on_runs`: told when bulk runs may go on."""
        unanswered = Unanswered()

        def remember(taken: Taken) -> None:
            unanswered.remember(taken.made)

        def let_runs_go_on(taken: Taken) -> None:
            if taken.runs:
                on_runs()

        return cls(
            Feed(platform, ORDER_INTAKE.name, "intake", take_intake, remember),
            Feed(platform, ALLOCATIONS.name, "projection", partial(take_answers, unanswered), let_runs_go_on, rests=RESTS),
        )

    def of(self, topic: str) -> Feed | None:
        """The feed that takes a topic."""
        return {ORDER_INTAKE.name: self.intake, ALLOCATIONS.name: self.answers}.get(topic)
