"""A consumer that drops repeats as documented, and remembers enough to say whether anything was missing, doubled or never committed.

The document: every record of the allocator carries `earmark_source` (side, state partition, incarnation) and `earmark_sequence`. A
reader keeps one high-water mark for each source in each partition that it reads; a record at or below the mark is a repeat. A source
numbers everything that it writes, to whatever topic, 1, 2, 3 …, so a reader of all topics can also see that nothing is missing.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import TopicPartition

from shared.schemas import topics
from shared.schemas.values import DemandKind, demand_id
from shared.schemas.wire import decode, header_map
from tests.support.topic_reading import from_the_beginning

INTERNAL = (topics.RESERVATIONS, topics.OUTCOMES)
PUBLIC = (topics.ALLOCATIONS, topics.MOVEMENTS, topics.STOCK_LEVELS)
WRITTEN = (*INTERNAL, *PUBLIC, topics.DEAD_LETTERS)
INPUTS = (topics.ORDERS, topics.INVENTORY, *INTERNAL)
KINDS = frozenset({"allocation_changed", "stock_moved", "stock_command_refused", "stock_level_changed"})
_SOURCES = "SELECT concat_ws('/', side, number, incarnation) AS source, out_sequence FROM allocator.state_partition"


@dataclass
class CarefulReader:
    """Reads everything that the allocator writes. `told`: the public messages that are no repeats, in the order they were read."""

    consumer: Any
    told: list[Any] = field(default_factory=list)
    dead: list[Any] = field(default_factory=list)
    repeats: int = 0
    _marks: dict[tuple[TopicPartition, str], int] = field(default_factory=dict)
    _taken: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    async def read(self, wait_ms: int = 200) -> None:
        """Take what there is."""
        for one, records in (await self.consumer.getmany(timeout_ms=wait_ms)).items():
            for record in records:
                self._take(one, record)

    def _take(self, one: TopicPartition, record: Any) -> None:
        headers = header_map(record.headers)
        source = headers.get("earmark_source", "")
        if source.partition("/")[0] not in {"stock", "demand"}:
            return
        sequence = int(headers["earmark_sequence"])
        content = hashlib.blake2b(repr((one, record.key, record.value, record.headers)).encode(), digest_size=16).digest()
        taken = self._taken.setdefault(source, {})
        if sequence <= self._marks.get((one, source), 0):
            self.repeats += 1
            self._expect_same(source, sequence, taken.get(sequence), content)
            return
        self._marks[one, source] = sequence
        self._expect_same(source, sequence, taken.setdefault(sequence, content), content)
        if record.topic == topics.DEAD_LETTERS.name:
            self.dead.append(record)
        elif record.topic in {topic.name for topic in PUBLIC}:
            self.told.extend(decode(record.value, headers, KINDS))

    def _expect_same(self, source: str, sequence: int, first: bytes | None, content: bytes) -> None:
        if first is None:
            self._faults.append(f"{source}:{sequence} is dropped as a repeat and was never read")
        elif first != content:
            self._faults.append(f"{source}:{sequence} was published with two contents or in two places")

    async def faults(self, connection: asyncpg.Connection) -> list[str]:
        """What is missing, doubled, or published without being committed; empty is the proof. Read to the end before."""
        found = list(self._faults)
        committed = {row["source"]: row["out_sequence"] for row in await connection.fetch(_SOURCES)}
        for source in committed.keys() | self._taken.keys():
            taken, last = self._taken.get(source, {}).keys(), committed.get(source, 0)
            found += [f"{source}:{number} is missing" for number in range(1, last + 1) if number not in taken]
            found += [f"{source}:{number} was published and never committed" for number in taken if number > last]
        return found

    async def has_read_everything(self, connection: asyncpg.Connection) -> bool:
        """Whether every number that was committed has been read."""
        committed = {row["source"]: row["out_sequence"] for row in await connection.fetch(_SOURCES)}
        return all(len(self._taken.get(source, ())) >= last for source, last in committed.items())

    def newest(self, number: str, merchant: str = "acme") -> Any:
        """The allocation of highest version that was told of an order, or None."""
        wanted = demand_id(DemandKind.SALES_ORDER, merchant, number)
        told = [one for one in self.told if one.type == "allocation_changed" and one.demand == wanted]
        return max(told, key=lambda one: one.version, default=None)

    def answers(self, command: str) -> list[Any]:
        """What was told of a stock command."""
        return [one for one in self.told if one.type in {"stock_moved", "stock_command_refused"} and one.command_id == command]


@asynccontextmanager
async def careful_reader(bootstrap: str, partitions: int = 8) -> AsyncIterator[CarefulReader]:
    """From the beginning of every topic that the allocator writes."""
    async with from_the_beginning(bootstrap, *(topic.name for topic in WRITTEN), partitions=partitions) as consumer:
        yield CarefulReader(consumer)
