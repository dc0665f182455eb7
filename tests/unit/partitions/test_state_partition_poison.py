"""What a state partition puts aside, and what stops it."""

import pytest

from shared.partitions.memory import ConnectionLost, MemoryPartitionStore
from shared.partitions.model import InputRecord
from shared.partitions.partition import Halted, StatePartition
from shared.schemas.topics import DEAD_LETTERS, INVENTORY, MOVEMENTS, RESERVATIONS, TOPICS
from tests.unit.partitions.recorder import PLAIN, STOCK, Installation, Recorder, owner, pack, receipt, spoiled


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
