"""Partition stores on memory and on the real Postgres, whose sessions end and whose COMMITs are lost as told; and batches for them."""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Literal

import asyncpg

from shared.database import hot_connection
from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import Batch, DeadLetter, InputRecord, OutboxRow, PartitionId, PartitionRow, Position
from shared.partitions.postgres import PostgresPartitionStore
from shared.schemas.wire import Record
from tests.contract.cutting_proxy import CuttingProxy

STOCK = PartitionId("stock", 3)
Store = MemoryPartitionStore | PostgresPartitionStore
CONNECTION_BROKE = (ConnectionLost, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


class MemoryServer:
    """A database in memory that several connections share."""

    def __init__(self) -> None:
        self._fate = "answered"
        self.database = MemoryDatabase(lambda: datetime.now(UTC), lambda: asyncio.sleep(0), lambda: self._fate)

    async def connect(self) -> Store:
        """A connection of its own."""
        return MemoryPartitionStore(self.database)

    async def end_session(self, store: Store) -> None:
        """The server ends the session of a client that does not move."""
        assert isinstance(store, MemoryPartitionStore)
        store.connection.end_session()

    def lose(self, cut: Literal["before", "after"]) -> None:
        """The next COMMIT is lost: before it took effect, or its answer."""
        self._fate = f"lost_{cut}"

    def heal(self) -> None:
        """COMMIT is answered again."""
        self._fate = "answered"


class PostgresServer:
    """The real one, behind a proxy that can cut connections."""

    def __init__(self, proxy: CuttingProxy, connections: AsyncExitStack) -> None:
        self._proxy, self._connections, self._healed = proxy, connections, False

    async def connect(self) -> Store:
        """A connection of its own; behind the proxy until healed."""
        connection = await hot_connection(self._proxy.dsn)
        self._connections.callback(connection.terminate)
        return PostgresPartitionStore(connection)

    async def end_session(self, store: Store) -> None:
        """The server ends the session of a client that does not move."""
        assert isinstance(store, PostgresPartitionStore)
        other = await self.connect()
        assert isinstance(other, PostgresPartitionStore)
        await other.connection.execute("SELECT pg_terminate_backend($1, 5000)", store.connection.get_server_pid())

    def lose(self, cut: Literal["before", "after"]) -> None:
        """The next COMMIT is lost: before it took effect, or its answer."""
        self._proxy.arm(cut)

    def heal(self) -> None:
        """COMMIT is answered again."""
        self._proxy.disarm()


Server = MemoryServer | PostgresServer


async def claimed(server: Server, partition: PartitionId = STOCK, owner: str = "one") -> tuple[Store, PartitionRow]:
    """A store on a connection of its own, that has claimed the partition."""
    store = await server.connect()
    return store, await store.claim(partition, owner)


def outbox_row(batch_no: int, first: int, last: int, topic: str = "earmark.outcomes", destination: int = 1) -> OutboxRow:
    """A row with one record per sequence number."""
    records = tuple(Record(b"k", f"value {number}".encode(), (("ce_id", str(number).encode()),)) for number in range(first, last + 1))
    return OutboxRow(batch_no, topic, destination, first, last, records)


async def serve(
    store: Store,
    row: PartitionRow,
    *,
    outbox: tuple[OutboxRow, ...] = (),
    marks: Mapping[tuple[str, str], int] | None = None,
    dead: tuple[DeadLetter, ...] = (),
    positions: Mapping[str, Position] | None = None,
    published: int = 0,
    commit: bool = True,
) -> Batch:
    """One batch after `row`, up to its COMMIT."""
    await store.begin()
    now = await store.advance(row.epoch, row.batch_no, positions or {}, published)
    last = max((one.last_sequence for one in outbox), default=row.out_sequence)
    token = str(uuid.uuid4())
    batch = Batch(row.batch_no + 1, row.epoch, token, now, {"earmark.inventory": (0, 5)}, row.out_sequence + 1, last, "", "0.1.0")
    await store.finish(batch, outbox, marks or {}, dead)
    if commit:
        await store.commit()
    return batch


def letter(offset: int, reason: str = "no good", key: bytes | None = b"key", value: bytes | None = b"\x00\xff") -> DeadLetter:
    """A record that could not be read."""
    record = InputRecord("earmark.orders", 2, offset, 1_700_000_000_000, key, value, (("h", b"\xff\x00"), ("none", None)))
    return DeadLetter(record, reason, "lines.0.sku")


def after(row: PartitionRow, batch: Batch) -> PartitionRow:
    """The partition's row once the batch is committed."""
    return PartitionRow(
        row.partition, row.incarnation, row.epoch, row.owner, batch.batch_no, batch.logical_time, row.positions, batch.last_sequence,
        row.published_sequence,
    )  # fmt: skip
