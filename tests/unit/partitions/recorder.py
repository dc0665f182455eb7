"""A side that writes down what it is given, on a store in memory; and records for it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.partitions.memory import MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import InputRecord, PartitionId, PartitionRow, Send
from shared.partitions.partition import Limits, StatePartition
from shared.schemas import wire
from shared.schemas.commands import ReceiveStock, Release
from shared.schemas.events import StockCommandRefused
from shared.schemas.topics import INVENTORY, MOVEMENTS, RESERVATIONS, TOPICS
from shared.schemas.wire import Envelope

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STOCK = PartitionId("stock", 0)
PLAIN = Limits()
COUNTS = {topic.name: 1 for topic in TOPICS}


class Recorder:
    """A side that keeps what it was given, answers every message, and stores how many it has seen."""

    name = "stock"
    inputs: tuple[str, ...] = (INVENTORY.name, RESERVATIONS.name)
    rules_hash = "as it pleases"

    def __init__(self, store: MemoryPartitionStore) -> None:
        self.store = store
        self.decided: list[tuple[list[Any], datetime]] = []
        self.resumed = 0
        self.due: datetime | None = None
        self.failure: Exception | None = None

    def decode(self, record: InputRecord) -> tuple[Any, ...]:
        """What the topics of a stock partition carry."""
        return wire.decode(record.value, wire.header_map(record.headers), {"receive_stock", "reservations.pack"})

    async def resume(self, partition: PartitionId) -> None:
        """Count them."""
        self.resumed += 1

    def next_deadline(self) -> datetime | None:
        """As the test wants it."""
        return self.due

    async def decide(self, messages: Sequence[Any], now: datetime) -> list[Send]:
        """Answer each message."""
        if self.failure is not None:
            raise self.failure
        self.decided.append((list(messages), now))
        seen = self.store.current().get("seen", "all") or 0
        self.store.current().put("seen", "all", seen + len(messages))
        return [Send(MOVEMENTS.name, "acme/A", answer(f"c{seen + index}")) for index, _ in enumerate(messages)]

    async def save(self) -> None:
        """Nothing is kept back for it."""


def answer(command: str) -> StockCommandRefused:
    """Any public event."""
    return StockCommandRefused(
        command_id=command, merchant="acme", sku="A", reason="zero_change", field="change", remedy="name a change", refused_at=NOW
    )


class Installation:
    """One database and its clock; any number of processes that want the partition."""

    def __init__(self, limits: Limits = PLAIN) -> None:
        self.now, self.fate, self.limits = NOW, "answered", limits
        self.database = MemoryDatabase(lambda: self.now, on_commit=lambda: self.fate)
        self.tokens = 0

    def process(self) -> "Process":
        """A connection, a side and a state partition."""
        store = MemoryPartitionStore(self.database)
        side = Recorder(store)
        return Process(side, store, StatePartition(STOCK, side, store, COUNTS, self._token, self.limits))

    def _token(self) -> str:
        self.tokens += 1
        return f"token {self.tokens}"

    def row(self) -> PartitionRow:
        """The partition row as committed."""
        return PartitionRow(partition=STOCK, **self.database.table("partition")[STOCK])

    @property
    def seen(self) -> int:
        """Messages whose effect is committed."""
        return int(self.database.table("seen").get("all", 0))

    @property
    def dead(self) -> list[tuple[str, int]]:
        """Topic and offset of the dead letters that are committed."""
        return sorted((topic, offset) for topic, _, offset in self.database.table("dead_letter"))


class Process:
    """One of them."""

    def __init__(self, side: Recorder, store: MemoryPartitionStore, state: StatePartition) -> None:
        self.side, self.store, self.state = side, store, state


async def owner(limits: Limits = PLAIN) -> tuple[Installation, Process]:
    """An installation and the process that has taken its partition over."""
    installation = Installation(limits)
    process = installation.process()
    assert await process.state.take_over("first") == []
    return installation, process


def receipt(offset: int, command_id: str = "") -> InputRecord:
    """A command of others."""
    command = ReceiveStock(
        command_id=command_id or f"c{offset}", merchant="acme", sku="A", warehouse="main", bin="B1", units=1, issued_at=NOW
    )
    record = wire.encode(command, key="acme/A", envelope=Envelope("inventory", offset), time=NOW)
    return InputRecord(INVENTORY.name, 0, offset, 1_000 + offset, record.key, record.value, record.headers)


def pack(offset: int, sequence: int, source: str = "demand/0/1", messages: int = 1) -> InputRecord:
    """A record of our own on the internal topic."""
    made = [Release(demand="sales-order/acme/1", merchant="acme", sku="A", attempt=sequence + n) for n in range(messages)]
    record = wire.pack("reservations", made, envelope=Envelope(source, sequence), time=NOW)
    return InputRecord(RESERVATIONS.name, 0, offset, 2_000 + offset, record.key, record.value, record.headers)


def spoiled(record: InputRecord, value: bytes | None = b"{") -> InputRecord:
    """The same record with another value."""
    return InputRecord(record.topic, record.partition, record.offset, record.timestamp_ms, record.key, value, record.headers)


def attempts(process: Process) -> list[int]:
    """The attempts of the releases that the side was given, in order."""
    return [message.attempt for messages, _ in process.side.decided for message in messages if isinstance(message, Release)]
