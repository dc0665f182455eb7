"""One state partition on a store in memory: what a batch is, what is dropped, what is put aside, what stops it, and who may go on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.partitions.memory import ConnectionLost, MemoryDatabase, MemoryPartitionStore
from shared.partitions.model import InputRecord, OutboxRow, PartitionId, PartitionRow, Send
from shared.partitions.partition import CODE_VERSION, Halted, Limits, StatePartition, digest
from shared.partitions.ports import FenceLost
from shared.schemas import wire
from shared.schemas.commands import ReceiveStock, Release
from shared.schemas.events import StockCommandRefused
from shared.schemas.topics import DEAD_LETTERS, INVENTORY, MOVEMENTS, RESERVATIONS, TOPICS
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


# ---------------------------------------------------------------- a batch


async def test_a_batch_takes_what_waits_and_stores_how_far_it_is() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0), receipt(1), pack(4, 1)])
    rows = await process.state.serve()
    assert [row.topic for row in rows] == [MOVEMENTS.name]
    assert installation.seen == 3
    positions = installation.row().positions
    assert positions[INVENTORY.name].next_offset == 2
    last = positions[RESERVATIONS.name]
    assert (last.next_offset, last.last_offset, last.last_timestamp_ms) == (5, 4, 2_004)
    assert last.last_digest == digest(pack(4, 1))


async def test_the_batch_row_says_what_a_replay_needs() -> None:
    installation, process = await owner()
    process.state.offer([receipt(3), receipt(7), pack(2, 1)])
    await process.state.serve()
    process.state.offer([receipt(8)])
    await process.state.serve()
    first, second = (installation.database.table("batch")[STOCK, number] for number in (1, 2))
    assert first.offsets == {INVENTORY.name: (3, 8), RESERVATIONS.name: (2, 3)}
    assert (first.first_sequence, first.last_sequence, first.epoch, first.token) == (1, 3, 1, "token 1")
    assert (first.rules_hash, first.code_version) == ("as it pleases", CODE_VERSION)
    assert second.offsets == {INVENTORY.name: (8, 9)}
    assert (second.first_sequence, second.last_sequence, second.logical_time) == (4, 4, NOW)


async def test_records_stand_in_the_order_that_the_batch_row_gives_back_however_they_came() -> None:
    _, one = await owner()
    one.state.offer([pack(0, 1), receipt(0), pack(1, 2), receipt(1)])
    await one.state.serve()
    _, other = await owner()
    other.state.offer([receipt(0), receipt(1), pack(0, 1), pack(1, 2)])
    await other.state.serve()
    assert one.side.decided == other.side.decided


async def test_batches_end_at_the_limit_of_messages() -> None:
    installation, process = await owner(Limits(messages=3))
    process.state.offer([pack(0, 1, messages=2), pack(1, 2, messages=2), pack(2, 3, messages=2)])
    await process.state.serve()
    assert [len(messages) for messages, _ in process.side.decided] == [4], "a record is never cut"
    assert installation.row().positions[RESERVATIONS.name].next_offset == 2
    await process.state.serve()
    assert [len(messages) for messages, _ in process.side.decided] == [4, 2]
    assert not process.state.has_records


async def test_a_batch_can_be_limited_to_so_many_records() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0), receipt(1)])
    assert process.state.next_record == receipt(0)
    await process.state.serve(1)
    assert installation.seen == 1
    assert process.state.next_record == receipt(1)


async def test_a_batch_without_records_serves_deadlines() -> None:
    installation, process = await owner()
    process.side.due = NOW
    assert process.state.deadline_is_due(NOW)
    assert not process.state.deadline_is_due(NOW - timedelta(seconds=1))
    assert await process.state.serve() == []
    assert process.side.decided == [([], NOW)]
    batch = installation.database.table("batch")[STOCK, 1]
    assert (batch.offsets, batch.first_sequence, batch.last_sequence) == ({}, 1, 0)


async def test_without_a_deadline_nothing_is_due() -> None:
    _, process = await owner()
    assert not process.state.deadline_is_due(NOW + timedelta(days=999))


async def test_time_is_the_databases_and_never_goes_back() -> None:
    installation, process = await owner()
    await process.state.serve()
    installation.now = NOW - timedelta(hours=1)
    await process.state.serve()
    installation.now = NOW + timedelta(seconds=1)
    await process.state.serve()
    assert [now for _, now in process.side.decided] == [NOW, NOW, NOW + timedelta(seconds=1)]


async def test_offers_that_overlap_are_taken_once() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0), receipt(1)])
    process.state.offer([receipt(1), receipt(2)])
    assert process.state.read_from(INVENTORY.name) == 3
    await process.state.serve()
    process.state.offer([receipt(0), receipt(2)])
    assert not process.state.has_records
    assert installation.seen == 3


async def test_reading_goes_on_behind_what_waits_and_behind_what_is_stored() -> None:
    installation, process = await owner()
    assert process.state.read_from(INVENTORY.name) == 0
    process.state.offer([receipt(5)])
    assert process.state.read_from(INVENTORY.name) == 6
    await process.state.serve()
    successor = installation.process()
    await successor.state.take_over("second")
    assert successor.state.read_from(INVENTORY.name) == 6
    assert successor.state.read_from(RESERVATIONS.name) == 0


async def test_there_is_no_room_while_too_much_waits_or_is_unpublished() -> None:
    _, process = await owner(Limits(messages=1, backlog=2))
    assert process.state.has_room
    process.state.offer([receipt(0), receipt(1)])
    assert not process.state.has_room
    await process.state.serve()
    assert process.state.has_room
    await process.state.serve()
    assert process.state.backlog == 2
    assert not process.state.has_room
    process.state.published_sequence = 1
    assert process.state.has_room


# ---------------------------------------------------------------- repeats


async def test_a_repeat_on_an_internal_topic_is_dropped() -> None:
    installation, process = await owner()
    process.state.offer([pack(0, 1), pack(1, 2), pack(2, 1), pack(3, 2), pack(4, 3)])
    await process.state.serve()
    process.state.offer([pack(5, 2), pack(6, 3), pack(7, 4)])
    await process.state.serve()
    assert attempts(process) == [1, 2, 3, 4]
    assert installation.row().positions[RESERVATIONS.name].next_offset == 8


async def test_repeats_are_known_again_after_a_take_over() -> None:
    installation, process = await owner()
    process.state.offer([pack(0, 1), pack(1, 2)])
    await process.state.serve()
    successor = installation.process()
    await successor.state.take_over("second")
    successor.state.offer([pack(2, 1), pack(3, 2), pack(4, 3)])
    await successor.state.serve()
    assert attempts(successor) == [3]


async def test_every_source_and_every_incarnation_has_its_own_mark() -> None:
    _, process = await owner()
    process.state.offer([pack(0, 5, "demand/0/1"), pack(1, 3, "demand/1/1"), pack(2, 1, "demand/0/2")])
    await process.state.serve()
    assert attempts(process) == [5, 3, 1]


async def test_records_of_others_are_never_dropped_by_number() -> None:
    """Their senders do not number them; commands are known by their ids."""
    installation, process = await owner()
    process.state.offer([receipt(0), receipt(1, "c0")])
    await process.state.serve()
    assert installation.seen == 2


async def test_marks_of_a_batch_that_was_lost_do_not_count() -> None:
    installation, process = await owner()
    installation.fate = "lost_before"
    process.state.offer([pack(0, 1)])
    with pytest.raises(ConnectionLost):
        await process.state.serve()
    installation.fate = "answered"
    await process.state.take_over("first again")
    process.state.offer([pack(0, 1)])
    await process.state.serve()
    assert installation.seen == 1


# ---------------------------------------------------------------- poison


async def test_poison_of_others_is_a_dead_letter_in_the_same_transaction_and_its_neighbours_are_unharmed() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0), spoiled(receipt(1)), receipt(2), spoiled(receipt(3), None)])
    rows = await process.state.serve()
    assert installation.seen == 2
    assert installation.dead == [(INVENTORY.name, 1), (INVENTORY.name, 3)]
    assert {row.topic: len(row.records) for row in rows} == {MOVEMENTS.name: 2, DEAD_LETTERS.name: 2}
    assert installation.row().positions[INVENTORY.name].next_offset == 4


async def test_a_record_in_another_partition_than_its_keys_is_a_dead_letter() -> None:
    """Whatever partitioner the sender used: two state partitions that write one SKU would oversell it."""
    installation = Installation()
    store = MemoryPartitionStore(installation.database)
    torn = StatePartition(STOCK, Recorder(store), store, {topic.name: 8 for topic in TOPICS}, installation._token, PLAIN)
    await torn.take_over("first")
    torn.offer([receipt(0)])
    await torn.serve()
    assert (installation.seen, installation.dead) == (0, [(INVENTORY.name, 0)])
    assert installation.database.table("dead_letter")[INVENTORY.name, 0, 0].field == "key"


async def test_a_dead_letter_says_why() -> None:
    installation, process = await owner()
    process.state.offer([spoiled(receipt(0), b'{"type": "receive_stock"}')])
    await process.state.serve()
    letter = installation.database.table("dead_letter")[INVENTORY.name, 0, 0]
    assert letter.record.value == b'{"type": "receive_stock"}'
    assert letter.field == "command_id"


async def test_a_dead_letter_is_lost_with_its_batch() -> None:
    installation, process = await owner()
    installation.fate = "lost_before"
    process.state.offer([spoiled(receipt(0))])
    with pytest.raises(ConnectionLost):
        await process.state.serve()
    assert installation.dead == []


@pytest.mark.parametrize("what", ["garbage", "no number", "newer schema", "somebody else's type"])
async def test_an_internal_record_that_cannot_be_read_halts_with_a_runbook(what: str) -> None:
    installation, process = await owner()
    bad = {
        "garbage": spoiled(pack(1, 2)),
        "no number": _with_headers(pack(1, 2), earmark_sequence=None),
        "newer schema": _with_headers(pack(1, 2), ce_type=b"earmark.reservations.pack.v2"),
        "somebody else's type": _with_headers(pack(1, 2), ce_type=b"earmark.price_changed.v1"),
    }[what]
    with pytest.raises(Halted, match=r"stock/0 stops at earmark.reservations partition 0 offset 1: .*runbooks"):
        process.state.offer([pack(0, 1), bad])
    await process.state.serve()
    assert installation.seen == 1, "what came before it is served"
    assert installation.row().positions[RESERVATIONS.name].next_offset == 1, "and it is not skipped"
    assert installation.dead == []


def _with_headers(record: InputRecord, **changed: bytes | None) -> InputRecord:
    headers = tuple((name, changed.get(name, value)) for name, value in record.headers)
    return InputRecord(record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value, headers)


async def test_a_condemned_record_becomes_a_dead_letter_although_it_can_be_read() -> None:
    installation, process = await owner()
    process.state.condemn(INVENTORY.name, 1, "the store refuses it")
    process.state.offer([receipt(0), receipt(1), receipt(2)])
    await process.state.serve()
    assert installation.seen == 2
    assert installation.dead == [(INVENTORY.name, 1)]


async def test_an_internal_record_can_not_be_condemned() -> None:
    _, process = await owner()
    with pytest.raises(AssertionError, match="halts"):
        process.state.condemn(RESERVATIONS.name, 1, "no")


# ---------------------------------------------------------------- take over, fence, doubt


async def test_who_takes_over_gets_what_was_not_published() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0)])
    first = await process.state.serve()
    process.state.published_sequence = first[-1].last_sequence
    process.state.offer([receipt(1)])
    second = await process.state.serve()
    process.state.offer([receipt(2)])
    third = await process.state.serve()
    successor = installation.process()
    assert await successor.state.take_over("second") == [*second, *third]
    assert successor.state.published_sequence == first[-1].last_sequence
    assert successor.state.backlog == 2


async def test_taking_over_forgets_all_memory() -> None:
    _, process = await owner()
    process.state.offer([receipt(0)])
    await process.state.take_over("first again")
    assert not process.state.has_records
    assert process.side.resumed == 2
    assert process.state.read_from(INVENTORY.name) == 0


async def test_an_owner_that_lost_the_fence_writes_and_publishes_nothing() -> None:
    installation, zombie = await owner()
    successor = installation.process()
    await successor.state.take_over("second")
    zombie.state.offer([receipt(0)])
    with pytest.raises(FenceLost):
        await zombie.state.serve()
    assert zombie.side.decided == [], "the fence comes before the decision"
    successor.state.offer([receipt(0)])
    await successor.state.serve()
    assert installation.seen == 1
    assert installation.row().owner == "second"


async def test_after_a_lost_fence_memory_must_not_be_used() -> None:
    installation, zombie = await owner()
    await installation.process().state.take_over("second")
    with pytest.raises(FenceLost):
        await zombie.state.serve()
    with pytest.raises(AssertionError, match="take_over comes first"):
        await zombie.state.serve()


async def test_serving_before_taking_over_is_refused() -> None:
    with pytest.raises(AssertionError, match="take_over comes first"):
        await Installation().process().state.serve()


@pytest.mark.parametrize(("fate", "effects"), [("lost_before", 0), ("lost_after", 1)])
async def test_a_lost_answer_to_commit_publishes_from_the_table_only(fate: str, effects: int) -> None:
    installation, process = await owner()
    installation.fate = fate
    process.state.offer([receipt(0)])
    with pytest.raises(ConnectionLost):
        await process.state.serve()
    installation.fate = "answered"
    unpublished = await process.state.take_over("first again")
    assert len(unpublished) == installation.seen == effects
    assert process.state.read_from(INVENTORY.name) == effects


async def test_a_decision_that_fails_leaves_nothing_and_no_open_transaction() -> None:
    installation, process = await owner()
    process.side.failure = RuntimeError("a fault of the side")
    process.state.offer([receipt(0)])
    with pytest.raises(RuntimeError):
        await process.state.serve()
    assert installation.row().batch_no == 0
    process.side.failure = None
    await process.state.take_over("first again")
    process.state.offer([receipt(0)])
    assert isinstance((await process.state.serve())[0], OutboxRow)


async def test_the_watermark_is_stored_with_the_next_batch() -> None:
    installation, process = await owner()
    process.state.offer([receipt(0)])
    rows = await process.state.serve()
    assert installation.row().published_sequence == 0
    process.state.published_sequence = rows[-1].last_sequence
    await process.state.serve()
    assert installation.row().published_sequence == rows[-1].last_sequence
