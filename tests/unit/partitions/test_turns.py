"""Batches of one process take turns, and small ones that wait go together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from shared.partitions.joint import JointBatchLost
from shared.partitions.link import Link
from shared.partitions.turns import Turns

LONG = 3_600.0
MOST = 10


class Connection:
    """Writes down which transactions there were, and how they ended."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.broken = False

    def transaction(self) -> "Connection":
        return self

    async def start(self) -> None:
        self.said.append("begin")

    async def commit(self) -> None:
        if self.broken:
            raise OSError("cut")
        self.said.append("commit")

    async def rollback(self) -> None:
        self.said.append("rollback")

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        self.said.append("terminate")

    async def close(self, timeout: float) -> None:
        self.said.append("close")


class Partition:
    """A state partition so far as turns know one: begins, does something, commits."""

    def __init__(self, floor: "Floor", name: str, messages: int, act: Callable[[], Awaitable[None]]) -> None:
        self.floor, self.name, self.waiting_messages, self.act = floor, name, messages, act
        self.link = Link(floor.own)  # type: ignore[arg-type]

    async def serve(self, records: int | None = None) -> list[Any]:
        floor, through = self.floor, self.link.through
        floor.began.append(self.name if records is None else f"{self.name}, {records} record")
        floor.at_it += 1
        floor.most = max(floor.most, floor.at_it)
        try:
            await through.begin()
            await self.act()
            await through.commit()
        except BaseException:
            await through.rollback()
            raise
        finally:
            floor.at_it -= 1
        return [self.name]


class Floor:
    """Where partitions meet: one connection that stands for the own ones, one for what goes together."""

    def __init__(self, *, patience_seconds: float = LONG) -> None:
        self.own, self.shared = Connection(), Connection()
        self.began: list[str] = []
        self.at_it = self.most = self.connected = 0
        self.away = False
        self.turns = Turns(self._connect, patience_seconds=patience_seconds, joint_messages=MOST)

    async def _connect(self) -> Any:
        if self.away:
            raise OSError("no server")
        self.connected += 1
        return self.shared

    async def batch(
        self, name: str, messages: int = 1, act: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0), **how: Any
    ) -> list[str]:
        """What is to be published of it."""
        partition: Any = Partition(self, name, messages, act)
        rows: Any = (await self.turns.batch(partition, partition.link, **how)).rows
        return list(rows)


async def test_who_comes_in_the_same_moment_goes_in_one_transaction() -> None:
    floor = Floor()
    assert await asyncio.gather(*[floor.batch(name) for name in "abc"]) == [["a"], ["b"], ["c"]]
    assert (floor.shared.said, floor.own.said, floor.most) == (["begin", "commit"], [], 3)


async def test_who_comes_alone_goes_alone_and_at_once() -> None:
    floor = Floor()
    assert await floor.batch("a") == ["a"]
    assert (floor.own.said, floor.shared.said) == (["begin", "commit"], [])


async def test_who_comes_meanwhile_goes_together_with_the_next_turn_and_the_connection_is_kept() -> None:
    floor, done = Floor(), asyncio.Event()
    first = asyncio.create_task(floor.batch("a", act=lambda: _waited(done)))
    await _moment()
    others = [asyncio.create_task(floor.batch(name)) for name in "bcd"]
    await _moment()
    assert floor.began == ["a"]
    done.set()
    await asyncio.gather(first, *others)
    await asyncio.gather(floor.batch("e"), floor.batch("f"))
    assert (floor.began, floor.shared.said, floor.connected) == (list("abcdef"), 2 * ["begin", "commit"], 1)
    await floor.turns.close()
    assert floor.shared.said[-1] == "close"


@pytest.mark.parametrize(
    ("sizes", "together"),
    [((4, 6), [(0, 1)]), ((4, 7), []), ((4, 6, 1), [(0, 1)]), ((0, 0, 10, 0), [(0, 1, 2, 3)]), ((11, 1, 1), [(1, 2)])],
)
async def test_no_more_messages_go_together_than_may(sizes: tuple[int, ...], together: list[tuple[int, ...]]) -> None:
    floor = Floor()
    served = await asyncio.gather(*[floor.batch(str(number), size) for number, size in enumerate(sizes)])
    assert served == [[str(number)] for number in range(len(sizes))]
    assert floor.shared.said == len(together) * ["begin", "commit"]
    assert len(floor.own.said) == 2 * (len(sizes) - sum(map(len, together)))


async def test_of_large_ones_two_are_at_it_and_of_small_ones_one_turn() -> None:
    floor = Floor()
    await asyncio.gather(*[floor.batch(name, MOST + 1) for name in "abcdef"])
    assert floor.most == 2
    floor = Floor()
    await asyncio.gather(*[floor.batch(name, MOST) for name in "abcdef"])
    assert (floor.most, floor.began) == (1, list("abcdef"))


async def test_a_large_one_does_not_wait_for_small_ones() -> None:
    floor, done = Floor(), asyncio.Event()
    small = asyncio.create_task(floor.batch("a", act=lambda: _waited(done)))
    await _moment()
    waiting = asyncio.create_task(floor.batch("b"))
    assert await floor.batch("large", MOST + 1) == ["large"]
    assert not waiting.done()
    done.set()
    await asyncio.gather(small, waiting)


@pytest.mark.parametrize("how", [{"alone": True}, {"records": 1}])
async def test_who_is_in_doubt_goes_alone(how: dict[str, Any]) -> None:
    floor = Floor()
    await asyncio.gather(floor.batch("a", **how), floor.batch("b"), floor.batch("c"))
    assert (floor.own.said, floor.shared.said) == (["begin", "commit"], ["begin", "commit"])
    assert floor.began[0] == ("a, 1 record" if "records" in how else "a")


async def test_who_has_waited_too_long_goes_on_by_itself_and_takes_nobodys_turn_away() -> None:
    floor, done = Floor(patience_seconds=0.01), asyncio.Event()
    stuck = asyncio.create_task(floor.batch("stuck", act=lambda: _waited(done)))
    await _moment()
    assert await asyncio.gather(*[floor.batch(name) for name in "abc"]) == [["a"], ["b"], ["c"]]
    assert (stuck.done(), floor.shared.said) == (False, [])
    done.set()
    await stuck
    await asyncio.gather(floor.batch("d"), floor.batch("e"))
    assert floor.shared.said == ["begin", "commit"]


async def test_of_those_that_go_together_one_that_fails_says_why_and_nothing_of_the_others_is_written() -> None:
    floor = Floor()
    outcomes = await _outcomes([floor.batch("a"), floor.batch("b", act=_fail), floor.batch("c")])
    assert [type(one) for one in outcomes] == [JointBatchLost, RuntimeError, JointBatchLost]
    assert floor.shared.said == ["begin", "rollback", "terminate"]
    await asyncio.gather(floor.batch("d"), floor.batch("e"))
    assert floor.connected == 2


async def test_one_that_fails_before_it_has_begun_does_not_keep_the_others_waiting() -> None:
    floor = Floor()
    partition: Any = Partition(floor, "a", 1, _fail)
    partition.serve = _fail_at_once
    first = floor.turns.batch(partition, partition.link)
    outcomes = await _outcomes([first, floor.batch("b"), floor.batch("c")])
    assert [type(one) for one in outcomes] == [RuntimeError, JointBatchLost, JointBatchLost]


async def test_where_the_end_is_in_doubt_everybody_is_told() -> None:
    floor = Floor()
    floor.shared.broken = True
    outcomes = await _outcomes([floor.batch("a"), floor.batch("b")])
    assert [type(one) for one in outcomes] == [JointBatchLost, JointBatchLost]
    assert "OSError: cut" in str(outcomes[0])


async def test_where_there_is_no_connection_everybody_is_told_and_the_next_may_go() -> None:
    floor = Floor()
    floor.away = True
    outcomes = await _outcomes([floor.batch("a"), floor.batch("b")])
    assert [str(one) for one in outcomes] == ["no server", "no server"]
    assert await floor.batch("c") == ["c"]


async def test_a_batch_that_fails_gives_its_turn_back() -> None:
    floor = Floor()
    with pytest.raises(RuntimeError):
        await floor.batch("a", act=_fail)
    assert await floor.batch("b") == ["b"]


async def test_who_gives_up_while_it_waits_is_not_served_and_who_has_begun_is_finished() -> None:
    floor, done = Floor(), asyncio.Event()
    begun = asyncio.create_task(floor.batch("a", act=lambda: _waited(done)))
    await _moment()
    waiting = asyncio.create_task(floor.batch("b"))
    await _moment()
    begun.cancel(), waiting.cancel()
    await asyncio.wait([begun, waiting])
    done.set()
    await _moment()
    assert (floor.began, floor.own.said) == (["a"], ["begin", "commit"])


async def _waited(done: asyncio.Event) -> None:
    await done.wait()


async def _fail() -> None:
    raise RuntimeError("a fault of its own")


async def _fail_at_once(_: int | None) -> list[Any]:
    raise RuntimeError("before it began")


async def _moment() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def _outcomes(batches: Iterable[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*batches, return_exceptions=True)
