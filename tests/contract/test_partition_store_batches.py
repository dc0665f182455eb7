"""What every partition store keeps of a batch, and when it forgets it, on memory and on the real Postgres."""

from datetime import timedelta
from typing import Any

import pytest

from shared.database import hot_connection
from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import PartitionId, Position
from shared.partitions.postgres import PostgresPartitionStore
from tests.contract.partition_servers import Server, Store, after, claimed, letter, outbox_row, serve


async def test_unpublished_rows_come_back_whole_and_in_order(server: Server) -> None:
    store, row = await claimed(server)
    first = outbox_row(1, 1, 2, "earmark.outcomes", 0), outbox_row(1, 3, 3, "earmark.movements", 5)
    batch = await serve(store, row, outbox=first)
    second = (outbox_row(2, 4, 9, "earmark.allocations", 2),)
    await serve(store, after(row, batch), outbox=second)
    assert await store.unpublished(0) == [*first, *second]
    assert await store.unpublished(2) == [first[1], *second]
    assert await store.unpublished(5) == [*second], "a row is published again whole when its last number is above"
    assert await store.unpublished(9) == []


async def test_the_watermark_is_stored_with_the_next_batch_and_never_sinks(server: Server) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 6),))
    await serve(store, after(row, batch), published=4)
    _, seen = await claimed(server)
    assert seen.published_sequence == 4
    store, row = await claimed(server)
    await serve(store, row, published=2)
    _, seen = await claimed(server)
    assert seen.published_sequence == 4


async def test_the_watermark_can_be_noted_between_batches_by_the_owner_alone(server: Server) -> None:
    store, row = await claimed(server)
    await serve(store, row, outbox=(outbox_row(1, 1, 6),))
    await store.note_published(row.epoch, 5)
    await store.note_published(row.epoch, 3)
    other, seen = await claimed(server)
    assert seen.published_sequence == 5
    await store.note_published(row.epoch, 6)
    await serve(other, seen)
    _, seen = await claimed(server)
    assert seen.published_sequence == 5


async def test_published_rows_can_be_forgotten_and_others_stay(server: Server) -> None:
    store, row = await claimed(server)
    first, second = outbox_row(1, 1, 2), outbox_row(1, 3, 4, destination=2)
    batch = await serve(store, row, outbox=(first, second))
    await store.forget_published()
    assert await store.unpublished(0) == [first, second]
    await serve(store, after(row, batch), published=3)
    await store.forget_published()
    assert await store.unpublished(0) == [second]


async def test_published_rows_go_oldest_first_and_no_more_than_asked(server: Server) -> None:
    store, row = await claimed(server)
    rows = tuple(outbox_row(1, number, number, destination=number) for number in range(1, 6))
    await serve(store, row, outbox=rows)
    await store.note_published(row.epoch, 4)
    assert [await store.forget_published(3) for _ in range(3)] == [3, 1, 0]
    assert await store.unpublished(0) == list(rows[4:])


async def test_history_is_forgotten_from_its_beginning_but_for_what_is_young_unpublished_or_the_newest(server: Server) -> None:
    store, row = await claimed(server)
    batches = [await serve(store, row)]
    for _ in range(3):
        batches.append(await serve(store, after(row, batches[-1])))
    batches.append(await serve(store, after(row, batches[-1]), outbox=(outbox_row(5, 1, 2),)))
    batches.append(await serve(store, after(row, batches[-1])))
    assert await store.forget_history(row.epoch, timedelta(days=1)) == 0
    assert await store.forget_history(row.epoch - 1, timedelta(0)) == 0, "not the owner"
    assert [await store.forget_history(row.epoch, timedelta(0), most) for most in (3, 3, 3)] == [3, 1, 0]
    await store.note_published(row.epoch, 2)
    assert [await store.forget_history(row.epoch, timedelta(0)) for _ in range(2)] == [1, 0]
    assert [await store.committed(batch.batch_no, batch.token) for batch in batches] == [False] * 5 + [True]


async def test_marks_are_kept_per_topic_and_source_and_only_rise(server: Server) -> None:
    store, row = await claimed(server)
    one, two, elsewhere = ("earmark.reservations", "demand/0/1"), ("earmark.reservations", "demand/0/2"), ("earmark.outcomes", "demand/0/1")
    batch = await serve(store, row, marks={one: 7, two: 1, elsewhere: 3})
    await serve(store, after(row, batch), marks={one: 5, two: 2})
    assert await store.marks() == {one: 7, two: 2, elsewhere: 3}


async def test_dead_letters_keep_any_bytes_and_the_same_record_is_kept_once(server: Server) -> None:
    store, row = await claimed(server)
    odd = letter(7, reason="a NUL \x00 in it", key=None, value=None)
    batch = await serve(store, row, dead=(letter(6), odd))
    await serve(store, after(row, batch), dead=(letter(6, reason="again"),))
    assert await dead_reasons(store) == {6: "no good", 7: "a NUL \x00 in it"}


async def dead_reasons(store: Store) -> dict[int, str]:
    """Offset to reason of every dead letter. Postgres cannot hold a NUL in a text and writes it out."""
    if isinstance(store, MemoryPartitionStore):
        return {letter.record.offset: letter.reason for _, letter in store.current().scan("dead_letter")}
    rows: list[Any] = await store.connection.fetch("SELECT record_offset, reason FROM allocator.dead_letter")
    return {row["record_offset"]: row["reason"].replace("\\0", "\x00") for row in rows}


@pytest.mark.integration
async def test_dead_letters_that_were_settled_long_ago_go_and_no_others(database: str) -> None:
    """In memory nobody settles them."""
    connection = await hot_connection(database)
    store = PostgresPartitionStore(connection)
    row = await store.claim(PartitionId("demand", 2), "one")
    positions = {"earmark.orders": Position(9, 8, 1, "")}
    await serve(store, row, dead=tuple(map(letter, range(1, 6))), positions=positions)
    settle = "UPDATE allocator.dead_letter SET status = $1, settled_at = now() - $2::interval WHERE record_offset = $3"
    for status, days, offset in (("replayed", 40, 1), ("discarded", 31, 2), ("replayed", 29, 3)):
        await connection.execute(settle, status, timedelta(days=days), offset)
    await connection.execute("UPDATE allocator.dead_letter SET partition = 3, settled_at = '2020-01-01' WHERE record_offset = 5")
    keep = timedelta(days=30)
    assert await store.forget_settled(row.epoch - 1, keep) == 0, "not the owner"
    assert [await store.forget_settled(row.epoch, keep, 1) for _ in range(3)] == [1, 1, 0]
    assert sorted(await dead_reasons(store)) == [3, 4, 5]
    await connection.close()
