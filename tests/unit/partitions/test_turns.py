"""Batches of one process take turns."""

import asyncio

import pytest

from shared.partitions.turns import Turns

LONG = 3_600.0


async def test_no_more_are_at_it_than_may_be_and_they_come_in_the_order_in_which_they_asked() -> None:
    assert await _nine(Turns(at_once=2, patience_seconds=LONG)) == (2, list(range(9)))


async def test_who_has_waited_too_long_goes_on_and_takes_nobodys_turn_away() -> None:
    turns, done = Turns(at_once=1, patience_seconds=0.01), asyncio.Event()

    async def stuck() -> None:
        async with turns.one():
            await done.wait()

    holding = asyncio.create_task(stuck())
    await asyncio.sleep(0)
    for _ in range(3):
        async with turns.one():
            assert not holding.done()
    done.set()
    await holding
    assert await _nine(turns) == (1, list(range(9)))


async def test_a_batch_that_fails_gives_its_turn_back() -> None:
    turns = Turns(at_once=1, patience_seconds=LONG)
    with pytest.raises(RuntimeError):
        async with turns.one():
            raise RuntimeError
    async with turns.one():
        return


async def _nine(turns: Turns) -> tuple[int, list[int]]:
    """How many of nine were at it at most, and in which order they began."""
    most, at_it, began = 0, 0, list[int]()

    async def batch(number: int) -> None:
        nonlocal most, at_it
        async with turns.one():
            began.append(number)
            at_it += 1
            most = max(most, at_it)
            await asyncio.sleep(0)
            at_it -= 1

    await asyncio.gather(*[batch(number) for number in range(9)])
    return most, began
