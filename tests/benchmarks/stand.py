"""A stand to measure real processes on: tables and topics made anew, shelves filled, processes that can be held still while the work
is laid out before them."""

import asyncio
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from services.console.forked import ForkedService, ForkServer
from shared.kafka import consumer_settings
from shared.local.deathwatch import Deathwatch
from shared.local.ports import free_ports
from shared.local.process import identity_of
from shared.log_writer import KafkaLogWriter
from shared.partitions.model import OutboxRow
from shared.schemas import topics
from shared.schemas.commands import ReceiveStock
from shared.schemas.topics import Topic
from shared.schemas.values import sku_key
from shared.schemas.wire import Envelope, Record, encode, partition_of
from shared.settings import Settings
from shared.world import prepare
from tests.benchmarks.measuring import Stopwatch, peak_memory_mib
from tests.benchmarks.workloads import ON_HAND_UNITS, SKUS, sku
from tests.support import databases
from tests.support import topics as kafka_topics

MERCHANT, WAREHOUSE = "acme", "MAIN"
PARTITIONS = 8
AT = datetime(2026, 11, 21, tzinfo=UTC)
STOP_SECONDS = 30
STUCK_SECONDS = 120
SETTLE_SECONDS = 0.5
ASK_SECONDS = 0.05
PEPPER = "only for this measurement " * 2
OURS = "tests.benchmarks.fork_server"
AT_ONCE = 5_000
"""Receipts that are written together: the allocator posts some while more are made."""
_POSTED = "SELECT count(*) FROM allocator.movement WHERE command_id LIKE $1"


@cache
def _fork_server(code: str) -> ForkServer:
    """One for all stands: most of what a process takes to start is its imports, and a benchmark starts some twenty in every round."""
    return ForkServer(os.environ, code)


class Stand:
    """Fresh tables and topics, and the processes that serve them."""

    def __init__(self, settings: Settings, writer: KafkaLogWriter, logs: Path, code: str) -> None:
        self.settings, self._writer, self._logs, self._code = settings, writer, logs, code
        self.partitions = settings.stock_partitions
        self._children: list[ForkedService] = []
        self._deathwatch = Deathwatch()
        self._receipt = f"receipt-{secrets.token_hex(4)}-"  # not those that a ledger has from an earlier stand

    # ---------------------------------------------------------------- processes

    def start(self, name: str, **more: str) -> None:
        """Start a process on this stand's servers: a service, as `services.console.serve` names it, or what else the fork server knows.
        `more`: of its environment."""
        given = {
            "EARMARK_KAFKA": self.settings.bootstrap,
            "EARMARK_POSTGRES": self.settings.dsn,
            "EARMARK_API_KEY_PEPPER": PEPPER,
            "EARMARK_REQUESTS_PER_SECOND": "100000",
            "EARMARK_ORDERS_PORT": str(self.settings.orders_port),
            "EARMARK_ALLOCATOR_PORT": str(self.settings.allocator_port),
            "EARMARK_INVENTORY_PORT": str(self.settings.inventory_port),
            "EARMARK_STOCK_PARTITIONS": str(self.settings.stock_partitions),
            "EARMARK_DEMAND_PARTITIONS": str(self.settings.demand_partitions),
        }
        child = _fork_server(self._code).start(name, str(self._log(len(self._children))), os.environ | given | more)
        self._children.append(child)
        self._deathwatch.watch(name, identity_of(child.pid), signal.SIGKILL)  # a killed benchmark must not leave one behind

    def _log(self, number: int) -> Path:
        return self._logs / f"{number}.log"

    @property
    def pids(self) -> list[int]:
        """Of its processes, in the order in which they were started."""
        return [child.pid for child in self._children]

    def freeze(self) -> None:
        """Hold every process still. Shorter than the group's session time-out, or it would lose its partitions."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            child.send_signal(number)

    def peak_memory_mib(self) -> float:
        """The most that one of the processes had in use so far."""
        return max(peak_memory_mib(child.pid) for child in self._children)

    async def stop(self) -> None:
        """End all processes, gracefully where they can."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        for child in self._children:
            try:
                await asyncio.to_thread(child.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        self._deathwatch.close()

    def require_life(self) -> None:
        """Raises RuntimeError with the end of its log where a process has ended."""
        for number, child in enumerate(self._children):
            if (status := child.poll()) is not None:
                log = self._log(number).read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"a measured process ended with {status}: {log[-2_000:]}")

    # ---------------------------------------------------------------- work and answers

    async def write(self, topic: Topic, records: Sequence[tuple[int, Record]]) -> None:
        """Put records, each with its partition, on a topic; returns when all are acknowledged."""
        destinations: dict[int, list[Record]] = {}
        for partition, record in records:
            destinations.setdefault(partition, []).append(record)
        await self._writer.publish([OutboxRow(0, topic.name, to, 0, 0, tuple(found)) for to, found in destinations.items()])

    async def fill_shelves(self, skus: int = SKUS) -> None:
        """Receive stock of every SKU, and return when all of it is posted: the processes have taken over by then."""
        for first in range(0, skus, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, skus))
            source = "inventory/0/1"
            work = [
                receipt(f"{self._receipt}{one}", sku(one), ON_HAND_UNITS, Envelope(source, one + 1), self.partitions) for one in numbers
            ]
            await self.write(topics.INVENTORY, work)
        async with asyncio.timeout(STUCK_SECONDS):
            while await self.ask(_POSTED, f"{self._receipt}%") < skus:
                self.require_life()
                await asyncio.sleep(ASK_SECONDS)
        connection = await asyncpg.connect(self.settings.dsn)
        try:
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        await asyncio.sleep(SETTLE_SECONDS)

    async def counter(self, topic: Topic, word: bytes) -> "Counter":
        """Counts how often a word stands in what is acknowledged on a topic from now on."""
        consumer = await self.listener(topic)
        began = sum([await consumer.position(one) for one in consumer.assignment()])
        return Counter(consumer, word, began, self.require_life)

    async def listener(self, topic: Topic) -> Any:
        """A started consumer that reads a topic from now on; whoever asked for it stops it."""
        consumer = AIOKafkaConsumer(**consumer_settings(self.settings.bootstrap))
        await consumer.start()
        consumer.assign([TopicPartition(topic.name, number) for number in range(self.partitions)])
        await consumer.seek_to_end()
        return consumer

    async def rows(self, query: str, *given: object) -> list[asyncpg.Record]:
        """What the database answers."""
        connection = await asyncpg.connect(self.settings.dsn)
        try:
            return list(await connection.fetch(query, *given))
        finally:
            await connection.close()

    async def ask(self, query: str, *given: object) -> Any:
        """One value from the database."""
        ((value,),) = await self.rows(query, *given)
        return value


Watched = Callable[[Stand], Stopwatch]
"""Starts to count what work on a stand takes."""


def of_the_machine(_: Stand) -> Stopwatch:
    """Counts all that the machine does."""
    return Stopwatch()


class Counter:
    """Looks for bytes and decodes no value: the measured processes need the CPU. Drops repeats as any reader must."""

    def __init__(self, consumer: Any, word: bytes, began: int, require_life: Callable[[], None]) -> None:
        self._consumer, self._word, self._began, self._require_life = consumer, word, began, require_life
        self._highest: dict[tuple[int, bytes], int] = {}
        self.count = 0

    async def acknowledged(self, wanted: int) -> None:
        """Return when so many records are acknowledged, whatever they say: to read them takes CPU from the measured processes. Raises
        when nothing comes for two minutes or a process ended."""
        count = -1
        while count < wanted:
            before = count
            async with asyncio.timeout(STUCK_SECONDS):
                while count == before:
                    self._require_life()
                    await asyncio.sleep(ASK_SECONDS)
                    count = sum((await self._consumer.end_offsets(self._consumer.assignment())).values()) - self._began

    async def reach(self, wanted: int) -> None:
        """Return when the word was seen `wanted` times in all. Raises when nothing comes for two minutes or a process ended."""
        while self.count < wanted:
            before = self.count
            async with asyncio.timeout(STUCK_SECONDS):
                while self.count == before:
                    self._require_life()
                    for records in (await self._consumer.getmany(timeout_ms=200)).values():
                        self.count += sum(record.value.count(self._word) for record in records if self._is_new(record))

    def _is_new(self, record: Any) -> bool:
        headers = dict(record.headers)
        source, sequence = (record.partition, headers["earmark_source"]), int(headers["earmark_sequence"])
        if sequence <= self._highest.get(source, 0):
            return False
        self._highest[source] = sequence
        return True

    async def close(self) -> None:
        """Stop listening."""
        await self._consumer.stop()


def receipt(command_id: str, name: str, units: int, envelope: Envelope, partitions: int = PARTITIONS) -> tuple[int, Record]:
    """A delivery of a SKU, and the partition of the inventory topic where it belongs."""
    key = sku_key(MERCHANT, name)
    command = ReceiveStock(command_id=command_id, merchant=MERCHANT, sku=name, warehouse=WAREHOUSE, bin="A-1", units=units, issued_at=AT)
    return partition_of(key, partitions), encode(command, key=key, envelope=envelope, time=AT)


@asynccontextmanager
async def stand(
    dsn: str, bootstrap: str, template: str | None = None, partitions: int = PARTITIONS, code: str = OURS, ledger: str | None = None
) -> AsyncIterator[Stand]:
    """A stand with a database of its own, a copy of `template`, or on the database `ledger`, which stays; topics are made anew, so two
    stands can not share a broker. `partitions`: of each side. `code`: the fork server of its processes."""
    async with AsyncExitStack() as stack:
        found = _database(stack, dsn, template, ledger)
        database, _ = await asyncio.gather(found, kafka_topics.recreate(bootstrap, partitions, partitions))
        orders_port, allocator_port, inventory_port = free_ports(3)
        settings = Settings(
            kafka=bootstrap,
            postgres=SecretStr(database),
            api_key_pepper=SecretStr(PEPPER),
            orders_port=orders_port,
            allocator_port=allocator_port,
            inventory_port=inventory_port,
            stock_partitions=partitions,
            demand_partitions=partitions,
            kafka_replication=1,
            kafka_min_insync=1,
        )
        await prepare(settings)
        writer = KafkaLogWriter(bootstrap)
        stack.push_async_callback(writer.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        made = Stand(settings, writer, Path(folder), code)
        stack.push_async_callback(made.stop)
        yield made


async def _database(stack: AsyncExitStack, dsn: str, template: str | None, ledger: str | None) -> str:
    """The DSN of `ledger`, or of a copy of `template` that goes with the stand."""
    if ledger is not None:
        return ledger
    made = await databases.create(dsn, template or await databases.template(dsn))
    stack.push_async_callback(databases.drop, dsn, made)
    return made
