"""What a batch of a state partition is: what it takes, in which order, how far it goes."""

from datetime import timedelta

from shared.partitions.partition import CODE_VERSION, Limits, digest
from shared.schemas.topics import INVENTORY, MOVEMENTS, RESERVATIONS
from tests.unit.partitions.recorder import NOW, STOCK, owner, pack, receipt


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
