"""Who may go on with a state partition, and what whoever has lost it may still do: nothing."""

import pytest

from shared.partitions.memory import ConnectionLost
from shared.partitions.model import OutboxRow
from shared.partitions.ports import FenceLost
from shared.schemas.topics import INVENTORY
from tests.unit.partitions.recorder import Installation, owner, receipt


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
