"""After a small batch a subscriber rests, so that what comes meanwhile goes along in the next; after a large one it does not."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.orders import subscriber
from services.orders.feeds.feed import RESTS
from services.orders.subscriber import FEW_RECORDS, MOST_REST_SECONDS, Subscriber
from tests.unit.orders.one_partition import PLACE, OnePartition, records


@dataclass
class BrokerWithBatches(OnePartition):
    """A consumer that gives batches of these sizes, and then nothing."""

    sizes: list[int]
    given: int = 0
    empty: asyncio.Event = field(default_factory=asyncio.Event)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        if not self.sizes:
            self.empty.set()
            await asyncio.Event().wait()
        offsets = range(self.given, self.given + self.sizes.pop(0))
        self.given = offsets.stop
        return {PLACE: records(offsets)}


@pytest.mark.parametrize(
    ("times", "size", "seconds", "rests"),
    [
        pytest.param(RESTS, 1, 0.01, [RESTS * 0.01], id="as-many-times-as-long-as-it-took"),
        pytest.param(RESTS, FEW_RECORDS - 1, 60.0, [MOST_REST_SECONDS], id="never-for-long"),
        pytest.param(RESTS, FEW_RECORDS, 0.01, [], id="not-after-many"),
        pytest.param(0, 1, 0.01, [], id="not-where-nobody-asked-for-it"),
    ],
)
async def test_how_long_it_rests(times: int, size: int, seconds: float, rests: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    broker, now, slept = BrokerWithBatches([size]), [0.0], list[float]()

    async def handle(_: Any) -> None:
        now[0] += seconds

    async def condemn(*_: Any) -> None: ...

    async def sleep(pause: float) -> None:
        slept.append(pause)

    monkeypatch.setattr(subscriber, "Consumer", lambda *_, **__: broker)
    monkeypatch.setattr("services.orders.subscriber.time.monotonic", lambda: now[0])
    monkeypatch.setattr("services.orders.subscriber.asyncio.sleep", sleep)
    running = asyncio.create_task(Subscriber("nowhere:1", "group", ["t"], handle, condemn, rests=times).run())
    await asyncio.wait({running, waiting := asyncio.create_task(broker.empty.wait())}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert broker.empty.is_set()
    assert slept == pytest.approx(rests)
