"""What a state partition drops because it has seen it."""

import pytest

from shared.partitions.memory import ConnectionLost
from shared.schemas.topics import RESERVATIONS
from tests.unit.partitions.recorder import attempts, owner, pack, receipt


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
